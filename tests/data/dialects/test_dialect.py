"""Separators and the line of names."""

import pytest

from elr.data.dialects.dialect import find_dialect
from elr.errors import DataError


@pytest.mark.parametrize(
    ("text", "separator", "names", "line"),
    [
        ("x,y\n1,a\n", ",", ("x", "y"), 1),
        ("x\n1\n", ",", ("x",), 1),
        ("text\nhello; world\nfoo\n", ",", ("text",), 1),
        ("x;y;z\n1,5;2,5;a\n2,5;3,5;b\n", ";", ("x", "y", "z"), 1),
        ("Title\nx;y;z\n1,5;2,5;a\n", ";", ("x", "y", "z"), 2),
        ("Title;;\n\nx;y;z\n1;2;a\n", ";", ("x", "y", "z"), 3),
        ('sep=|\n"x"|y\n1|a\n', "|", ("x", "y"), 2),
        ('"x\ny",z\n1,a\n', ",", ("x\ny", "z"), 1),
        (",,x\na,1,2\n", ",", ("", "", "x"), 1),
    ],
)
def test_what_is_found(text, separator, names, line):
    found = find_dialect(text.encode(), "it", usual=b",")
    assert (found.separator.decode(), found.names, found.header_line) == (separator, names, line)
    assert found.lines_before == text[: found.body].count("\n")


def test_names_that_are_known_decide():
    text = b"a;b,c;d\n1;2,3;4\n"
    with pytest.raises(DataError, match="separated by ',' and ';'"):
        find_dialect(text, "it", usual=b",")
    assert find_dialect(text, "it", usual=b",", known=["d"]).separator == b";"
    assert find_dialect(text, "it", usual=b",", known=["a;b"]).separator == b","


@pytest.mark.parametrize("text", [b'{"x": 1, "y": "a"}\n', b'[{"x": 1}, {"x": 2}]', b" [\n[1, 2]]", b"{}\n"])
def test_json_under_another_name_is_told(text):
    with pytest.raises(DataError, match=r"t\.csv begins as JSON, not as a table of text: call it \.jsonl"):
        find_dialect(text, "t.csv", usual=b",")


def test_names_in_brackets_are_no_json():
    assert find_dialect(b"[x],[y]\n1,a\n", "t.csv", usual=b",").names == ("[x]", "[y]")
