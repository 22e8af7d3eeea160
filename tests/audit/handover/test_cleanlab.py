import json

import numpy as np
import pandas as pd
import pytest

from elr.audit.evidence import Evidence
from elr.audit.handover.cleanlab import export_cleanlab
from elr.errors import OutputError


def test_cleanlab_reads_what_is_exported_and_scores_alike(audited, tmp_path):
    filters, rank = pytest.importorskip("cleanlab.filter"), pytest.importorskip("cleanlab.rank")
    export_cleanlab(audited.evidence, audited.audit, tmp_path / "out")
    labels, pred_probs = np.load(tmp_path / "out" / "labels.npy"), np.load(tmp_path / "out" / "pred_probs.npy")
    assert json.loads((tmp_path / "out" / "class_names.json").read_text()) == ["n", 'y"<b>']
    found = filters.find_label_issues(labels, pred_probs, n_jobs=1)
    shared = (found & audited.audit.is_label_issue).sum() / audited.audit.num_label_issues
    assert shared > 0.8
    margins = rank.get_label_quality_scores(labels, pred_probs, method="normalized_margin")
    own = audited.evidence.audit(score="margin").label_quality
    np.testing.assert_allclose(margins, own, atol=1e-6)
    own = audited.evidence.audit(score="self_confidence").label_quality
    np.testing.assert_allclose(
        rank.get_label_quality_scores(labels, pred_probs, method="self_confidence"), own, atol=1e-6
    )
    with pytest.raises(OutputError, match="choose another folder"):
        export_cleanlab(audited.evidence, audited.audit, tmp_path / "out")


def test_the_file_is_what_numpy_writes(audited, tmp_path):
    export_cleanlab(audited.evidence, audited.audit, tmp_path / "out")
    np.save(tmp_path / "whole.npy", audited.evidence.pred_probs)
    assert (tmp_path / "out" / "pred_probs.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert np.load(tmp_path / "out" / "pred_probs.npy", mmap_mode="r").shape == (120, 2)


@pytest.mark.filterwarnings("ignore")  # cleanlab's own, of pandas
def test_the_table_has_the_columns_of_datalab(audited, tmp_path):
    cleanlab = pytest.importorskip("cleanlab")
    export_cleanlab(audited.evidence, audited.audit, tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "datalab.parquet")
    lab = cleanlab.Datalab({"label": np.load(tmp_path / "out" / "labels.npy")}, label_name="label", verbosity=0)
    lab.find_issues(pred_probs=np.load(tmp_path / "out" / "pred_probs.npy"), issue_types={"label": {}})
    assert table.columns.tolist() == ["row", *lab.get_issues("label").columns]
    assert table["row"].tolist() == audited.evidence.rows.tolist()
    assert table["is_label_issue"].tolist() == audited.audit.is_label_issue.tolist()
    assert set(table["given_label"]) == {"n", 'y"<b>'}


def test_names_of_two_types(tmp_path):
    evidence = Evidence(
        rows=np.arange(2),
        ids=None,
        class_names=("n", 7),
        labels=np.array([0, 1]),
        margins=np.zeros(2, dtype=np.float32),
        chunks=lambda: [np.array([[0.9, 0.1], [0.8, 0.2]], dtype=np.float32)],
    )
    export_cleanlab(evidence, evidence.audit(), tmp_path / "out")
    table = pd.read_parquet(tmp_path / "out" / "datalab.parquet")
    assert table["given_label"].tolist() == ["n", "7"]
    assert table["predicted_label"].tolist() == ["n", "n"]
