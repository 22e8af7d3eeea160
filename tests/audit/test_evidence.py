import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import elr
from elr import files
from elr.audit import label_quality as auditing
from elr.audit.evidence import Evidence, read_evidence, silenced, write_evidence
from elr.audit.issues_view import issues_table
from elr.audit.label_quality import audit_labels
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, ArtifactError

PROBS = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]], dtype="float32")


def evidence(**changes):
    parts = {"rows": np.array([0, 1, 3, 4]), "ids": ["a", "b", "d", "e"], "class_names": ("x", "y", "z")}
    parts |= {
        "labels": np.array([0, 0, 2, 0]),
        "margins": np.zeros(4, "float32"),
        "chunks": lambda: [PROBS[:3], PROBS[3:]],
    }
    return Evidence(**parts | changes)


def test_a_table_counted_by_hand():
    found = evidence()
    table = issues_table(found, found.audit())
    assert table["row"].tolist() == [4, 1, 3, 0]
    assert table["id"].tolist() == ["e", "b", "d", "a"]
    assert table["predicted_label"].tolist() == ["y", "y", "z", "x"]
    np.testing.assert_allclose(table["expected_precision"], [0.9, 0.85, (0.9 + 0.8 + 0.6) / 3, 0.6], atol=1e-4)
    assert "id" not in issues_table(evidence(ids=None), found.audit())


def test_expected_precision_is_the_precision_of_probabilities_that_are_right():
    """Labels drawn from the probabilities themselves: at each cut-off, the expected share of wrong ones comes true."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1.0, 1.0, 1.0], size=20_000)
    clean = (rng.random((20_000, 1)) > probs.cumsum(axis=1)).sum(axis=1)
    audit = audit_labels(rng.integers(3, size=20_000), probs, score="self_confidence")
    wrong = (audit.labels != clean)[audit.ranking]
    for cut in (500, 5000, 20_000):
        assert wrong[:cut].mean() == pytest.approx(audit.expected_precision[cut - 1], abs=0.02)


def test_confusions_and_noise_of_each_class():
    audit = evidence().audit()
    assert [tuple(pair) for pair in audit.confusions()] == [(0, 1, 2, 1.0)]  # both rows taken for class 1 were given 0
    np.testing.assert_allclose(audit.class_noise_rates, [2 / 3, 0.0, 0.0])
    assert audit.confusions(limit=0) == []


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on one table that differ by their seeds, and one on other labels."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    clean = rng.integers(2, size=120)
    frame = pd.DataFrame({"key": [f"k{row}" for row in range(120)], "x": clean + 0.3 * rng.normal(size=120)})
    frame["label"] = np.where(rng.random(120) < 0.2, 1 - clean, clean)
    options = ReadOptions(label="label", id="key")
    for name, seed, labels in (("a", 0, frame["label"]), ("b", 1, frame["label"]), ("other", 0, clean)):
        config = elr.FitConfig(seed=seed, epochs=5)
        elr.fit(frame.assign(label=labels), out=folder / name, options=options, config=config)
    return folder


def test_a_folder_says_what_the_run_said(runs):
    found = read_evidence(runs / "a")
    issues = pd.read_csv(runs / "a" / "issues.csv")
    pd.testing.assert_frame_equal(issues_table(found, found.audit()), issues, check_dtype=False, atol=1e-4)
    assert list(found.ids[:2]) == ["k0", "k1"]


def test_several_runs_are_averaged(runs):
    one, two, both = read_evidence(runs / "a"), read_evidence(runs / "b"), read_evidence(runs / "a", runs / "b")
    np.testing.assert_allclose(both.pred_probs, (one.pred_probs + two.pred_probs) / 2, atol=1e-6)
    assert not np.allclose(one.pred_probs, two.pred_probs)
    with pytest.raises(ArgumentError, match="have different given labels: expected runs on the same data"):
        read_evidence(runs / "a", runs / "other")


def test_margins_are_read_averaged_and_ranked_by(runs):
    one, two, both = read_evidence(runs / "a"), read_evidence(runs / "b"), read_evidence(runs / "a", runs / "b")
    assert one.margins.shape == (120,)
    np.testing.assert_allclose(both.margins, (one.margins + two.margins) / 2, atol=1e-6)
    audit = both.audit(score="aum")
    np.testing.assert_array_equal(audit.ranking, np.argsort(both.margins, kind="stable"))


def test_issues_csv_is_a_view_that_nothing_reads_back(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "run")
    before = read_evidence(tmp_path / "run").audit()
    (tmp_path / "run" / "issues.csv").write_text("anything")
    np.testing.assert_array_equal(read_evidence(tmp_path / "run").audit().label_quality, before.label_quality)


def test_the_file_says_what_it_holds(runs):
    lines = pq.read_table(runs / "a" / "evidence.parquet")
    assert lines.schema.names == ["row", "id", "label", "margin", "fingerprint", "pred_probs"]
    assert json.loads(lines.schema.metadata[b"class_names"]) == [0, 1]
    assert lines["id"].to_pylist() == [f"k{row}" for row in range(120)]
    assert [sum(probs) for probs in lines["pred_probs"].to_pylist()] == pytest.approx([1.0] * 120)


def test_chunks_of_any_size_are_written_as_they_are_and_never_held(tmp_path, monkeypatch):
    """More rows than are read or written at a time, in chunks of odd sizes."""
    monkeypatch.setattr(auditing, "_NUMBERS", 30)
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), size=57).astype("float32")
    sizes = [0, 1, 25, 7, 24]

    def chunks():
        return np.split(probs, np.cumsum(sizes)[:-1])

    written = evidence(
        rows=np.arange(57),
        ids=None,
        labels=rng.integers(3, size=57),
        margins=np.full(57, np.nan, "float32"),
        chunks=chunks,
    )
    (tmp_path / "run").mkdir()
    audit = write_evidence(tmp_path / "run" / "evidence.parquet", written)
    about = {"status": "complete", "preprocessing": {"class_names": ["x", "y", "z"]}, "data": {"num_examples": 57}}
    files.write_json(tmp_path / "run" / "run.json", about)
    found = read_evidence(tmp_path / "run")
    assert [len(chunk) for chunk in found.chunks()] == [10, 10, 10, 10, 10, 7]
    np.testing.assert_array_equal(found.pred_probs, probs)
    whole = audit_labels(written.labels, probs)
    for each in (audit, found.audit(), written.audit()):
        for name in ("predicted_labels", "label_quality", "is_label_issue", "error_probs", "transition_matrix"):
            np.testing.assert_array_equal(getattr(each, name), getattr(whole, name))
    np.testing.assert_array_equal(found.probs_of(found.labels), probs[np.arange(57), found.labels])
    twice = read_evidence(tmp_path / "run", tmp_path / "run")
    np.testing.assert_array_equal(twice.pred_probs, probs)


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_named(runs, tmp_path, kept):
    shutil.copytree(runs / "a", tmp_path / "run")
    path = tmp_path / "run" / "evidence.parquet"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(ArtifactError, match=r"evidence\.parquet"):
        read_evidence(tmp_path / "run")


def test_every_damaged_byte_is_found_or_harmless(runs, tmp_path):
    """A byte changed anywhere: an error that names the file, or the same evidence."""
    shutil.copytree(runs / "a", tmp_path / "run")
    path = tmp_path / "run" / "evidence.parquet"
    content = path.read_bytes()
    whole, errors = read_evidence(runs / "a").pred_probs, []
    for place in range(4, len(content) - 8, max(1, len(content) // 60)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            np.testing.assert_array_equal(read_evidence(tmp_path / "run").pred_probs, whole)
        except ArtifactError as error:
            errors.append(str(error))
    assert len(errors) > 20
    assert all("evidence.parquet" in error for error in errors)


def test_a_foreign_file_is_refused(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "run")
    path = tmp_path / "run" / "evidence.parquet"
    pd.DataFrame({"row": [0], "label": [1]}).to_parquet(path)
    with pytest.raises(ArtifactError, match=r"evidence\.parquet is damaged, or no evidence of a run"):
        read_evidence(tmp_path / "run")
    shutil.copy(runs / "a" / "evidence.parquet", path)
    table = pq.read_table(path)
    deep = dict.fromkeys(table.schema.metadata, b"[" * 100_000)
    pq.write_table(table.replace_schema_metadata(deep), path)
    with pytest.raises(ArtifactError, match=r"evidence\.parquet is damaged"):
        read_evidence(tmp_path / "run")
    path.unlink()
    with pytest.raises(ArtifactError, match=r"evidence\.parquet cannot be read"):
        read_evidence(tmp_path / "run")


def test_a_mixed_up_folder_is_refused(runs, tmp_path):
    shutil.copytree(runs / "a", tmp_path / "run")
    run = files.read_json(tmp_path / "run" / "run.json")
    run["data"]["num_examples"] = run["results"]["num_examples"] = 117  # a run.json of one run that is whole
    files.write_json(tmp_path / "run" / "run.json", run)
    with pytest.raises(ArtifactError, match="do not belong together"):
        read_evidence(tmp_path / "run")
    with pytest.raises(ArtifactError, match="is not a folder"):
        read_evidence(tmp_path / "nothing")


def small_evidence(*, ids=None, chunks=None, labels=(0, 1)):
    probs = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    return Evidence(
        rows=np.arange(2),
        ids=ids,
        class_names=(np.int64(3), "b"),
        labels=np.array(labels),
        margins=np.zeros(2, dtype=np.float32),
        chunks=lambda: [probs] if chunks is None else chunks,
    )


def test_an_incomplete_table_does_not_get_its_name(tmp_path):
    with pytest.raises(ArgumentError, match="1 rows for 2 labels"):
        write_evidence(tmp_path / "e.parquet", small_evidence(chunks=[np.array([[0.5, 0.5]], dtype=np.float32)]))
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_text_are_written_escaped(tmp_path):
    write_evidence(tmp_path / "e.parquet", small_evidence(ids=["\udce9", "é"]))
    assert pq.read_table(tmp_path / "e.parquet")["id"].to_pylist() == ["\\udce9", "é"]


@pytest.mark.parametrize("labels", [[0, 7], [-1, 0], [0, None]])
def test_labels_that_are_no_classes_are_damage(labels, tmp_path):
    run = {"status": "complete", "preprocessing": {"class_names": [3, "b"]}, "data": {"num_examples": 2}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    path = tmp_path / "evidence.parquet"
    write_evidence(path, small_evidence())
    assert read_evidence(tmp_path).class_names == (3, "b")
    table = pq.read_table(path)
    place = table.schema.get_field_index("label")
    pq.write_table(table.set_column(place, "label", pa.array(labels, pa.int32())), path)
    with pytest.raises(ArtifactError, match=r"evidence\.parquet is damaged"):
        read_evidence(tmp_path)


def test_evidence_keeps_whether_it_is_out_of_fold(tmp_path):
    about = {"status": "complete", "data": {"num_examples": 4}, "preprocessing": {"class_names": ["x", "y", "z"]}}
    folders = []
    for name, blind in (("blind", True), ("seen", False)):
        folders.append(tmp_path / name)
        folders[-1].mkdir()
        files.write_json(folders[-1] / files.RUN_FILE, about)
        audit = write_evidence(folders[-1] / files.EVIDENCE_FILE, evidence(out_of_fold=blind))
        found = read_evidence(folders[-1])
        assert found.out_of_fold is blind
        assert audit.out_of_fold is blind
        np.testing.assert_array_equal(found.audit().label_quality, audit.label_quality)
    assert read_evidence(folders[0], folders[0]).out_of_fold
    assert not read_evidence(*folders).out_of_fold  # in the mean, a label has a say that was seen


def test_a_number_that_changed_on_the_disk_is_found(tmp_path):
    """Whatever byte of the probabilities it is: they are noise, so that no compression finds anything in them."""
    probs = np.random.default_rng(0).dirichlet([1.0, 1.0], size=40).astype(np.float32)
    about = {"status": "complete", "data": {"num_examples": 40}, "preprocessing": {"class_names": ["a", "b"]}}
    files.write_json(tmp_path / files.RUN_FILE, about)
    path, parts = tmp_path / files.EVIDENCE_FILE, {"rows": np.arange(40), "labels": np.zeros(40, dtype=int)}
    parts |= {"margins": np.zeros(40, dtype=np.float32), "ids": None, "class_names": ("a", "b")}
    write_evidence(path, Evidence(**parts, chunks=lambda: [probs]))
    np.testing.assert_array_equal(read_evidence(tmp_path).pred_probs, probs)
    content = path.read_bytes()
    first = content.find(probs[5].tobytes())
    assert first > 0, "they lie in the file as they are"
    for place in range(first, first + 64, 5):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ArtifactError, match=r"evidence\.parquet"):
            _ = read_evidence(tmp_path).pred_probs


def test_the_mean_of_runs_is_that_of_the_exact_numbers(tmp_path):
    about = {"status": "complete", "data": {"num_examples": 40}, "preprocessing": {"class_names": ["a", "b", "c"]}}
    rng, folders, tables = np.random.default_rng(0), [], []
    for number in range(7):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        files.write_json(folders[-1] / files.RUN_FILE, about)
        tables.append(rng.dirichlet([1.0, 1.0, 1.0], size=40).astype(np.float32))
        parts = {"rows": np.arange(40), "labels": np.zeros(40, dtype=int), "ids": None, "class_names": ("a", "b", "c")}
        parts |= {"margins": np.zeros(40, dtype=np.float32), "chunks": lambda: [tables[-1]]}
        write_evidence(folders[-1] / files.EVIDENCE_FILE, Evidence(**parts))
    [chunk] = read_evidence(*folders).chunks()
    assert chunk.dtype == np.float32
    np.testing.assert_array_equal(chunk, np.mean(np.array(tables, dtype=np.float64), axis=0).astype(np.float32))


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 1), pa.list_(pa.float32()), pa.list_(pa.float64(), 2)])
def test_probabilities_of_another_shape_are_damage(kind, tmp_path):
    run = {"status": "complete", "preprocessing": {"class_names": [3, "b"]}, "data": {"num_examples": 2}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    path = tmp_path / "evidence.parquet"
    write_evidence(path, small_evidence())
    table = pq.read_table(path)
    place, width = table.schema.get_field_index("pred_probs"), getattr(kind, "list_size", 2)
    pq.write_table(table.set_column(place, "pred_probs", pa.array([[0.5] * width] * 2, kind)), path)
    with pytest.raises(ArtifactError, match=r"evidence\.parquet is damaged, or no evidence of a run \(pred_probs are"):
        read_evidence(tmp_path)


def test_silenced_rows_are_found_again_across_chunks():
    probs = np.random.default_rng(0).dirichlet(np.ones(3), size=7).astype(np.float32)
    rows = np.array([False, True, False, False, True, True, False])
    chunks = list(silenced([probs[:2], probs[2:4], probs[4:]], rows))
    assert [len(chunk) for chunk in chunks] == [2, 2, 3]
    found = np.concatenate(chunks)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[~rows], probs[~rows])
    assert (np.ptp(found[rows], axis=1) == 0).all()
