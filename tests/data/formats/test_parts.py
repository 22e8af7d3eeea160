"""Folders of the parts of one table: what is read as one, what is refused, corrected copies."""

import base64
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from elr.data.formats.catalog import FORMATS
from elr.data.formats.folder import ImageFolder
from elr.data.formats.parts import PartsFolder
from elr.data.reading import format_of, read_data
from elr.data.records import ReadOptions
from elr.errors import DataError
from pictures import color, encoded

FRAME = pd.DataFrame(
    {"x": [1, 2, 3, 4, 5], "code": ["007", "8", "9", "10", "11"], "y": ["cat", "cat", "dog", "dog", "cat"]}
)
PARTS = FORMATS["parts"]
CUTS = {"part-0": slice(0, 2), "part-1": slice(2, 4), "part-2": slice(4, 5)}
WRITERS = {
    "parquet": lambda frame, path: frame.to_parquet(path, index=False),
    "feather": lambda frame, path: frame.reset_index(drop=True).to_feather(path),
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}


def write(root, suffix="parquet", frame=FRAME, cuts=CUTS):
    for name, cut in cuts.items():
        path = root / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        WRITERS[suffix](frame.iloc[cut], path)
    return root


@pytest.mark.parametrize("suffix", WRITERS)
def test_parts_are_one_table(tmp_path, suffix):
    root = write(tmp_path / "t", suffix)
    (root / "_SUCCESS").touch()
    (root / f".part-0.{suffix}.crc").write_bytes(b"crc")
    assert isinstance(format_of(root), PartsFolder)
    records = read_data(root, ReadOptions(label="y"))
    assert records.labels == FRAME["y"].tolist()
    assert records.table.astype(str).equals(FRAME[["x", "code"]].astype(str))
    assert records.facts["rows"] == 5
    assert list(records.facts["parts"].values()) == [2, 2, 1]
    assert f"one table of 3 files in order of their names (rows): part-0.{suffix} (2), part-1" in records.remarks[0]


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_corrected_copy_has_the_same_parts(tmp_path, suffix):
    root, copy = write(tmp_path / "t", suffix), tmp_path / "copy"
    (root / "_SUCCESS").touch()
    PARTS.write_corrected(root, copy, ReadOptions(label="y"), {0: 2, 4: 3, 3: 1})
    assert PARTS.labels(copy, ReadOptions(label="y")) == ["dog", "cat", "dog", "cat", "dog"]
    assert sorted(path.name for path in copy.iterdir()) == sorted(path.name for path in root.iterdir())
    assert PARTS.frame(copy).drop(columns="y").equals(PARTS.frame(root).drop(columns="y"))


def test_folders_are_columns_of_a_partitioned_table(tmp_path):
    root = write(tmp_path, cuts={"year=2020/town=a%20b/p-0": slice(0, 2), "year=2021/town=c/p-0": slice(2, 5)})
    frame = PARTS.frame(root)
    assert frame["year"].tolist() == [2020, 2020, 2021, 2021, 2021]
    assert frame["town"].tolist() == ["a b", "a b", "c", "c", "c"]
    with pytest.raises(DataError, match=r"names of its folders \(year=\.\.\.\)"):
        PARTS.write_corrected(root, tmp_path / "copy", ReadOptions(label="year"), {0: 2})


def test_lines_of_parts_add_up(tmp_path):
    facts = PARTS.table(write(tmp_path, "csv")).facts
    assert facts["lines"] == 8 == facts["lines_before_rows"] + facts["rows"]


def test_a_part_without_a_value_has_the_type_of_the_others(tmp_path):
    pq.write_table(pa.table({"x": [1, 2], "y": ["a", "b"]}), tmp_path / "p-0.parquet")
    pq.write_table(pa.table({"y": ["a"], "x": pa.nulls(1)}), tmp_path / "p-1.parquet")
    assert PARTS.frame(tmp_path)["x"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.csv": "x,y\n1,a\n", "test.csv": "x,y\n1,a\n"}, r"several tables \('test.csv', 'train.csv'\)"),
        ({"a-1.csv": "x,y\n1,a\n", "a-2.tsv": "x\ty\n1\ta\n"}, "several formats"),
        (
            {"train/a.csv": "x,y\n1,a\n", "test/a.csv": "x,y\n1,a\n"},
            r"subfolders \('test', 'train'\).*another as --test",
        ),
        ({"a-1.csv": "x,y\n1,a\n", "a-2.csv": "x,z\n1,a\n"}, "a-1.csv of .* has a column 'y', a-2.csv has none"),
        ({"a-1.csv": "x,y\n1,a\n", "a-2.csv": "x,y,z\n1,a,2\n"}, "a-2.csv of .* has a column 'z', a-1.csv has none"),
        ({"a-1.csv": "x,y\n1,a\n", "a-2.csv": "x,y\n1,a,2\n"}, r"a-2.csv .* line 2 has 3"),
        ({"a-1.jsonl": '{"x": 1}\n', "a-2.jsonl": '{"x": \n'}, r"line 1 of .*a-2.jsonl is damaged"),
    ],
)
def test_what_is_not_one_table(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert isinstance(format_of(tmp_path), PartsFolder)
    with pytest.raises(DataError, match=message):
        read_data(tmp_path, ReadOptions(label="y"))


def test_parts_of_two_types(tmp_path):
    pq.write_table(pa.table({"x": [1], "y": ["a"]}), tmp_path / "p-0.parquet")
    pq.write_table(pa.table({"x": ["1"], "y": ["a"]}), tmp_path / "p-1.parquet")
    with pytest.raises(DataError, match=r"column 'x' is int64 in p-0.parquet and string in p-1.parquet"):
        read_data(tmp_path, ReadOptions(label="y"))
    (tmp_path / "p-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"p-1.parquet cannot be read"):
        read_data(tmp_path, ReadOptions(label="y"))


def test_parts_with_images_are_one_data_set(tmp_path):
    for part in range(2):
        images = [{"bytes": encoded(color()), "path": None}] * 2
        pq.write_table(pa.table({"img": images, "y": ["a", "b"]}), tmp_path / f"p-{part}.parquet")
    records = read_data(tmp_path, ReadOptions(label="y"))
    assert records.images.shape == (4, 3, 16, 16)
    assert records.ids[2] == "p-1.parquet, row 0"
    FORMATS["parts"].write_corrected(tmp_path, tmp_path.with_name("new"), ReadOptions(label="y"), {0: 3})
    assert FORMATS["parts"].labels(tmp_path.with_name("new"), ReadOptions(label="y")) == ["b", "b", "a", "b"]
    (tmp_path / "p-1.parquet").unlink()
    pq.write_table(pa.table({"img": images, "z": ["a", "b"]}), tmp_path / "p-2.parquet")
    with pytest.raises(DataError, match=r"has a column 'y', p-2.parquet has none"):
        read_data(tmp_path, ReadOptions(label="y"))


def test_images_of_parts_are_shown_to_browsers(tmp_path):
    encodings = [encoded(color((number, 0, 0))) for number in range(5)]
    for part, rows in enumerate([encodings[:2], encodings[2:]]):
        images = [{"bytes": each, "path": None} for each in rows]
        pq.write_table(pa.table({"img": images, "y": ["a"] * len(rows)}), tmp_path / f"p-{part}.parquet")
    urls = FORMATS["parts"].pictures(tmp_path, ReadOptions(label="y"), [4, 1, 2], [])
    assert [base64.b64decode(url.partition(",")[2]) for url in urls] == [encodings[row] for row in (4, 1, 2)]
    with pytest.raises(DataError, match="has fewer rows than the run"):
        FORMATS["parts"].pictures(tmp_path, ReadOptions(label="y"), [5], [])


def test_folders_that_hold_no_table(tmp_path):
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "1.png").touch()
    (tmp_path / "images" / "labels.csv").write_text(json.dumps({}))
    (tmp_path / "texts" / "pos").mkdir(parents=True)
    (tmp_path / "texts" / "pos" / "1.txt").touch()
    for name in ("images", "texts"):
        assert isinstance(format_of(tmp_path / name), ImageFolder)
    with pytest.raises(DataError, match="holds no files of a table"):
        PARTS.parts(tmp_path / "texts")
    with pytest.raises(DataError, match="no such folder"):
        PARTS.parts(tmp_path / "absent")


@pytest.mark.parametrize(("suffix", "place"), [("csv", r"line 3 of .*part-1\.csv \(row 3\)"), ("parquet", "row 3")])
def test_rows_are_told_with_the_line_of_their_part(tmp_path, suffix, place):
    root = write(tmp_path / "t", suffix, FRAME.assign(y=["cat", "dog", "cat", None, None]))
    then = r"line 2 of .*part-2\.csv" if suffix == "csv" else "4"
    with pytest.raises(DataError, match=f"missing in 2 of 5 rows, first in {place}: .*; then {then}$"):
        read_data(root, ReadOptions(label="y"))
