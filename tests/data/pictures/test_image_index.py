"""The file that fixes which row of a run is which image; tests/test_streaming.py has whole runs."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from elr.data.pictures.image_index import ImageIndex, index_at
from elr.data.pictures.image_store import FileImages
from elr.errors import ArtifactError, CheckpointError


@pytest.fixture
def store(tmp_path):
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / name).write_bytes(name.encode())
    return FileImages(tmp_path, pa.array([b"1.png", b"2.png", b"3.png"], pa.large_binary()), anywhere=True)


def test_what_is_written_is_read(store, tmp_path):
    ImageIndex.of(store.take(np.array([0, 2])), [5, 7]).write(tmp_path / "index.parquet")
    found = index_at(str(tmp_path / "index.parquet"))
    assert found.rows.tolist() == [0, 2]
    assert found.labels == [5, None, 7]
    assert found.table["size"].to_pylist() == [5, 5, 5]
    found.check_files(store)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_a_damaged_index_is_named(tmp_path):
    (tmp_path / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"index.parquet cannot be read .* begin anew"):
        index_at(str(tmp_path / "index.parquet"))


def test_a_file_that_changed_in_size_is_named(store, tmp_path):
    index = ImageIndex.of(store, ["a", "b", "a"])
    (tmp_path / "2.png").write_bytes(b"longer than before")
    with pytest.raises(CheckpointError, match=r"2.png is not the file with which the run began"):
        index.check_files(store)
    with pytest.raises(CheckpointError, match=r"shard new.tar is new"):
        index.check_shards([tmp_path / "new.tar"])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("name", None),
        ("used", None),
        ("size", None),
        ("mtime", None),
        ("size", ["x"] * 3),
        ("mtime", [1, None, 3]),
        ("name", [7] * 3),
    ],
)
def test_an_index_with_other_columns_is_named(store, tmp_path, column, values):
    index = ImageIndex.of(store, ["a", "b", "a"])
    table = index.table.drop_columns([column])
    replace(index, table=table if values is None else table.append_column(column, pa.array(values))).write(
        tmp_path / "index.parquet"
    )
    with pytest.raises(ArtifactError, match=rf"index.parquet cannot be read \(.*{column}.*\): the run is damaged"):
        index_at(str(tmp_path / "index.parquet"))
