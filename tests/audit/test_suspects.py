import json

import pytest

from elr.audit.suspects import Suspect, clip, embedded, safe_json
from elr.errors import ArgumentError


def suspect(row, **changes):
    parts = {"id": None, "given_label": "a", "predicted_label": "b", "label_quality": 0.1}
    return Suspect(row=row, **parts | changes)


def test_rows_come_before_pictures_and_pictures_before_cells():
    png = b"\x89PNG\r\n\x1a\n" + bytes(50)
    both = [suspect(row, thumbnail=png, fields={"x": "y" * 50}) for row in range(3)]
    parts = []
    for room in (200, 330, 600, 2000):
        content = json.loads(embedded(both, class_names=["a", "b"], key=["k"], room=room))
        rows = content["rows"]
        parts.append((len(rows), sum(len(row) > 5 and row[5] != 0 for row in rows), sum(len(row) > 6 for row in rows)))
    assert parts == sorted(parts)
    assert parts[-1] == (3, 3, 3)


def test_names_that_are_no_classes_of_the_run_are_kept_apart():
    content = json.loads(embedded([suspect(0, given_label="gone")], class_names=["a", "b"], key=[], room=1000))
    assert content["classes"] == 2
    assert content["names"] == ["a", "b", "gone"]
    assert content["rows"][0][2:4] == [2, 1]


def test_what_a_page_must_not_hold_is_escaped():
    assert safe_json("</script>\u2028\u202e") == '"\\u003c/script\\u003e\\u2028\\u202e"'
    assert clip("x" * 9, 5) == "xxxx…"
    with pytest.raises(ArgumentError, match="rows are counted from 0"):
        suspect(-1)
