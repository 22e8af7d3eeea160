"""Columns of Parquet files: images in the layout of the hub, class names, damaged files."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from elr.data.formats.images import decode_images
from elr.data.pictures.parquet_images import (
    parquet_class_names,
    parquet_columns,
    parquet_image_columns,
    parquet_images,
    parquet_length,
    read_parquet_columns,
)
from elr.errors import DataError
from pictures import color, encoded


def write_parquet(path, columns, features=None):
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    pq.write_table(table, path)
    return path


RECORD = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_image_columns_are_records_or_bytes_that_begin_like_images(tmp_path):
    image = encoded(color())
    path = write_parquet(
        tmp_path / "t.parquet",
        {
            "label": [0, 1],
            "key": pa.array([b"\x00\x01", b"\x02\x03"]),
            "img": pa.array([{"bytes": image, "path": None}, None], RECORD),
            "raw": pa.array([None, image], pa.large_binary()),
            "place": pa.array([{"x": 1}, {"x": 2}]),
            "nothing": pa.array([None, None], pa.binary()),
        },
    )
    assert parquet_image_columns(path) == ["img", "raw"]
    assert parquet_columns(path) == ["label", "key", "img", "raw", "place", "nothing"]
    assert read_parquet_columns(path, ["label"]).to_dict("list") == {"label": [0, 1]}


def test_images_of_a_parquet_file_lie_in_it_or_beside_it(tmp_path):
    image = encoded(color())
    (tmp_path / "beside.png").write_bytes(image)
    cells = [
        {"bytes": image, "path": "a.png"},
        {"bytes": image, "path": None},
        {"bytes": None, "path": "beside.png"},
        {"bytes": b"", "path": "absent.png"},
        {"bytes": None, "path": None},
        None,
    ]
    path = write_parquet(tmp_path / "t.parquet", {"img": pa.array(cells, RECORD)})
    assert list(parquet_images(path, "img")) == [
        (image, "a.png"),
        (image, "row 1"),
        (tmp_path / "beside.png", "beside.png"),
        (tmp_path / "absent.png", "absent.png"),
        (None, "row 4"),
        (None, "row 5"),
    ]
    decoded = decode_images(lambda: parquet_images(path, "img"), count=parquet_length(path), skip_unreadable=True)
    assert decoded.rows.tolist() == [0, 1, 2]
    assert decoded.unreadable == ["absent.png", "row 4", "row 5"]
    path = write_parquet(tmp_path / "b.parquet", {"img": pa.array([image, None], pa.binary())})
    assert list(parquet_images(path, "img")) == [(image, "row 0"), (None, "row 1")]


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}, ["cat", "dog"]),
        ({"label": {"names": [1, 2]}}, ["1", "2"]),
        ({"label": {"dtype": "int64", "_type": "Value"}}, None),
        ({"other": {"names": ["cat", "dog"]}}, None),
        ({"label": [{"names": ["cat"]}]}, None),
        ([], None),
        (None, None),
    ],
)
def test_class_names_of_the_hub(tmp_path, features, expected):
    path = write_parquet(tmp_path / "t.parquet", {"label": [0, 1]}, features)
    assert parquet_class_names(path, "label") == expected


def test_class_names_that_are_no_json(tmp_path):
    pq.write_table(pa.table({"label": [0]}).replace_schema_metadata({b"huggingface": b"{"}), tmp_path / "t.parquet")
    assert parquet_class_names(tmp_path / "t.parquet", "label") is None


def test_files_that_are_no_parquet_or_damaged(tmp_path):
    path = tmp_path / "t.parquet"
    for content in (b"", b"PAR1", b"text" * 100):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet: .*; mend or replace the file"):
            parquet_columns(path)
    rng = np.random.default_rng(0)
    cells = [{"bytes": rng.bytes(500), "path": None} for _ in range(50)]
    write_parquet(path, {"img": pa.array(cells, RECORD), "label": list(range(50))})
    content = bytearray(path.read_bytes())
    content[4:-900] = bytes(len(content) - 904)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(parquet_images(path, "img"))
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_parquet_columns(path, ["label"])


def test_pipes_and_folders_that_a_record_names_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    path = tmp_path / "t.parquet"
    pq.write_table(
        pa.table({"img": [{"bytes": None, "path": name} for name in ("pipe.png", "/dev/zero", "gone")]}), path
    )
    assert list(parquet_images(path, "img")) == [(None, "pipe.png"), (None, "/dev/zero"), (tmp_path / "gone", "gone")]


def test_records_whose_bytes_are_no_bytes_hold_no_images(tmp_path):
    path = tmp_path / "t.parquet"
    for value in ("text", 7, [1, 2]):
        pq.write_table(pa.table({"img": [{"bytes": value, "path": 3}]}), path)
        assert parquet_image_columns(path) == []
    pq.write_table(pa.table({"img": [{"bytes": None, "path": 3}]}), path)
    assert list(parquet_images(path, "img")) == [(tmp_path / "3", "3")]
