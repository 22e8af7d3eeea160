"""Decisions go to the rows that were decided on, or nowhere: data that have changed since the run are refused."""

import csv
import hashlib
import io

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

import elr
from elr import files
from elr.audit.cleaning.decisions import clean
from elr.data.records import ReadOptions
from elr.errors import DataError

QUICK = elr.FitConfig(epochs=1, batch_size=8)
TOLD = "the data have changed since; train again, or name those of the run with --data"


def table(count=24):
    numbers = np.random.default_rng(0).normal(size=count).round(3)
    columns = {"key": [f"k{row}" for row in range(count)], "x": numbers, "n": list("uvw" * (count // 3))}
    return pd.DataFrame(columns | {"y": ["a", "b"] * (count // 2), "note": "any"})


def within_classes(frame):
    """The rows in another order, the labels in the same."""
    return frame.iloc[[2, 3, 0, 1, *range(4, len(frame))]].reset_index(drop=True)


def fitted(data, out, **options):
    elr.fit(data, out=out, config=QUICK, options=ReadOptions(**options))
    return out


def decided(path, *lines):
    path.write_text("\n".join(["row,id,given_label,decision,label", *lines, ""]))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same table, learned from with names of rows and without, and decisions on row 0 of both."""
    folder = tmp_path_factory.mktemp("now")
    table().to_csv(folder / "t.csv", index=False)
    fitted(folder / "t.csv", folder / "named", label="y", id="key", ignore=("note",))
    fitted(folder / "t.csv", folder / "plain", label="y", ignore=("key", "note"))
    decided(folder / "named.csv", "0,k0,a,relabel,b")
    decided(folder / "plain.csv", "0,,a,relabel,b")
    return folder


def cleaned(runs, name, frame, tmp_path):
    """The corrected copy of some data, by the decisions on a run."""
    frame.to_csv(tmp_path / "now.csv", index=False)
    before = hashlib.sha256((tmp_path / "now.csv").read_bytes()).digest()
    try:
        clean(runs / name, runs / f"{name}.csv", tmp_path / "out.csv", data=tmp_path / "now.csv")
    except DataError:
        assert [path.name for path in tmp_path.iterdir()] == ["now.csv"]
        raise
    finally:
        assert hashlib.sha256((tmp_path / "now.csv").read_bytes()).digest() == before
    return pd.read_csv(tmp_path / "out.csv")


@pytest.mark.parametrize("order", ["within classes", "any"])
def test_rows_that_have_names_are_found_wherever_they_stand(runs, tmp_path, order):
    frame = within_classes(table()) if order == "within classes" else table().sample(frac=1, random_state=1)
    new = cleaned(runs, "named", frame, tmp_path)
    assert new["key"].tolist() == frame["key"].tolist()
    assert new.loc[new["y"].to_numpy() != frame["y"].to_numpy(), "key"].tolist() == ["k0"]


def test_rows_without_names_must_stand_where_they_stood(runs, tmp_path):
    with pytest.raises(DataError, match=r"4 of 24 rows of .*now\.csv have other cells .*, first row 0: " + TOLD):
        cleaned(runs, "plain", within_classes(table()), tmp_path)
    with pytest.raises(DataError, match=r"row 0 of .* has label 'b', the run was trained with 'a': " + TOLD):
        cleaned(runs, "plain", table().iloc[[1, 0, *range(2, 24)]], tmp_path)


@pytest.mark.parametrize("name", ["named", "plain"])
def test_rows_that_are_gone_or_new_are_told(runs, tmp_path, name):
    with pytest.raises(DataError, match=r"now\.csv has 23 rows with a label, the run was trained on 24"):
        cleaned(runs, name, table().iloc[1:], tmp_path)
    with pytest.raises(DataError, match=r"has 22 rows with a label, the run was trained on 24"):
        cleaned(runs, name, table().iloc[2:], tmp_path)
    more = pd.concat([table(), table().tail(2).assign(key=["new1", "new2"])])
    with pytest.raises(DataError, match=r"has 26 rows with a label, the run was trained on 24"):
        cleaned(runs, name, more, tmp_path)


@pytest.mark.parametrize("name", ["named", "plain"])
@pytest.mark.parametrize("column", ["x", "n"])
def test_cells_that_have_changed_are_told_where_they_were_learned_from(runs, tmp_path, name, column):
    frame = table()
    frame.loc[5, column] = {"x": 9.5, "n": "u"}[column]
    with pytest.raises(DataError, match=r"1 of 24 rows .* have other cells than the run was trained on, first row 5: "):
        cleaned(runs, name, frame, tmp_path)
    with pytest.raises(DataError, match=rf"has no column '{column}' any more: " + TOLD):
        cleaned(runs, name, table().drop(columns=column), tmp_path)


def test_other_columns_may_have_changed(runs, tmp_path):
    frame = table().assign(note="read", more=range(24))[["more", "note", "y", "n", "x", "key"]]
    assert cleaned(runs, "named", frame, tmp_path)["y"].tolist() == ["b", "b", *["a", "b"] * 11]


def test_labels_that_nobody_decided_on_must_be_those_of_the_run(runs, tmp_path):
    frame = table()
    frame.loc[20, "y"] = "b"
    for name in ("named", "plain"):
        with pytest.raises(DataError, match=r"row 20 of .* has label 'b', the run was trained with 'a': " + TOLD):
            cleaned(runs, name, frame, tmp_path)


def test_a_name_that_another_row_has_now_is_told(runs, tmp_path):
    frame = table()
    frame.loc[3, "key"] = "other"
    with pytest.raises(DataError, match=r"row 3 of .* \('k3'\) is not there, the run was trained on it: " + TOLD):
        cleaned(runs, "named", frame, tmp_path)


def test_a_run_that_kept_no_fingerprints_is_checked_by_labels(runs, tmp_path):
    """A run of before there were any."""
    run = tmp_path / "old"
    run.mkdir()
    for path in (runs / "plain").iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    evidence = pq.read_table(run / files.EVIDENCE_FILE)
    assert "fingerprint" in evidence.schema.names
    pq.write_table(evidence.drop_columns(["fingerprint"]), run / files.EVIDENCE_FILE)
    frame = table().assign(x=0.0)
    frame.to_csv(tmp_path / "now.csv", index=False)
    done = clean(run, runs / "plain.csv", tmp_path / "out.csv", data=tmp_path / "now.csv")
    assert done.num_changed == 1
    frame.assign(y=frame["y"][::-1].to_numpy()).to_csv(tmp_path / "now.csv", index=False)
    with pytest.raises(DataError, match=r"row 0 of .* has label 'b'"):
        clean(run, runs / "plain.csv", tmp_path / "out-2.csv", data=tmp_path / "now.csv")


@pytest.mark.parametrize("suffix", ["parquet", "tsv", "jsonl"])
def test_the_same_rows_in_another_format_are_the_same(runs, tmp_path, suffix):
    now = tmp_path / f"now.{suffix}"
    if suffix == "parquet":
        table().to_parquet(now)
    elif suffix == "tsv":
        table().to_csv(now, index=False, sep="\t")
    else:
        table().to_json(now, orient="records", lines=True)
    assert clean(runs / "plain", runs / "plain.csv", tmp_path / f"out.{suffix}", data=now).num_changed == 1


def test_rows_of_arrays_are_told_apart(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(20, 3)).astype("float32"), np.array([0, 1] * 10)
    decisions = decided(tmp_path / "d.csv", "0,,0,relabel,1")
    np.savez(tmp_path / "t.npz", x=x, y=y)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    one = fitted(tmp_path / "t.npz", tmp_path / "one", label="y")
    two = fitted(tmp_path / "x.npy", tmp_path / "two", label=str(tmp_path / "y.npy"))
    assert clean(one, decisions, tmp_path / "out.npz").num_changed == 1
    assert clean(two, decisions, tmp_path / "out.npy").num_changed == 1
    (tmp_path / "y.npy").rename(tmp_path / "moved.npy")
    assert clean(two, decisions, tmp_path / "out-2.npy", data=tmp_path / "moved.npy").num_changed == 1
    (tmp_path / "moved.npy").rename(tmp_path / "y.npy")
    np.savez(tmp_path / "t.npz", x=x[[2, 3, 0, 1, *range(4, 20)]], y=y)
    np.save(tmp_path / "x.npy", x[[2, 3, 0, 1, *range(4, 20)]])
    for run in (one, two):
        with pytest.raises(DataError, match=r"4 of 20 rows of .* have other values than the run was trained on, first"):
            clean(run, decisions, tmp_path / f"out-3{'.npz' if run is one else '.npy'}")


def test_texts_are_told_apart(tmp_path):
    frame = pd.DataFrame({"text": [f"word{row % 7} of {row}" for row in range(24)], "y": ["a", "b"] * 12})
    frame.to_csv(tmp_path / "t.csv", index=False)
    run = fitted(tmp_path / "t.csv", tmp_path / "run", label="y", text="text")
    decisions = decided(tmp_path / "d.csv", "0,,a,relabel,b")
    assert clean(run, decisions, tmp_path / "out.csv").num_changed == 1
    within_classes(frame).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"4 of 24 rows of .* have other cells"):
        clean(run, decisions, tmp_path / "out-2.csv")


def test_images_that_a_table_names_are_known_by_their_names(tmp_path):
    rng = np.random.default_rng(0)
    for row in range(12):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        (tmp_path / f"{row}.png").write_bytes(out.getvalue())
    frame = pd.DataFrame({"file": [f"{row}.png" for row in range(12)], "y": ["a", "b"] * 6})
    frame.to_csv(tmp_path / "t.csv", index=False)
    run = fitted(tmp_path / "t.csv", tmp_path / "run", label="y", image="file")
    decisions = decided(tmp_path / "d.csv", "0,0.png,a,relabel,b")
    within_classes(frame).to_csv(tmp_path / "t.csv", index=False)
    clean(run, decisions, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as lines:
        assert list(csv.reader(lines))[1:5] == [["2.png", "a"], ["3.png", "b"], ["0.png", "b"], ["1.png", "b"]]
