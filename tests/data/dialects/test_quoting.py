"""Cells in quotation marks, found at once and one by one, against Python's own reader."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elr.data.dialects.layout import cell_text, lay_out, split_record
from elr.data.dialects.quoting import quoted_cells

CELLS = st.lists(st.text(alphabet='a ",\n\r', max_size=6), min_size=2, max_size=4)


@given(st.lists(CELLS, min_size=1, max_size=5), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_what_a_writer_writes_is_found_again(rows, quoting):
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting, lineterminator="\r\n").writerows(rows)
    text = buffer.getvalue().encode()
    cells = quoted_cells(text, b",")
    assert cells.fault is None
    layout = lay_out(text, b",", cells)
    found = []
    for start, stop in zip(layout.starts, layout.stops, strict=True):
        record = text[start:stop]
        places = split_record(record, b",", quoted_cells(record, b","))
        found.append([cell_text(record[a:b], quotes=True) for a, b in places])
    assert found == rows
    assert layout.num_lines == len(layout.starts) + layout.breaks


@pytest.mark.parametrize(
    ("text", "opens", "closes", "fault"),
    [
        (b"", [], [], None),
        (b'""', [0], [1], None),
        (b'"a""",b', [0], [4], None),
        (b'a"b,c', [], [], None),
        (b'5" x,"a,b"\n', [5], [9], None),
        (b'"a\n', [], [], 0),
        (b'"a","b" c\n', [0], [2], 4),
        (b'"a"\r\n"b"', [0, 5], [2, 7], None),
    ],
)
def test_marks(text, opens, closes, fault):
    cells = quoted_cells(text, b",")
    assert (cells.opens.tolist(), cells.closes.tolist(), cells.fault) == (opens, closes, fault)


def test_marks_behind_backslashes():
    text = rb'"a\"b","c\\","d\\\"e"'
    assert quoted_cells(text, b",").fault == 0
    cells = quoted_cells(text, b",", escaped=True)
    assert (cells.opens.tolist(), cells.closes.tolist()) == ([0, 7, 13], [5, 11, 20])
    assert cells.covers(np.array([6, 8])).tolist() == [False, True]
