"""The cells of a text file: missing ones, and lines that add up."""

import pytest

from elr.data.dialects.cells import read_cells
from elr.data.dialects.dialect import find_dialect
from elr.errors import DataError


def read(text, **options):
    content = text.encode()
    return read_cells(content, find_dialect(content, "it", usual=b","), "it", **options)


def test_words_for_missing_values_are_text_in_columns_of_text():
    found = read("x,y\nNA,NA\n,\nnull,z\n", as_text=["y", "absent"])
    assert found.table.to_pydict() == {"x": [None] * 3, "y": ["NA", None, "z"]}
    assert "1 rows of it have no value at all, first row 1" in found.remarks[0]


def test_lines_add_up():
    facts = read('x,y\n\n1,"a\n\nb"\r\n  \n2,c').facts
    assert {name: facts[name] for name in ("lines", "rows", "blank_lines", "quoted_line_breaks")} == {
        "lines": 7,
        "rows": 2,
        "blank_lines": 2,
        "quoted_line_breaks": 2,
    }


def test_names_without_rows():
    assert read("x,y\n").table.to_pydict() == {"x": [], "y": []}
    assert read("x,y\n\n \n").facts["blank_lines"] == 2


def test_names_again_are_refused_only_as_a_whole_line():
    assert read("x,y\nax,y\nx,yb\n").table.num_rows == 2
    with pytest.raises(DataError, match="line 3 of it has the names"):
        read("x,y\n1,2\nx,y\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,cat\n2,dog\n3,cat\n", True),  # the word stands in its column again
        ("7,3\n2,5\n3,8\n", True),  # numbers in no order
        ("0,1,2\n5,4,8\n", False),  # as pandas writes columns without names
        ("1990,1991,1992\n5,4,8\n", False),
        ("x,y\n1,cat\n", False),
    ],
)
def test_a_line_of_names_that_may_be_a_row(text, said):
    content = text.encode()
    found = read_cells(content, find_dialect(content, "t.csv", usual=b","), "t.csv")
    assert any("looks like data" in remark for remark in found.remarks) == said


def test_apostrophes_are_characters_and_said():
    content = b"x,y\n'a',1\n'b',2\n"
    found = read_cells(content, find_dialect(content, "t.csv", usual=b","), "t.csv")
    assert found.table.column("x").to_pylist() == ["'a'", "'b'"]
    assert any("apostrophes" in remark and "'x'" in remark for remark in found.remarks)
