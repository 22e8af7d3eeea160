import numpy as np
import pandas as pd
import pytest
import torch

import elr
from elr.audit.label_quality import audit_labels
from elr.errors import ArgumentError, DataWarning

PROBS = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.0, 0.1, 0.9]])
NUMBERS = [0, 0, 2, 1]
NAMES = ["cat", "dog", "eel"]
TEXT = [NAMES[number] for number in NUMBERS]


def same(found):
    expected = audit_labels(NUMBERS, PROBS)
    assert found.labels.tolist() == NUMBERS
    assert np.array_equal(found.label_quality, expected.label_quality)
    assert np.array_equal(found.is_label_issue, expected.is_label_issue)


@pytest.mark.parametrize(
    "labels",
    [NUMBERS, np.array(NUMBERS, dtype=np.int32), torch.tensor(NUMBERS), pd.Series(NUMBERS), np.array(NUMBERS, "uint8")],
    ids=["list", "int32", "tensor", "series", "uint8"],
)
def test_class_numbers(labels):
    same(elr.audit(labels, PROBS))
    same(elr.audit(labels, torch.tensor(PROBS, requires_grad=True)))
    same(elr.audit(labels, PROBS, class_names=NAMES))


@pytest.mark.parametrize(
    "labels",
    [TEXT, np.array(TEXT), np.array(TEXT, dtype=object), pd.Series(TEXT), pd.Series(TEXT, dtype="string")],
    ids=["list", "array", "objects", "series", "string"],
)
def test_class_names(labels):
    found = elr.audit(labels, PROBS, class_names=NAMES)
    same(found)
    assert found.class_names == tuple(NAMES)
    same(elr.audit(labels, pd.DataFrame(PROBS, columns=NAMES)))


def test_columns_are_taken_by_name():
    shuffled = pd.DataFrame(PROBS, columns=NAMES)[["eel", "cat", "dog"]]
    found = elr.audit(TEXT, shuffled)
    assert found.class_names == ("eel", "cat", "dog")
    assert (
        found.to_frame()["given_label"].tolist()
        == elr.audit(TEXT, PROBS, class_names=NAMES).to_frame()["given_label"].tolist()
    )
    same(elr.audit(TEXT, shuffled, class_names=NAMES))


def test_frames_of_polars():
    polars = pytest.importorskip("polars")
    same(elr.audit(TEXT, polars.DataFrame(PROBS, schema=NAMES)))
    same(elr.audit(polars.Series(TEXT), PROBS, class_names=NAMES))


def test_counted_columns_are_no_names():
    found = elr.audit(NUMBERS, pd.DataFrame(PROBS))
    same(found)
    assert found.class_names is None


def test_categoricals_bring_their_classes():
    found = elr.audit(pd.Series(pd.Categorical(TEXT, categories=NAMES)), PROBS)
    same(found)
    assert found.class_names == tuple(NAMES)
    same(elr.audit(pd.Categorical(TEXT, categories=NAMES), PROBS))


def test_categories_in_an_order_of_their_own_are_refused():
    """scikit-learn sorts the classes: nearly all labels were issues, without a word."""
    levels = ["low", "medium", "high"]
    labels = pd.Series(pd.Categorical.from_codes(NUMBERS, categories=levels, ordered=True))
    for given in (labels, labels.array):
        for probs in (PROBS, pd.DataFrame(PROBS)):
            with pytest.raises(ArgumentError, match=r"'low', 'medium', 'high', and .* sorted: 'high', 'low', 'medium'"):
                elr.audit(given, probs)
    same(elr.audit(labels, PROBS, class_names=labels.cat.categories))
    same(elr.audit(labels, pd.DataFrame(PROBS, columns=levels)))
    by_model = elr.audit(labels, PROBS[:, [2, 0, 1]], class_names=np.array(["high", "low", "medium"]))
    assert np.array_equal(by_model.is_label_issue, elr.audit(NUMBERS, PROBS).is_label_issue)
    numbers = pd.Categorical([number + 9 for number in NUMBERS], categories=[9, 10, 11])  # as text: "10" first
    same(elr.audit(numbers, PROBS))
    with pytest.raises(ArgumentError, match="sorted: 9, 10, 11"):
        elr.audit(numbers.reorder_categories([10, 9, 11]), PROBS)


def test_whole_numbers_that_are_names_are_not_class_numbers():
    """Classes 1, 2, 3 in columns 0, 1, 2: a label 2 is column 1."""
    for names in ([1, 2, 3], ["1", "2", "3"], np.array([1, 2, 3])):
        same(elr.audit([number + 1 for number in NUMBERS], PROBS, class_names=names))
    with pytest.raises(ArgumentError, match=r"label 0 of row 0 is no class \(2 such labels\): expected one of 1, 2, 3"):
        elr.audit(NUMBERS, PROBS, class_names=[1, 2, 3])
    same(elr.audit([number + 1 for number in NUMBERS], pd.DataFrame(PROBS, columns=[1, 2, 3])))


def test_the_table_has_names_and_the_order_of_suspicion():
    table = elr.audit(TEXT, PROBS, class_names=NAMES).to_frame()
    assert list(table.columns) == [
        "row", "given_label", "predicted_label", "label_quality", "is_label_issue", "expected_precision",
    ]  # fmt: skip
    assert table["row"].tolist() == [3, 1, 2, 0]
    assert table["given_label"].tolist() == ["dog", "cat", "eel", "cat"]
    assert table["predicted_label"].tolist() == ["eel", "dog", "eel", "cat"]


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((TEXT, PROBS), {}, "labels are names, such as 'cat': say by class_names"),
        ((TEXT, PROBS), {"class_names": NAMES[:2]}, "3 columns, and there are 2 classes"),
        ((TEXT, PROBS), {"class_names": ["cat", "cat", "eel"]}, "expected classes that differ"),
        ((TEXT, PROBS), {"class_names": ["cat", "dog", "ant"]}, "label 'eel' of row 2 is no class"),
        ((TEXT, PROBS), {"class_names": ["cat", None, "eel"]}, "class_names have None"),
        ((["cat", None, "eel", "dog"], PROBS), {"class_names": NAMES}, "label None of row 1 is no class"),
        ((TEXT, pd.DataFrame(PROBS, columns=NAMES)), {"class_names": ["cat", "dog", "ant"]}, "the same classes"),
        (([0.0, 0.0, 2.0, 1.0], PROBS), {}, "labels are float64"),
        ((NUMBERS[:3], PROBS), {}, "expected .N,. and .N, C."),
        ((NUMBERS, PROBS * 3), {}, "expected probabilities that sum to 1"),
        ((TEXT[:0], PROBS), {"class_names": NAMES}, "expected .N,. and .N, C."),
    ],
)
def test_what_cannot_be_is_refused(arguments, settings, message):
    with pytest.raises(ArgumentError, match=message):
        elr.audit(*arguments, **settings)


def test_rows_named_in_another_order_are_refused():
    frame = pd.DataFrame(PROBS, columns=NAMES, index=[3, 2, 1, 0])
    with pytest.raises(ArgumentError, match=r"pred_probs.loc\[labels.index\]"):
        elr.audit(pd.Series(TEXT), frame)
    series = pd.Series(TEXT, index=[3, 2, 1, 0])
    same(elr.audit(series, frame))
    same(elr.audit(series.set_axis([7, 8, 9, 10]), frame))  # other names: the order counts
    same(elr.audit(series.to_numpy(), frame))


def test_rows_named_partly_in_the_same_way_are_refused_or_said():
    series, frame = pd.Series(TEXT, index=[0, 1, 2, 3]), pd.DataFrame(PROBS, columns=NAMES, index=[3, 2, 1, 9])
    with pytest.warns(
        DataWarning, match=r"partly the same \(3 values of 4 rows\): rows were taken by their order"
    ) as said:
        same(elr.audit(series, frame))
    assert said[0].filename == __file__
    with pytest.raises(ArgumentError, match=r"partly the same .* pred_probs.loc\[labels.index\]"):
        elr.audit(series.set_axis([3, 1, 5, 7]), frame)
    same(elr.audit(series.set_axis([7, 8, 10, 11]), frame))


def test_probabilities_of_other_types():
    rounded = torch.tensor(PROBS).bfloat16()
    assert elr.audit(NUMBERS, rounded).labels.tolist() == NUMBERS
    same(elr.audit(TEXT, pd.DataFrame(PROBS, columns=NAMES).convert_dtypes(dtype_backend="pyarrow")))
    same(elr.audit(TEXT, pd.DataFrame(PROBS, columns=NAMES).convert_dtypes()))


def test_masked_values_are_refused():
    with pytest.raises(ArgumentError, match="pred_probs has 3 masked values, first in row 0"):
        elr.audit(NUMBERS, np.ma.array(PROBS, mask=PROBS > 0.65))
    with pytest.raises(ArgumentError, match="labels has 1 masked values, first in row 2"):
        elr.audit(np.ma.array(NUMBERS, mask=[False, False, True, False]), PROBS)
    same(elr.audit(np.ma.array(NUMBERS), np.ma.array(PROBS)))


def test_lines_have_the_index_of_labels_or_probabilities():
    names = list("wxyz")
    series, frame = pd.Series(TEXT, index=names), pd.DataFrame(PROBS, columns=NAMES, index=names)
    for labels, probs in ((series, PROBS), (TEXT, frame), (series, frame), (pd.Series(NUMBERS, index=names), PROBS)):
        table = elr.audit(labels, probs, class_names=NAMES).to_frame()
        assert (series[table.index] == table["given_label"]).all()
        assert [names[row] for row in table["row"]] == table.index.tolist()
    assert elr.audit(TEXT, PROBS, class_names=NAMES).to_frame().index.tolist() == [0, 1, 2, 3]
