"""Examples in memory, arrays that people pass, labels as class numbers."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from elr.data.examples import Examples
from elr.data.formats.features import as_array, checked_features, one_each
from elr.data.labels import LabelCoding
from elr.errors import ArgumentError, DataError

IMAGES = torch.randint(0, 256, (6, 3, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4", "int32", "bool"])
def test_features_are_kept_as_float32(dtype):
    rows = np.array([[0, 1], [1, 1], [1, 0]]).astype(dtype)
    examples = Examples(rows, [0, 1, 0])
    assert examples.fetch(torch.tensor([2, 0])).dtype == torch.float32
    assert examples.fetch(torch.tensor([2, 0])).tolist() == [[1, 0], [0, 1]]
    assert examples.labels.dtype == torch.int64


def test_a_row_keeps_its_number_whatever_is_asked_for():
    examples = Examples(np.arange(10.0)[:, None], np.arange(10) % 2)
    assert examples.fetch(torch.tensor([7, 7, 3])).tolist() == [[7], [7], [3]]
    assert len(examples) == 10


def test_images_stay_bytes():
    examples = Examples(IMAGES.numpy(), None)
    assert examples.labels is None
    assert examples.fetch(torch.tensor([1])).dtype == torch.uint8
    assert torch.equal(examples.fetch(torch.tensor([5, 1])), IMAGES[[5, 1]])


def test_arrays_that_torch_would_not_take_are_copied():
    backwards = IMAGES.numpy()[::-1]
    assert torch.equal(Examples(backwards, None).inputs, IMAGES.flip(0))
    locked = np.ones((3, 2), dtype=np.float32)
    locked.setflags(write=False)
    assert Examples(locked, None).inputs.sum() == 6


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_matrix, sparse.csc_matrix])
def test_sparse_rows_are_made_dense_batch_by_batch(kind):
    dense = np.array([[0, 2.5], [0, 0], [1, 0]])
    examples = Examples(kind(dense), [0, 1, 1])
    batch = examples.fetch(torch.tensor([2, 0]))
    assert batch.dtype == torch.float32
    assert batch.tolist() == [[1, 0], [0, 2.5]]
    assert len(examples) == 3


@pytest.mark.parametrize("inputs", [np.eye(4), IMAGES.numpy(), sparse.csr_array(np.eye(4))])
def test_the_first_rows_alone(inputs):
    examples = Examples(inputs, np.zeros(inputs.shape[0], dtype=int))
    first = examples.first(2)
    assert len(first) == 2
    assert first.labels is None
    assert torch.equal(first.fetch(torch.arange(2)), examples.fetch(torch.arange(2)))


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 0, 1], [[0], [1], [0]], 1])
def test_examples_refuse_labels_of_another_shape(labels):
    with pytest.raises(ArgumentError, match="for 3 examples: expected one class each"):
        Examples(np.eye(3), labels)


@pytest.mark.parametrize("labels", [[0.5, 1.0, 2.0], ["a", "b", "a"], [None, 0, 1], [True, False, True]])
def test_examples_refuse_labels_that_are_no_class_numbers(labels):
    with pytest.raises(ArgumentError, match="expected integers, the numbers of classes"):
        Examples(np.eye(3), labels)


@pytest.mark.parametrize(
    "inputs", [np.float32(1), np.array(["a", "b"]), np.array([1j, 2]), np.array([[1], "a"], object)]
)
def test_examples_refuse_inputs_that_are_no_numbers(inputs):
    with pytest.raises(ArgumentError, match="expected numbers"):
        Examples(inputs, None)


def test_as_array_says_what_it_cannot_take():
    assert as_array([[1, 2]], "the inputs").shape == (1, 2)
    with pytest.raises(DataError, match="the inputs are no array of one shape"):
        as_array([[1], [1, 2]], "the inputs")
    with pytest.raises(DataError, match=r"sparse matrix: pass their \.toarray\(\), or use ELRClassifier"):
        as_array(sparse.eye_array(2), "the inputs")
    with pytest.raises(DataError, match="detach"):
        as_array(torch.ones(2, requires_grad=True), "the inputs")


def test_one_value_for_each_row():
    assert one_each(np.arange(3), 3, name="y").tolist() == [0, 1, 2]
    assert one_each(np.arange(3)[:, None], 3, name="y").tolist() == [0, 1, 2]
    for wrong in (np.eye(3), np.arange(2), np.array(1)):
        with pytest.raises(DataError, match=r"y has shape .* for 3 rows: expected one value for each row, \(3,\)"):
            one_each(wrong, 3, name="y")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_features_say_where_they_are_not_finite(value):
    rows = np.ones((4, 3))
    rows[2, 1] = rows[3, 0] = value
    with pytest.raises(DataError, match=r"the inputs have 2 values .* in row 2, column 1: replace them or remove"):
        checked_features(rows, "the inputs")


def test_features_may_be_any_real_numbers():
    for dtype in ("float16", "float64", "int8", "uint16", "bool"):
        assert checked_features(np.ones((2, 3), dtype), "x").dtype == np.float32
    for wrong in (np.ones(3), np.ones((3, 0)), np.ones((2, 2), complex), np.array([["a"]]), np.ones((2, 2), object)):
        with pytest.raises(DataError, match=r"x are .* of shape .*: expected numbers \(N, D\), D >= 1"):
            checked_features(wrong, "x")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["b", "a", "b", "a"], ("a", "b")),
        ([10, 9, 10, 9], (9, 10)),
        (["10", "9", "10", "9"], ("10", "9")),
        ([-1, 2**62, -1, 2**62], (-1, 2**62)),
        (["NA", "None", "", "None", "NA", ""], ("", "NA", "None")),
    ],
)
def test_classes_are_sorted_and_survive_json(labels, names):
    coding = LabelCoding.fit(labels, column="y")
    assert coding.class_names == names
    again = LabelCoding(class_names=tuple(json.loads(json.dumps(coding.class_names))))
    assert again == coding
    assert [type(name) for name in again.class_names] == [type(name) for name in names]
    assert [names[number] for number in again.encode(labels, column="y")] == labels


@given(
    st.lists(st.text(max_size=3), min_size=2, max_size=6, unique=True)
    | st.lists(st.integers(), min_size=2, unique=True)
)
def test_every_label_comes_back(values):
    labels = [*values, *reversed(values)]
    coding = LabelCoding.fit(labels, column="y")
    numbers = coding.encode(labels, column="y")
    assert sorted(set(numbers.tolist())) == list(range(len(values)))
    assert [coding.class_names[number] for number in numbers] == labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "a", "a"], r"y is constant: all 3 rows say \['a'\]; at least two classes"),
        ([], "y is constant: all 0 rows"),
        ([3, 1, 2], r"y is different in each of the 3 rows \(such as 1\): that is an identifier"),
        (["a", "a", "b", "c"], r"y has 2 of 3 classes with one example only \('b', 'c'\).*merge or remove these rows"),
    ],
)
def test_labels_that_say_nothing_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        LabelCoding.fit(labels, column="y")


def test_a_message_does_not_repeat_a_whole_text():
    with pytest.raises(DataError) as caught:
        LabelCoding.fit([f"{row} " + "word " * 1000 for row in range(4)], column="y")
    assert len(str(caught.value)) < 400


def test_unknown_labels_are_named():
    coding = LabelCoding(class_names=("cat", "dog"))
    with pytest.raises(DataError, match=r"y has 2 values that the training labels do not have: 'Cat', 'cow'; known"):
        coding.encode(["cat", "cow", "Cat", "cow"], column="y")


def test_digits_alone_mean_the_classes_of_the_same_text():
    """Training labels "1", "2", "x" are text; a file that lacks the x reads as numbers, and the other way round."""
    assert LabelCoding(class_names=("1", "2", "x")).encode([2, 1], column="y").tolist() == [1, 0]
    assert LabelCoding(class_names=(1, 2)).encode(["2", "1"], column="y").tolist() == [1, 0]
    with pytest.raises(DataError, match="'01'"):
        LabelCoding(class_names=(1, 2)).encode(["01"], column="y")
