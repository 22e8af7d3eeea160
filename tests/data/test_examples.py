"""Examples in memory, arrays that people pass, labels as class numbers."""

import numpy as np
import pytest
import torch
from scipy import sparse

from elr.data.examples import Examples
from elr.errors import ArgumentError

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
