"""CSV and TSV files as people have them, and files that are not what their name says."""

import gzip
import json
import re

import numpy as np
import pandas as pd
import pytest

import elr
from elr.data.reading import format_of, read_data, read_table
from elr.data.records import ReadOptions
from elr.errors import DataError
from elr.runs.fit_config import FitConfig


def written(path, text, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, **options)


@pytest.mark.parametrize(
    "text", ["x,y\n1,a\n2,b\n", "\ufeffx,y\n1,a\n2,b\n", "x,y\r\n1,a\r\n2,b\r\n", "x,y\n\n1,a\n\n2,b"]
)
def test_csv_with_mark_of_order_returns_and_blank_lines(tmp_path, text):
    frame = written(tmp_path / "t.CSV", text)
    assert list(frame.columns) == ["x", "y"]
    assert frame["x"].tolist() == [1, 2]
    assert frame["y"].tolist() == ["a", "b"]


def test_tsv_and_parquet(tmp_path):
    frame = pd.DataFrame({"a b": [1, 2], "y": ["u", "v"]})
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.tsv"), frame)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.parquet"), frame)


def test_as_text_columns_keep_every_word_but_the_empty_one(tmp_path):
    text = "y,x\nNone,None\nNA,NA\n01,01\n1.0,1.0\nTrue,True\n,\n"
    frame = written(tmp_path / "t.csv", text, as_text=["y", "absent"])
    assert frame["y"].tolist()[:5] == ["None", "NA", "01", "1.0", "True"]
    assert frame["y"].isna().tolist() == [False] * 5 + [True]
    assert frame["x"].isna().tolist() == [True, True, False, False, False, True]


def test_as_written_leaves_cells_as_they_stand(tmp_path):
    text = "y,code,n\na,007,1.50\nb,12,NA\nc,,2\n"
    frame = written(tmp_path / "t.csv", text, as_text=["y"], as_written=True)
    assert frame["code"].tolist()[:2] == ["007", "12"]
    assert frame["n"].tolist()[::2] == ["1.50", "2"]
    assert frame.isna().sum().tolist() == [0, 1, 1]


@pytest.mark.parametrize("text", ["x,x,y\n1,2,a\n", "y,x,y\na,1,b\n"])
def test_columns_of_one_name_are_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"2 columns named '[xy]': rename all but one \(line 1"):
        written(tmp_path / "t.csv", text, as_text=["y"])


def test_columns_without_a_name_are_called_by_their_place(tmp_path):
    frame = written(tmp_path / "t.csv", ",Unnamed: 0,y\n5,6,a\n")
    assert list(frame.columns) == ["Unnamed: 0.1", "Unnamed: 0", "y"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", b"", r"t\.csv is empty: expected a line of column names"),
        ("t.csv", b"\xef\xbb\xbf", "is empty"),
        ("t.csv", "\n\n", "is empty"),
        (
            "t.csv",
            "x,y\n9,1,a\n8,2,b\n",
            r"more cells than its first line has column names \(2\): line 2 has 3 .*name ev",
        ),
        ("t.csv", "x,y\n1,a\n1,a,b\n", r"line 3 has 3 \(one of 1 such rows of 2\); put cells that hold ','"),
        ("t.csv", 'x,y\n1,"a', "line 2 of .* quotation mark which nothing closes .*may be cut off there"),
        ("t.parquet", b"x,y\n1,a\n", r"t\.parquet cannot be read as Parquet"),
        ("t.parquet", b"", "cannot be read as Parquet"),
        ("t.xlsx", b"PK", r"ends in '\.xlsx': expected a table in \.csv, .*\.parquet.*read_excel"),
        ("t.zip", b"PK", "unpack it first"),
        ("t.csv", b"PK\x03\x04", "no text but a zip archive, as Excel workbooks are"),
        ("t.csv", b"<!DOCTYPE html>", "a page of HTML"),
        ("table", b"x,y", "ends in ''"),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path, name, text, message):
    with pytest.raises(DataError, match=message):
        written(tmp_path / name, text)


def test_no_file(tmp_path):
    with pytest.raises(DataError, match=r"no such file: .*absent\.csv"):
        read_table(tmp_path / "absent.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "folder.csv")


# What is found by itself, what is said, what is refused

LINES = "".join(f"{i},text {i},{'AB'[i % 2]}\n" for i in range(30))
TABLE = "id,text,label\n" + LINES
MARKED = TABLE.replace("text 7", '"text 7')
PLAIN = r"quotation marks that are plain characters \(line 9 "


def reading(path, content, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return format_of(path).table(path, ReadOptions(**options), as_text=["label"])


RIGHT = {  # content, suffix, number of rows, the first cell of text, what is said
    "a lone mark": (MARKED, ".csv", 30, "text 0", PLAIN),
    "a lone mark, tabs": (MARKED.replace(",", "\t"), ".tsv", 30, "text 0", PLAIN),
    "two lone marks that pair up": (MARKED.replace("text 11", 'text 11"'), ".csv", 30, "text 0", "would swallow lines"),
    "two marks that open": (MARKED.replace("text 11", '"text 11'), ".csv", 30, "text 0", PLAIN),
    "two lone marks of one line": ('id,text,label\n",a",A\n' + LINES, ".csv", 31, 'a"', "two of them in line 2"),
    "text after a cell in marks": ('id,text,label\n1,"a" b,A\n' + LINES, ".csv", 31, '"a" b', "plain characters"),
    "a mark within a cell": ('id,text,label\n1,5" disk,A\n' + LINES, ".csv", 31, '5" disk', ""),
    "a mark beside cells in marks": ('id,text,label\n1,5" disk,A\n2,"a, b",B\n', ".csv", 2, '5" disk', ""),
    "marks written twice": ('id,text,label\n1,"a ""b"", c",A\n' + LINES, ".csv", 31, 'a "b", c', ""),
    "marks with backslashes": ('id,text,label\n1,"a \\"b, c\\" d",A\n' + LINES, ".csv", 31, 'a "b, c" d', ""),
    "a path that ends in a backslash": ('id,text,label\n1,"C:\\d\\",A\n2,"C:\\n",B\n', ".csv", 2, "C:\\d\\", ""),
    "line ends in cells": ('id,text,label\n1,"a\n\nb, c",A\n2,"d\re",B\n' + LINES, ".csv", 32, "a\n\nb, c", ""),
    "every text in marks": ('text,label\n"a, b\nc",A\n"d, e\nf",B\n', ".csv", 2, "a, b\nc", ""),
    "one column, all in marks": ('text\n"a\nb"\n"c"\n', ".csv", 2, "a\nb", ""),
    "one column, a lone mark": ('text\n"a\nb\nc\n', ".csv", 3, '"a', "plain characters"),
    "carriage returns": (TABLE.replace("\n", "\r\n"), ".csv", 30, "text 0", ""),
    "carriage returns alone": (TABLE.replace("\n", "\r"), ".csv", 30, "text 0", ""),
    "line ends of two kinds": (TABLE + "40,z,A\r41,q,B\n", ".csv", 32, "text 0", r"first line 32"),
    "no end of the last line": (TABLE[:-1], ".csv", 30, "text 0", ""),
    "separators at the ends of rows": (
        "id,text,label\n" + LINES.replace("\n", ",\n"),
        ".csv",
        30,
        "text 0",
        "every line",
    ),
    "separators at all ends": (TABLE.replace("\n", ",\n"), ".csv", 30, "text 0", "without name and values"),
    "comments": ("# by x, y\n# of z\n" + TABLE, ".csv", 30, "text 0", "stand in line 3"),
    "a comment like the names": ("# a, b, c\n" + TABLE, ".csv", 30, "text 0", "stand in line 2"),
    "a title": ("Report\n\n" + TABLE, ".csv", 30, "text 0", "stand in line 3"),
    "a title of one of two columns": ("My data\ntext,label\na,A\nb,B\n", ".csv", 2, "a", "stand in line 2"),
    "blank lines": ("id,text,label\n\n  \n" + LINES + "\n\n", ".csv", 30, "text 0", ""),
    "a short line": (TABLE + "31,x\n", ".csv", 31, "text 0", r"1 of 31 rows .* fewer cells .*\(3\), first line 32"),
    "lines of separators": (TABLE + ",,\n,,\n", ".csv", 32, "text 0", "2 rows .* no value at all, first row 30"),
    "a total": (TABLE + "Total,,A\n", ".csv", 31, "text 0", "begins with 'Total'"),
    "a mark of byte order": ("\ufeff" + TABLE, ".csv", 30, "text 0", ""),
    "UTF-16": (TABLE.encode("utf-16"), ".csv", 30, "text 0", ""),
    "UTF-16, unmarked": (TABLE.encode("utf-16-le"), ".csv", 30, "text 0", "utf-16-le"),
    "Latin": (
        TABLE.replace("text 0", "café").encode("latin-1"),
        ".csv",
        30,
        "café",
        "line 2 has '0,café,A'.*--encoding",
    ),
    "Chinese": (
        TABLE.replace(" 0", "这是一个测试文本" * 3).encode("gbk"),
        ".csv",
        30,
        "text" + "这是一个测试文本" * 3,
        "gb",
    ),
    "UTF-8 taken for Latin": (
        TABLE.replace("text 3", "cafÃ©"),
        ".csv",
        30,
        "text 0",
        "saved with a wrong encoding once",
    ),
    "lost characters": (TABLE.replace("text 3", "caf\ufffd"), ".csv", 30, "text 0", "1 characters that were lost"),
    "semicolons": (TABLE.replace(",", ";"), ".csv", 30, "text 0", "separated by ';'"),
    "decimal commas": ("text;z;label\n" + "1,5;2,5;A\n2,5;0,1;B\n" * 9, ".csv", 18, "1,5", "separated by ';'"),
    "Excel's first line": ("sep=;\n" + TABLE.replace(",", ";"), ".csv", 30, "text 0", ""),
    "bars": (TABLE.replace(",", "|"), ".tsv", 30, "text 0", "separated by '|'"),
    "tabs in .csv": (TABLE.replace(",", "\t"), ".csv", 30, "text 0", r"separated by '\\t'"),
    "commas in .txt": (TABLE, ".txt", 30, "text 0", "separated by ','"),
    "compressed": (gzip.compress(TABLE.encode()), ".csv.gz", 30, "text 0", ""),
    "data for names": ("1.5,text,label\n" + "2.5,a,A\n" * 3, ".csv", 3, "a", ""),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_people_have_is_read_right(tmp_path, kind):
    content, suffix, rows, first, said = RIGHT[kind]
    found = reading(tmp_path / f"t{suffix}", content)
    assert len(found.frame) == rows
    assert found.frame["text"].iloc[0] == first
    facts = found.facts
    parts = ("lines_before_rows", "rows", "blank_lines", "quoted_line_breaks")
    assert facts["lines"] == sum(facts[name] for name in parts)
    assert re.search(said, " ".join(found.remarks)) if said else not found.remarks


REFUSED = {
    "a lone mark beside cells in marks": ('x,y\n"a, b",A\n"lone,B\nc,A\n', r"line 3 of .*quotation mark.*--no-quotes"),
    "two of them": (
        'x,y\n"a, b",A\n"lone,B\nc,A\nx",B\n',
        "lines 3 to 5 .*one row if .* and 3 rows if not: say --quotes",
    ),
    "a cell of two lines, or two rows": ('x,y\nq,A\n"a, b\nc",A\n', "lines 3 to 4 .* 2 rows if not"),
    "one column, of two lines or not": ('x\n"a\nb"\nc\n', "lines 2 to 3 .* 2 rows if not"),
    "marks within cells in marks": ('"x","y"\n"1","a "b" c"\n', "line 2 of .*written twice"),
    "a carriage return in a cell": (TABLE + "1,a\rb,A\n", "line 32 of .* carriage return alone"),
    "a row broken in two": (TABLE + "1,a\nb,A\n", "lines 32 and 33 .* have 2 and 2 cells"),
    "short and long lines": (TABLE + "1,a\n1,a,b,A\n", "line 33 has 4"),
    "short lines only": ("x,y,z\n1,a\n2,b\n", r"all rows .* fewer cells \(2\) than its line of names \(3\)"),
    "a zero byte": (TABLE + "1,a\0b,A\n", "line 32 of .* zero byte"),
    "names in the middle": (TABLE + TABLE, "line 32 of .* names of the columns again"),
    "two separators": ("a;b,c;d\n1;2,3;4\n5;6,7;8\n", "separated by ',' and ';'.*--separator"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_told_is_refused(tmp_path, kind):
    content, said = REFUSED[kind]
    with pytest.raises(DataError, match=said):
        reading(tmp_path / "t.csv", content)


@pytest.mark.parametrize(
    ("content", "options", "rows"),
    [
        ('x,y\nq,A\n"a, b\nc",A\n', {"quotes": True}, 2),
        ('x,y\nq,A\n"a, b\nc",A\n', {"quotes": False}, 3),
        ("a;b,c;d\n1;2,3;4\n5;6,7;8\n", {"separator": ";"}, 2),
        ("x\nhello, world\nfoo\n", {"separator": "tab"}, 2),
        ("x,y\n1,é\n".encode("cp850"), {"encoding": "cp850"}, 1),
        ("x,y\n1,é\n", {"encoding": "latin-1"}, 1),
        (TABLE, {"separator": ";"}, 30),
    ],
)
def test_what_users_say_is_heeded(tmp_path, content, options, rows):
    assert len(reading(tmp_path / "t.csv", content, **options).frame) == rows


def test_what_was_said_of_another_file_is_left_where_it_cannot_be(tmp_path):
    found = reading(tmp_path / "t.csv", "x,y\n1,é\n", separator=";", encoding="latin-1")
    assert found.frame.to_dict("list") == {"x": ["1"], "y": ["é"]}
    assert re.search(r"utf-8, not latin-1 as was named.*by ',': read so; not by ';'", " ".join(found.remarks))


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (MARKED, {"quotes": True}, "line 9 of .* quotation mark which nothing closes"),
        (TABLE, {"separator": "x"}, "cannot be separated by 'x'"),
        (TABLE, {"separator": "§"}, "cannot be separated by '§'"),
        (TABLE, {"encoding": "klingon"}, "'klingon' is no encoding"),
        (TABLE.replace("text 5", "é").encode("latin-1"), {"encoding": "utf-8"}, "line 7 of .* is not utf-8"),
    ],
)
def test_what_users_say_may_not_fit(tmp_path, content, options, said):
    with pytest.raises(DataError, match=said):
        reading(tmp_path / "t.csv", content, **options)


@pytest.mark.parametrize("kind", [kind for kind in RIGHT if "label" in str(RIGHT[kind][0]) and RIGHT[kind][2] > 17])
def test_corrected_copies_change_one_cell_whatever_the_dialect(tmp_path, kind):
    content, suffix, rows, _, _ = RIGHT[kind]
    old, new = tmp_path / f"t{suffix}", tmp_path / f"new{suffix}"
    before = reading(old, content).frame
    right = before["label"].ne(before["label"].iloc[0]).to_numpy().argmax()
    format_of(old).write_corrected(old, new, ReadOptions(label="label"), {0: int(right)})
    after = format_of(new).table(new, as_text=["label"]).frame
    assert after["label"].iloc[0] == before["label"].iloc[right]
    pd.testing.assert_frame_equal(after.drop(columns="label"), before.drop(columns="label"))
    pd.testing.assert_series_equal(after["label"].iloc[1:], before["label"].iloc[1:])
    if suffix != ".csv.gz":
        differ = [(a, b) for a, b in zip(old.read_bytes(), new.read_bytes(), strict=True) if a != b]
        assert len(differ) == 1
    assert len(after) == rows


def test_long_cells(tmp_path):
    frame = written(tmp_path / "t.csv", "x,y\n" + "a" * 3_000_000 + ",b\n1,c\n")
    assert frame["x"].str.len().tolist() == [3_000_000, 1]


# From end to end: no row is lost in any place


def swallowing(path, seed, count=120, marked=(0, 40, 41, 90)):
    """Texts of two classes, some of which begin with a mark that nothing closes."""
    rng, words = np.random.default_rng(seed), {"pos": ["good", "fine", "lovely"], "neg": ["bad", "poor", "grim"]}
    labels = rng.choice(["pos", "neg"], count)
    texts = [" ".join(rng.choice(words[label], 5)) for label in labels]
    lines = [
        f"{chr(34) * (row in marked)}{text}\t{label}"
        for row, (text, label) in enumerate(zip(texts, labels, strict=True))
    ]
    path.write_text("\n".join(["text\tlabel", *lines, ""]))
    return labels.tolist()


def test_no_row_is_lost_in_training_test_data_prediction_and_cleaning(tmp_path):
    swallowing(tmp_path / "d.tsv", 0)
    swallowing(tmp_path / "test.tsv", 1, count=60, marked=(3, 9))
    elr.fit(
        tmp_path / "d.tsv",
        options=ReadOptions(label="label", text="text"),
        config=FitConfig(epochs=2, members=1),
        test=tmp_path / "test.tsv",
        out=tmp_path / "run",
    )
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(pd.read_csv(tmp_path / "run" / "issues.csv")) == 120
    said = " ".join(about["data"]["remarks"])
    assert "d.tsv has quotation marks that are plain characters (line 2 " in said
    assert "test.tsv has quotation marks that are plain characters (line 5 " in said
    predictions = elr.predict(tmp_path / "run", tmp_path / "test.tsv")
    assert len(predictions) == 60
    assert "plain characters" in predictions.attrs["remarks"][0]
    given = format_of(tmp_path / "d.tsv").labels(tmp_path / "d.tsv", ReadOptions(label="label"))
    right = given.index("pos" if given[0] == "neg" else "neg")
    form = format_of(tmp_path / "d.tsv")
    form.write_corrected(tmp_path / "d.tsv", tmp_path / "new.tsv", ReadOptions(label="label"), {0: right})
    old, new = (path.read_bytes().split(b"\n") for path in (tmp_path / "d.tsv", tmp_path / "new.tsv"))
    assert [row for row, (a, b) in enumerate(zip(old, new, strict=True)) if a != b] == [1]


def test_no_line_of_annotations_is_lost(tmp_path):
    pd.DataFrame({"x": np.arange(40.0)}).to_csv(tmp_path / "d.csv", index=False)
    lines = [f"{row},{chr(34) if row in (3, 20) else ''}ann,{'ab'[row % 2]}" for row in range(40)]
    (tmp_path / "ann.csv").write_text("\n".join(["row,annotator,label", *lines, ""]))
    records = read_data(tmp_path / "d.csv", ReadOptions(annotations=str(tmp_path / "ann.csv")))
    assert len(records.labels) == 40
    assert "ann.csv has quotation marks that are plain" in records.remarks[0]
    assert records.facts["annotations"]["rows"] == 40


# Where it stands


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("x,y\n1,a\n2,\n", 3),
        ("x,y\n\n\n1,a\n\n2,\n", 6),
        ("x,y\r\n\r\n1,a\r\n2,\r\n", 4),
        ("x,y\r1,a\r2,\r", 3),
        ('x,y\n"1\n\n1",a\n2,\n', 5),
        ('x,y\n"1\r\n1",a\n"2\n2",\n', 4),
        ('"x\nx",y\n1,a\n2,\n', 4),
        ("# by x\n# of z\nx,y\n1,a\n2,\n", 5),
        ("Flowers\n\nx,z,y\n1,1,a\n2,2,\n", 5),
        ("sep=;\nx;y\n1;a\n2;\n", 4),
        ("\ufeffx,y\n1,a\n2,\n", 3),
        ("x,y\n1,a\n2,\n".encode("utf-16"), 3),
        (gzip.compress(b"x,y\n1,a\n2,\n"), 3),
        ('x,y\n"1,a\n2,\n3,a\n', 3),  # a mark that encloses nothing
        ("x\ty\n1\ta\n2\t\n", 3),
    ],
)
def test_a_missing_label_is_told_with_its_line_as_an_editor_counts(tmp_path, content, line):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=rf"missing in 1 of \d rows, first in line {line} \(row 1\): remove") as caught:
        read_data(path, ReadOptions(label="y"))
    assert str(caught.value).count(str(path)) == 1


def test_a_short_line_is_told_to_be_one(tmp_path):
    path, short = tmp_path / "t.csv", "a line of 2 cells instead of 3"
    path.write_text("x,z,y\n1,2,a\n\n1,b\n3,4,\n5,6,a\n")
    with pytest.raises(DataError, match=rf"first in line 4 \(row 1, {short}\): .*; then line 5$"):
        read_data(path, ReadOptions(label="y"))
    path.write_text("x,z,y\n1,2,a\n\n3,4,\n1,b\n5,6,a\n")
    with pytest.raises(DataError, match=rf"first in line 4 \(row 1\): .*; then line 5 \({short}\)$"):
        read_data(path, ReadOptions(label="y"))


def test_other_formats_keep_to_rows(tmp_path):
    pd.DataFrame({"x": [1, 2], "y": ["a", None]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"missing in 1 of 2 rows, first in row 1: .*; rows count from 0$"):
        read_data(tmp_path / "t.parquet", ReadOptions(label="y"))
