"""Names of files."""

import os

from elr.names import plain_name, printable, similar_name


def test_a_name_like_another_is_asked_for(tmp_path):
    for name in ("Flowers.csv", "flowers.parquet", "birds"):
        (tmp_path / name).touch()
    asked = {name: similar_name(tmp_path / name) for name in ("flower.csv", "FLOWERS.CSV", "bird", "cats.csv", "a\0")}
    assert asked == {
        "flower.csv": " (did you mean 'Flowers.csv'?)",
        "FLOWERS.CSV": " (did you mean 'Flowers.csv'?)",
        "bird": " (did you mean 'birds'?)",
        "cats.csv": "",
        "a\0": "",
    }
    assert similar_name(tmp_path / "no folder" / "birds") == ""


def test_an_empty_folder_is_no_suggestion_for_a_file_that_is_not_there(tmp_path):
    (tmp_path / "flowers").mkdir()
    assert similar_name(tmp_path / "flowers.csv") == ""
    (tmp_path / "flowers" / "a.csv").touch()
    assert similar_name(tmp_path / "flowers.csv") == " (did you mean 'flowers'?)"


def test_a_name_that_is_plain_is_itself(tmp_path):
    with plain_name(tmp_path / "a.csv") as named:
        assert named == tmp_path / "a.csv"


def test_a_name_that_is_not_utf8_can_be_opened_by_another(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9")
    path.write_text("here")
    with plain_name(path) as named:
        assert str(named) == printable(named)
        assert named.read_text() == "here"
    assert not named.exists()
