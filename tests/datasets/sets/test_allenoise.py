"""AlleNoise on small files of the published layout; the published ones cannot be had here."""

import hashlib
import json
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from elr.datasets.checking import OK, PROBLEM, WARNING, check
from elr.datasets.sets.allenoise import AlleNoise, Titles
from elr.errors import DataError
from tiny_allenoise import CATEGORIES, HEADER, ROWS, make, write_titles


def write_metadata(root):
    names = ("full_dataset.csv", "category_mapping.csv")
    entries = [{"name": name, "sha256": hashlib.sha256((root / name).read_bytes()).hexdigest()} for name in names]
    (root / "metadata.json").write_text(json.dumps({"distribution": entries}))


@pytest.mark.parametrize("below", ["", "allenoise"])
def test_contents(tmp_path, below):
    make(tmp_path / below)
    opened = AlleNoise().open(tmp_path)
    assert opened.class_names == tuple(name for _, name in CATEGORIES)
    assert list(opened.parts) == ["train"]
    train = opened.parts["train"]
    assert list(train.texts) == [title for _, title, _, _ in ROWS]
    assert train.labels.tolist() == [0, 1, 1, 2, 0, 1, 0]
    assert train.clean_labels.tolist() == [0, 2, 1, 2, 2, 1, 0]
    assert train.labels.dtype == train.clean_labels.dtype == np.int64
    assert train.noise_rate == pytest.approx(2 / 7)
    assert (train.images, train.verified, opened.remarks) == (None, None, [])


def test_columns_in_another_order_and_further_ones(tmp_path):
    make(tmp_path)
    frame = pd.DataFrame(ROWS, columns=HEADER)[[*HEADER[::-1]]].assign(more="x")
    frame.to_csv(tmp_path / "full_dataset.csv", sep="\t", index=False)
    train = AlleNoise().open(tmp_path).parts["train"]
    assert train.labels.tolist() == [0, 1, 1, 2, 0, 1, 0]
    assert train.texts[3] == "зонт 雨傘 ☂"


def test_quotes_are_read_as_the_authors_read_them(tmp_path):
    """By pandas.read_csv, whose rules for quotes inside of cells a file may rely on."""
    make(tmp_path)
    lines = ['1\tLED 24" lamp\t11068\t11068', '2\t"LED" lamp\t11068\t11068', '3\t"a ""b"" c"\t11068\t11068']
    path = tmp_path / "full_dataset.csv"
    path.write_text("\t".join(HEADER) + "\n" + "\n".join(lines) + "\n")
    expected = pd.read_csv(path, sep="\t")["text"].tolist()
    assert list(AlleNoise().open(tmp_path).parts["train"].texts) == expected == ['LED 24" lamp', "LED lamp", 'a "b" c']


def test_windows_lines_and_a_byte_order_mark(tmp_path):
    path = make(tmp_path, rows=ROWS[:2]) / "full_dataset.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert list(AlleNoise().open(tmp_path).parts["train"].texts) == [ROWS[0][1], ROWS[1][1]]


def test_titles_longer_than_a_block_and_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("elr.datasets.sets.allenoise._BLOCK", 1000)
    generator = random.Random(0)
    rows = [(row, "word " * generator.randrange(100) + "\n" + str(row), 11068, 10246) for row in range(500)]
    train = AlleNoise().open(make(tmp_path, rows=rows)).parts["train"]
    assert list(train.texts) == [title for _, title, _, _ in rows]
    assert set(train.labels.tolist()) == {1}


def test_classes_with_one_name_keep_apart(tmp_path):
    categories = [(1, "A > Other"), (2, "A > Other"), (3, "B")]
    rows = [(0, "x", 2, 1), (1, "y", 3, 3)]
    opened = AlleNoise().open(make(tmp_path, rows=rows, categories=categories))
    assert opened.class_names == ("A > Other [1]", "A > Other [2]", "B")
    assert opened.parts["train"].labels.tolist() == [0, 2]


def test_titles_are_a_sequence():
    titles = Titles(pa.chunked_array([["a", "b"], ["c", ""]]))
    assert (len(titles), titles[0], titles[-1], titles[np.int64(2)]) == (4, "a", "", "c")
    assert (titles[1:3], titles[::-1], titles[4:]) == (["b", "c"], ["", "c", "b", "a"], [])
    assert list(titles) == ["a", "b", "c", ""]
    assert "c" in titles
    with pytest.raises(IndexError):
        titles[4]
    assert list(Titles(pa.chunked_array([], pa.string()))) == []


# Bad input


def test_pointer_of_git_lfs(tmp_path):
    (make(tmp_path) / "full_dataset.csv").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4ef0\nsize 46000000\n"
    )
    with pytest.raises(
        DataError, match=r"full_dataset\.csv is a pointer of git lfs, not the data: .*run `git lfs pull`"
    ):
        AlleNoise().open(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", r"full_dataset\.csv cannot be read as a table \(Empty CSV file\)"),
        ("\t".join(HEADER) + "\n", r"full_dataset\.csv has no rows: expected one"),
        ("a,b\n1,2\n", r"begins with 'a,b': expected the names of columns, text, clean_category_id, noisy_category_id"),
        ("\t".join(HEADER[:3]) + "\n1\tx\t11068\n", r"begins with 'offer_id\\ttext.*expected the names of columns"),
        ("\t".join(HEADER) + "\n1\tx\t11068\n", r"Expected 4 columns, got 3.*may be incomplete: get it again"),
        ("\t".join(HEADER) + "\n1\tx\t11068\t10246\n2\ty\t11", r"Expected 4 columns, got 3"),
        ("\t".join(HEADER) + '\n1\t"x\t11068\t10246\n', r"Expected 4 columns, got 2"),
        ("\t".join(HEADER) + "\n1\tx\t11068\tmany\n", r"conversion error to int64: invalid value 'many'"),
        ("\t".join(HEADER) + "\n1\tx\t11068\t1.5\n", r"conversion error to int64: invalid value '1\.5'"),
        ("\t".join(HEADER) + "\n1\tx\t11068\t99999999999999999999\n", r"conversion error to int64"),
        (
            "\t".join(HEADER) + "\n1\tx\t11068\t11068\n2\ty\t11068\t5\n",
            r"has noisy_category_id 5 in row 1 \(counted from 0; one of 1 such rows\): expected a category_label",
        ),
        ("\t".join(HEADER) + "\n1\tx\t-1\t11068\n", r"has clean_category_id -1 in row 0"),
        ("\t".join(HEADER) + "\n1\tx\t\t11068\n", r"has clean_category_id None in row 0"),
    ],
)
def test_damaged_titles(tmp_path, content, reason):
    (make(tmp_path) / "full_dataset.csv").write_text(content)
    with pytest.raises(DataError, match=reason):
        AlleNoise().open(tmp_path)


def test_text_that_is_not_utf8(tmp_path):
    path = make(tmp_path) / "full_dataset.csv"
    path.write_bytes(path.read_bytes().replace("ó".encode(), b"\xf3"))
    with pytest.raises(
        DataError, match=r"full_dataset\.csv cannot be read as a table \(.*invalid UTF8 data\): expected UTF-8"
    ):
        AlleNoise().open(tmp_path)
    path.write_bytes(b"t\xe9xt\ta\n1\t2\n")
    with pytest.raises(DataError, match=r"begins with 't\\\\xe9xt\\ta'"):
        AlleNoise().open(tmp_path)


def test_categories_twice(tmp_path):
    make(tmp_path, categories=[*CATEGORIES, CATEGORIES[0]])
    with pytest.raises(DataError, match=r"category_mapping\.csv has 4 rows, but 3 different values of category_label"):
        AlleNoise().open(tmp_path)


def test_a_folder_in_place_of_a_file(tmp_path):
    (make(tmp_path) / "category_mapping.csv").unlink()
    (tmp_path / "category_mapping.csv").mkdir()
    with pytest.raises(DataError, match=r"category_mapping\.csv cannot be read \(Is a directory\): expected a file"):
        AlleNoise().open(tmp_path)


def test_checksums_of_metadata(tmp_path):
    write_metadata(make(tmp_path))
    assert AlleNoise().open(tmp_path).remarks == []
    write_titles(tmp_path / "full_dataset.csv", ROWS[:-1])
    assert AlleNoise().open(tmp_path).remarks == [
        f"{tmp_path}/full_dataset.csv is not the file that metadata.json describes: another version, or damaged"
    ]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"distribution": [{"name": []}]}', b"\xff", b"[" * 200_000])
def test_damaged_metadata_are_remarked(tmp_path, content):
    (make(tmp_path) / "metadata.json").write_bytes(content)
    opened = AlleNoise().open(tmp_path)
    assert opened.remarks == [f"{tmp_path}/metadata.json cannot be read: checksums were not compared"]
    assert len(opened.parts["train"]) == len(ROWS)


# Checked


def test_check(tmp_path):
    write_metadata(make(tmp_path))
    report = check(AlleNoise(), tmp_path)
    assert report.usable
    found = {level: [finding.text for finding in report.findings if finding.level == level] for level in (OK, WARNING)}
    assert found[WARNING] == ["3 classes, published were 5,692", "train: 7 examples, published were 502,310"]
    assert "train: 28.6% of the given labels are not the clean ones" in found[OK]


def test_check_names_what_is_missing(tmp_path):
    report = check(AlleNoise(), tmp_path)
    assert [(finding.level, finding.text) for finding in report.findings] == [
        (
            PROBLEM,
            "missing: titles with both categories, separated by tabs; expected full_dataset.csv or "
            "allenoise/full_dataset.csv; get it from https://github.com/allegro/AlleNoise by git lfs",
        ),
        (
            PROBLEM,
            "missing: names of the categories, separated by tabs; expected category_mapping.csv or "
            "allenoise/category_mapping.csv; get it from https://github.com/allegro/AlleNoise",
        ),
        (
            WARNING,
            "missing: checksums of the other files; expected metadata.json or allenoise/metadata.json; get it from "
            "https://github.com/allegro/AlleNoise",
        ),
    ]
    (make(tmp_path) / "category_mapping.csv").unlink()
    with pytest.raises(
        DataError, match=r"is not all of AlleNoise: missing category_mapping\.csv \(names of the categories"
    ):
        AlleNoise().open(tmp_path)
