from dataclasses import replace

import numpy as np
import pandas as pd

from elr.audit.label_quality import audit_labels
from elr.audit.tables.lines import brief, lines, named, unmixed, without_formulas

AUDIT = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])


def test_lines_follow_the_order_they_are_asked_in():
    found = lines(AUDIT, np.array([2, 1]), np.array([0.5, 0.6]), class_names=None)
    assert found["given_label"].tolist() == [1, 0]
    assert found["predicted_label"].tolist() == [1, 1]
    assert found["expected_precision"].tolist() == [0.5, 0.6]


def test_the_frame_is_these_lines_in_the_order_of_suspicion():
    frame = AUDIT.to_frame()
    assert frame["row"].tolist() == AUDIT.ranking.tolist()
    assert frame["given_label"].dtype == np.int64
    assert np.array_equal(frame["expected_precision"], AUDIT.expected_precision)


def test_names_of_any_length_stay_names():
    assert named(np.array([1, 1]), ("a", (1, 2))).tolist() == [(1, 2), (1, 2)]


def test_an_audit_prints_as_one_line():
    told = "<Audit of 3 labels of 2 classes: 1 suspect, noise rate 33.3 %; the worst is row 1"
    assert repr(AUDIT) == f"{told} (to_frame() has all of them)>"
    nothing = replace(AUDIT, noise_rate=float("nan"))
    assert "1 suspect, noise rate not known" in brief(nothing)


def test_names_of_one_type_stay_as_they_are():
    table = pd.DataFrame({"given_label": ["a", 1], "predicted_label": [1, 2]})
    assert unmixed(table)["given_label"].tolist() == ["a", "1"]
    assert unmixed(table)["predicted_label"].tolist() == [1, 2]


def test_texts_that_a_spreadsheet_would_compute_have_an_apostrophe():
    texts = ["=1+1", "@x", "\tx", "\rx", "+x", "-x", "-1", "+1.5", "-2,5", "1e5", "-1e-5", "-1+1", "", "cat", None, -3]
    shielded = {"=1+1", "@x", "\tx", "\rx", "+x", "-x", "-1+1"}
    assert without_formulas(texts) == [f"'{text}" if text in shielded else text for text in texts]
