"""Lines and records: their ends, blank ones, cells."""

import pytest

from elr.data.dialects.layout import cell_text, lay_out, line_at, split_record


@pytest.mark.parametrize(
    ("text", "lines", "cells", "blank"),
    [
        (b"", [], [], []),
        (b"a,b", [1], [2], [False]),
        (b"a,b\n\n,\n", [1, 2, 3], [2, 1, 2], [False, True, False]),
        (b"a\r\nb\rc\n\r", [1, 2, 3, 4], [1] * 4, [False] * 3 + [True]),
        (b"a\r\r\n \t\nb", [1, 2, 3, 4], [1] * 4, [False, True, True, False]),
    ],
)
def test_records(text, lines, cells, blank):
    found = lay_out(text, b",")
    assert (found.lines.tolist(), found.cells.tolist(), found.blank.tolist()) == (lines, cells, blank)
    assert found.num_lines == len(lines)
    assert [line_at(text, start) for start in found.starts.tolist()] == lines


def test_a_tab_is_no_white_space_where_it_separates():
    assert lay_out(b"\t\n \n", b"\t").blank.tolist() == [False, True]


def test_cells():
    assert split_record(b",a,", b",", None) == [(0, 0), (1, 2), (3, 3)]
    assert cell_text(rb'"a\"b"', quotes=True, escaped=True) == 'a"b'
    assert cell_text(b'"a"', quotes=False) == '"a"'
    assert cell_text(b'"', quotes=True) == '"'
