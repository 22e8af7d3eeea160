"""Lists in text files, and what a file holds."""

import pyarrow as pa
import pytest

from elr.datasets.readers.text_lists import content, labeled, lines, matched, once
from elr.errors import DataError


def test_content(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\x00")
    assert content(tmp_path / "a") == b"\xff\x00"
    with pytest.raises(
        DataError, match=r".* cannot be read \(Is a directory\): expected a file that may be read; get it"
    ):
        content(tmp_path)
    with pytest.raises(DataError, match=r"/b cannot be read \(No such file or directory\)"):
        content(tmp_path / "b")


def test_the_beginning_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"version 1\nmore")
    assert content(tmp_path / "a", 7) == b"version"


def test_lines_are_those_of_the_file(tmp_path):
    for text, expected in ((b"a\nb\n", [b"a\n", b"b\n"]), (b"a\n\nb", [b"a\n", b"\n", b"b"]), (b"", [])):
        (tmp_path / "list").write_bytes(text)
        assert lines(tmp_path / "list").to_pylist() == expected
    with pytest.raises(DataError, match=r"gone cannot be read \(No such file or directory\): expected a file"):
        lines(tmp_path / "gone")


def test_a_header_counts_as_a_line(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"name\na\n\nb\n")
    fields, at = matched(path, r"^(?P<name>[ab])\n$", "a or b", header="name")
    assert fields.to_pylist() == [{"name": b"a"}, {"name": b"b"}]
    assert at.tolist() == [1, 3]
    path.write_bytes(b"name\na\nc\n")
    with pytest.raises(DataError, match=r"line 3 of .* is 'c': expected a or b; get the file again"):
        matched(path, r"^(?P<name>[ab])\n$", "a or b", header="name")


def test_names_and_labels_of_a_list(tmp_path):
    path, pattern = tmp_path / "list", r"^(?P<name>\S+) (?P<label>-?[0-9]+)\s*$"
    path.write_bytes(b"a.jpg 0\n\ncaf\xe9.jpg 2\n")
    names, labels = labeled(path, pattern, "NAME LABEL", num_classes=3)
    assert names.to_pylist() == [b"a.jpg", b"caf\xe9.jpg"]
    assert labels.tolist() == [0, 2]
    with pytest.raises(DataError, match=r"line 3 of .* has the label 2: expected 0 to 1; get the file again"):
        labeled(path, pattern, "NAME LABEL", num_classes=2)


def test_names_that_come_twice_are_counted(tmp_path):
    names = pa.array([b"a", b"b", b"a", b"a", b"b", b"c"])
    assert once(names[4:], tmp_path).to_pylist() == [b"b", b"c"]
    with pytest.raises(DataError, match="names 2 files more than once, such as 'a': expected each once"):
        once(names, tmp_path)
