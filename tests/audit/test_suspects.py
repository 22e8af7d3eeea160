import json

import pytest

from elr.audit.suspects import (
    MAX_CELL,
    MAX_ID,
    MAX_THUMBNAIL_BYTES,
    Suspect,
    brief,
    clip,
    embedded,
    safe_json,
    told_apart,
)
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


PNG = b"\x89PNG\r\n\x1a\n"


def content(suspects, room=10_000, **changes):
    return json.loads(embedded(suspects, **{"class_names": ["a", "b"], "key": ["k"], "room": room} | changes))


def test_a_row_has_all_that_is_known_of_it():
    why = {"neighbors": 3}
    found = content([suspect(4, id="file.png", label_quality=0.123456, thumbnail=PNG, fields={"x": "1"}, why=why)])
    picture = "iVBORw0KGgo="
    assert found["rows"] == [[4, "file.png", 0, 1, 0.1235, picture, ["1"], why]]
    assert found["columns"] == ["x"]


def test_what_a_row_lacks_is_left_out_at_its_end_and_is_zero_before():
    rows = content([suspect(0), suspect(1, fields={"y": "2"}), suspect(2, why={"z": 1})])["rows"]
    assert [row[1] for row in rows] == [None] * 3
    assert [row[5:] for row in rows] == [[], [0, ["2"]], [0, 0, {"z": 1}]]


def test_ids_cells_and_columns_are_clipped():
    found = content([suspect(0, id="i" * 1000, fields={"c" * 500: "v" * 5000})])
    assert (len(found["rows"][0][1]), len(found["columns"][0]), len(found["rows"][0][6][0])) == (MAX_ID, 100, MAX_CELL)


def test_cells_of_another_column_are_empty():
    found = content([suspect(0, fields={"x": "1"}), suspect(1, fields={"y": "2"})])
    assert found["columns"] == ["x", "y"]
    assert [row[6] for row in found["rows"]] == [["1", ""], ["", "2"]]


def test_another_run_has_another_key_and_the_same_run_the_same():
    keys = [content([], key=key)["key"] for key in (["a"], ["a"], ["b"], ("a",))]
    assert keys[0] == keys[1] == keys[3] != keys[2]
    assert len(keys[0]) == 20


@pytest.mark.parametrize("name", ["a", "ä", "日本"])
def test_it_never_has_more_bytes_than_there_is_room(name):
    many = [suspect(row, id=name * 9, fields={"x": name * row}, thumbnail=PNG, why={name: row}) for row in range(30)]
    whole = len(embedded(many, class_names=["a", "b"], key=[], room=10**6).encode())
    counts = []
    for room in range(150, whole + 200, 40):
        text = embedded(many, class_names=["a", "b"], key=[], room=room)
        counts.append(len(json.loads(text)["rows"]))
        assert len(text.encode()) <= room
    assert counts == sorted(counts)
    assert counts[-1] == 30
    assert counts[0] < 5
    assert len(text.encode()) == whole, "with some room to spare, all of it"
    assert room - whole < 300


def test_text_is_written_as_it_is_in_few_bytes():
    assert safe_json({"ä": [1, None]}) == '{"ä":[1,null]}'


def test_a_text_of_just_the_length_stays_whole():
    assert [clip("abcde", limit) for limit in (6, 5, 4)] == ["abcde", "abcde", "abc…"]
    assert clip(12345, 4) == "123…"


def test_thumbnails_are_pictures_of_a_size_that_fits():
    suspect(0, thumbnail=PNG + bytes(MAX_THUMBNAIL_BYTES - len(PNG)))
    with pytest.raises(ArgumentError, match=r"thumbnail of row 3 is 262,145 bytes .* at most 262,144 fit: shrink it"):
        suspect(3, thumbnail=PNG + bytes(MAX_THUMBNAIL_BYTES + 1 - len(PNG)))
    with pytest.raises(ArgumentError, match=r"thumbnail of row 3 is 6 bytes that begin with b'GIF8'; give the bytes"):
        suspect(3, thumbnail=b"GIF89a")
    for quality in (0.0, 1.0):
        suspect(0, label_quality=quality)
    for quality in (-0.1, 1.1):
        with pytest.raises(ArgumentError, match="label_quality is"):
            suspect(0, label_quality=quality)


PATHS = [f"Home & Garden > Kitchen & Dining > Cookware > {name} > Accessories and spare parts of all makers" for name in
         ("Pans", "Pots", "Pot lids", "Pans, cast iron")]  # fmt: skip
AWKWARD = {
    "paths": PATHS,
    "at the end": ["x" * 90 + end for end in "abc"],
    "in two places": [a * 40 + b * 40 + c + "z" * 40 for a in "pq" for b in "rs" for c in "tu"],
    "one begins another": ["n" * 50, "n" * 51, "n" * 52],
    "cut like a short one": ["aaaa…aaaa", "a" * 60, "a" * 61],
    "many": [f"{'class ' * 20}{number:05}{' of many' * 20}" for number in range(3000)],
}


@pytest.mark.parametrize("names", AWKWARD.values(), ids=AWKWARD)
@pytest.mark.parametrize("limit", [24, 40, 300])
def test_names_that_are_cut_stay_different(names, limit):
    told = told_apart(names, limit)
    assert list(told) == names
    assert len(set(told.values())) == len(names)
    assert max(map(len, told.values())) <= limit
    assert all(told[name] == name for name in names if len(name) <= limit)


def test_what_differs_is_what_is_shown():
    told = told_apart(PATHS, 24)
    for path, part in zip(PATHS, ["Pans > ", "Pots > ", "Pot lids > ", "Pans, cast"], strict=True):
        assert part in told[path]


def test_long_names_of_rows_keep_their_end():
    """That of a path is the name of the file."""
    path = "a folder of a very long name/" * 12 + "IMG_0001.jpg"
    assert brief(path, 80).endswith("/IMG_0001.jpg")
    assert len(brief(path, 80)) == 80
    (row,) = json.loads(embedded([suspect(0, id=path)], class_names=["a", "b"], key=[], room=1000))["rows"]
    assert row[1] == brief(path, MAX_ID)


def test_long_names_are_in_the_page_in_full_and_as_they_are_shown():
    names = ["a" * 400 + "1", "a" * 400 + "2", "b"]
    content = json.loads(embedded([suspect(0)], class_names=names, key=[], room=10_000))
    assert content["names"][:3] == names
    assert list(content["short"]) == ["0", "1"]
    assert content["short"]["0"] != content["short"]["1"]
