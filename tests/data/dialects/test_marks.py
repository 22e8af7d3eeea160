"""What quotation marks mean, where whole lines hang on it; all kinds in tests/data/formats/test_delimited.py."""

import pytest

from elr.data.dialects.marks import read_marks
from elr.errors import DataError

LINES = "".join(f"t{row},{'AB'[row % 2]}\n" for row in range(40))


def marks(text, quotes=None):
    return read_marks(text.encode(), b",", quotes=quotes, place="it", before=2)


def test_lines_that_look_like_rows_by_chance_are_within_a_cell_where_no_column_fits():
    text = "text,label\n" + LINES + '"hello, friend\nhow are you",A\n"x, y\nz",B\n'
    found = marks(text)
    assert found.quoted is not None
    assert found.breaks
    assert not found.remark


def test_lines_that_look_like_rows_in_every_column_are_rows():
    found = marks("text,label\n" + LINES + '"a,A\nb,B\nc",A\n')
    assert found.quoted is None
    assert "begins in line 44 would swallow" in found.remark


@pytest.mark.parametrize("quotes", [True, False])
def test_the_user_knows_better(quotes):
    found = marks("text,label\n" + LINES + '"a,A\nb,B\nc",A\n', quotes)
    assert (found.quoted is not None) == quotes


def test_the_line_is_that_of_the_file():
    with pytest.raises(DataError, match="line 4 of it has a cell that begins with a quotation mark"):
        marks('x,y\n"lone,A\n"a, b",B\n')
