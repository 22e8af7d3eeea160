"""Column by column as cleanlab's own Datalab, on the same labels and probabilities."""

import numpy as np
import pandas as pd
import pytest

import elr
from elr.errors import ArgumentError

NAMES = ["bird", "cat", "dog"]
RNG = np.random.default_rng(0)
CLEAN = RNG.integers(3, size=60)
PROBS = np.full((60, 3), 0.1)
PROBS[np.arange(60), CLEAN] = 0.8
GIVEN = CLEAN.copy()
GIVEN[:5] = (GIVEN[:5] + 1) % 3  # wrong


def theirs(labels):
    cleanlab = pytest.importorskip("cleanlab")
    lab = cleanlab.Datalab({"y": list(labels)}, label_name="y", verbosity=0)
    lab.find_issues(pred_probs=PROBS, issue_types={"label": {}})
    return lab


def ours(labels):
    return elr.audit(labels, PROBS, class_names=None if np.asarray(labels).dtype.kind == "i" else NAMES).to_datalab()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("labels", [GIVEN, np.array(NAMES)[GIVEN]], ids=["numbers", "names"])
def test_the_tables_are_those_of_datalab(labels):
    lab, found = theirs(labels), ours(labels)
    for name in (None, "label"):
        expected, table = lab.get_issues(name), found.get_issues(name)
        assert list(table.columns) == list(expected.columns)
        assert table.dtypes.to_dict() == expected.dtypes.to_dict()
        assert table.index.equals(expected.index)
        pd.testing.assert_frame_equal(found.get_issue_summary(name), lab.get_issue_summary(name))
    table, expected = found.get_issues("label"), lab.get_issues("label")
    for column in ("is_label_issue", "given_label", "predicted_label"):
        assert table[column].tolist() == expected[column].tolist(), column
    assert table["label_score"].between(0, 1).all()
    assert found.labels.tolist() == lab.labels.tolist()
    assert list(found.class_names) == list(lab.class_names)
    assert set(found.get_info("label")) <= set(lab.get_info("label"))
    assert found.get_info("label")["num_label_issues"] == lab.get_info("label")["num_label_issues"]
    assert found.has_labels == lab.has_labels
    assert found.get_info()["statistics"]["num_examples"] == 60


def users_code(lab):
    """As in cleanlab's tutorials."""
    issues = lab.get_issues("label")
    worst = issues[issues["is_label_issue"]].sort_values("label_score")
    clean = issues.query("not is_label_issue").index
    return sorted(worst.index), len(clean), int(lab.get_issue_summary("label")["num_issues"].iloc[0])


@pytest.mark.filterwarnings("ignore")
def test_code_that_was_written_for_datalab_works_here():
    names = np.array(NAMES)[GIVEN]
    assert users_code(ours(names)) == users_code(theirs(names)) == ([0, 1, 2, 3, 4], 55, 5)


def test_a_summary_in_words():
    text = ours(np.array(NAMES)[GIVEN]).summary(2)
    assert "num_examples: 60, num_classes: 3" in text
    assert "label issues: 5" in text
    assert text.count("True") == 2
    assert "No label issue is shown" in elr.audit(CLEAN, PROBS).to_datalab().summary()


def test_other_kinds_of_issues_are_not_looked_for():
    lab = ours(GIVEN)
    for call in (lab.get_issues, lab.get_issue_summary, lab.get_info):
        with pytest.raises(ArgumentError, match="issue_name is 'outlier': only label issues"):
            call("outlier")
    with pytest.raises(ArgumentError, match="num_examples is -1"):
        lab.summary(-1)
    assert lab.list_possible_issue_types() == ["label"]


def test_of_a_run(tmp_path):
    from elr.audit.evidence import Evidence

    evidence = Evidence(
        rows=np.arange(60), ids=None, class_names=tuple(NAMES), labels=GIVEN, margins=np.zeros(60, "float32"),
        chunks=lambda: [PROBS.astype("float32")])  # fmt: skip
    assert users_code(evidence.audit().to_datalab())[0] == [0, 1, 2, 3, 4]
