"""What all formats promise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from elr.data.formats.catalog import FORMATS
from elr.data.formats.format import FileFormat, TypedColumns, refuse_columns
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import DataError

FILES = {name: form for name, form in FORMATS.items() if isinstance(form, FileFormat)}


def test_no_two_formats_recognize_one_file(tmp_path):
    suffixes = [suffix for form in FILES.values() for suffix in form.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    for suffix in suffixes:
        for path in (tmp_path / f"t{suffix}", str(tmp_path / f"t{suffix.upper()}")):
            assert sum(form.recognizes(path) for form in FORMATS.values()) == 1
    (tmp_path / "photos.csv").mkdir()
    first = next(form for form in FORMATS.values() if form.recognizes(tmp_path / "photos.csv"))
    assert first is FORMATS["folder"]


@pytest.mark.parametrize("name", FILES)
def test_a_path_is_called_what_it_is_and_has_its_labels_there(name):
    assert FILES[name].source("a/b.x") == "a/b.x"
    expected = "labels" if name == "npy" else "data"
    assert FILES[name].label_file(Path("data"), "labels") == Path(expected)


def _write(frame: pd.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif kind == "npz":
        np.savez(path, x=frame[["x0", "x1"]].to_numpy(), y=frame["y"].to_numpy())
    elif kind == "parts":
        path.mkdir()
        for half in range(2):
            frame[half::2].to_parquet(path / f"{half}.parquet")
    else:
        {"parquet": frame.to_parquet, "feather": frame.reset_index(drop=True).to_feather}[kind](path)
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "feather", "npz", "parts"])
def test_what_takes_more_memory_than_is_allowed_is_refused_before_it_is_read(kind, tmp_path):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(90_000, 2)), columns=["x0", "x1"]).assign(y=np.arange(90_000) % 2)
    path = _write(frame, tmp_path, kind)
    needed = FORMATS[kind if kind != "jsonl" else "json_lines"].memory_needed(path)
    assert needed > 2**20
    message = rf"t\.{kind} takes .* GB of memory or more .*max_memory is 0\.00105 GB: only images are streamed"
    with pytest.raises(DataError, match=message):
        read_data(path, ReadOptions(label="y", max_memory=2**20))
    assert len(read_data(path, ReadOptions(label="y", max_memory=needed))) == 90_000


def test_processes_of_one_machine_share_what_may_be_taken(tmp_path, monkeypatch):
    frame = pd.DataFrame({"x0": np.zeros(90_000), "x1": 0.0, "y": np.arange(90_000) % 2})
    path = _write(frame, tmp_path, "npz")
    needed = FORMATS["npz"].memory_needed(path)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(DataError, match="to read and prepare by 2 processes together, and max_memory is"):
        read_data(path, ReadOptions(label="y", max_memory=needed))
    assert len(read_data(path, ReadOptions(label="y", max_memory=2 * needed))) == 90_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "q"}, "it is no table and has no text column 'q': leave out --text"),
        ({"embedding": "e"}, "it is no table and has no embedding column 'e'"),
        ({"annotators": ("a",)}, "it is no table: labels of several annotators are for tables"),
    ],
)
def test_columns_of_what_is_no_table_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        refuse_columns(ReadOptions(**options), "it")
    refuse_columns(ReadOptions(label="y"), "it")


@pytest.mark.parametrize("values", [[["cat"], ["dog"]], [b"\xffcat", b"dog"]])
def test_what_pandas_once_wrote_about_types_does_not_decide(values):
    frame = pd.DataFrame({"x": [1, 2], "y": ["cat", "dog"]}, index=[7, 8])
    table = pa.Table.from_pandas(frame)
    table = table.set_column(1, "y", pa.array(values))
    found = TypedColumns.typed_frame(table, "it")
    assert list(found.columns) == ["x", "y"]
    assert list(map(type, found["y"])) == list(map(type, table.to_pandas(ignore_metadata=True)["y"]))
