"""Files of tables by themselves; test_mapped.py has what a store makes of them."""

import errno
import os
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from elr.errors import CheckpointError, OutputError
from elr.targets import table_file
from elr.targets.table_file import (
    HEADER,
    TableHeader,
    check_copy,
    check_room,
    fill,
    open_table,
    read_copy,
    remove_tables,
    write_copy,
)

SHAPE = TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=7)


def test_a_copy_is_the_table_and_comes_back(tmp_path):
    table, path = open_table(None, tmp_path, SHAPE)
    with table:
        table.seek(HEADER)
        table.write(bytes(range(144)))
        table.flush()
        write_copy(table, tmp_path / "copy", SHAPE)
        assert (tmp_path / "copy").read_bytes()[HEADER:] == bytes(range(144))
        table.seek(HEADER)
        table.write(bytes(144))
        table.flush()
        check_copy(tmp_path / "copy", SHAPE)
        read_copy(tmp_path / "copy", table, SHAPE)
        assert path.read_bytes()[HEADER:] == bytes(range(144))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "missing"),
        (SHAPE.written + bytes(100), "truncated"),
        (TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=8).written + bytes(144), "nonce"),
        (b"something else", "no file of targets"),
    ],
)
def test_a_copy_that_is_not_this_table_whole_is_named(tmp_path, content, words):
    if content is not None:
        (tmp_path / "copy").write_bytes(content)
    with pytest.raises(CheckpointError, match=f"copy .*{words}"):
        check_copy(tmp_path / "copy", SHAPE)


def test_tables_are_removed_and_nothing_else(tmp_path):
    open_table(None, tmp_path, SHAPE)[0].close()
    (tmp_path / "targets.csv").touch()
    remove_tables(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["targets.csv"]


@pytest.mark.parametrize(
    ("classes", "dtype", "stride"),
    [
        (4, "float32", 16),
        (1_000, "bfloat16", 2_048),
        (1_000, "float32", 4_096),
        (100, "float32", 400),
        (3, "bfloat16", 6),
        (21_841, "bfloat16", 45_056),
        (2_000, "bfloat16", 4_096),
        (2_100, "bfloat16", 4_200),
    ],
)
def test_rows_lie_on_as_few_pages_as_a_little_room_allows(classes, dtype, stride):
    header = TableHeader(num_examples=7, num_classes=classes, dtype=dtype, nonce=1)
    assert header.stride == stride
    assert header.size == HEADER + 7 * stride


def test_each_table_has_a_name_of_its_own_until_it_is_closed(tmp_path):
    folder = tmp_path / "some" / "run"
    with ExitStack() as stack:
        files, paths = zip(*(open_table(None, folder, SHAPE) for _ in range(4)), strict=True)
        for file in files:
            stack.enter_context(file)
        assert [path.name for path in paths] == [f".targets-9x4-float32-{number}.partial" for number in range(4)]
        assert all(path.parent == folder and path.read_bytes() == SHAPE.written + bytes(144) for path in paths)
        with pytest.raises(OutputError, match=r"-2.partial is in use by the targets of another run"):
            open_table(paths[2], tmp_path, SHAPE)
        files[2].close()
        again, path = open_table(None, folder, SHAPE)
        again.close()
        assert path == paths[2]


def test_a_table_that_is_nobodys_begins_anew(tmp_path):
    path = tmp_path / "mine"
    former = TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=8)
    path.write_bytes(former.written + bytes(range(144)))
    file, found = open_table(path, tmp_path / "elsewhere", SHAPE)
    with file:
        assert found == path
        assert path.read_bytes() == SHAPE.written + bytes(144)
    assert list(tmp_path.iterdir()) == [path]


def test_where_another_process_was_quicker_its_file_is_left_to_it(tmp_path, monkeypatch):
    first, path = open_table(None, tmp_path, SHAPE)
    answers = [False]  # it was not there a moment ago
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: answers.pop() if answers else exists(path))
    with first, open_table(None, tmp_path, SHAPE)[0]:
        assert not answers
        assert len(list(tmp_path.iterdir())) == 2
        assert path.exists()


@pytest.mark.parametrize("classes", [4, 5])
def test_what_another_process_made_at_the_same_moment_and_left_is_taken_if_it_is_alike(tmp_path, monkeypatch, classes):
    path = tmp_path / "mine"
    other = TableHeader(num_examples=9, num_classes=classes, dtype="float32", nonce=8)
    path.write_bytes(other.written + bytes(range(9 * other.stride)))
    left = path.read_bytes()
    answers = [False]  # it was not there a moment ago
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: answers.pop() if answers else exists(path))
    if classes == 4:
        open_table(path, tmp_path, SHAPE)[0].close()
        assert path.read_bytes() == SHAPE.written + bytes(144)
    else:
        with pytest.raises(OutputError, match=r"mine has num_classes 5 in place of 4: it is of another run"):
            open_table(path, tmp_path, SHAPE)
        assert path.read_bytes() == left
    assert not answers


@pytest.mark.parametrize("kind", ["file", "file above", "link to nothing"])
def test_a_place_that_cannot_be_is_refused_in_words(tmp_path, kind):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "nothing" / "there")
    places = {"file": "file/targets", "file above": "file/folder/targets", "link to nothing": "link"}
    with pytest.raises(OutputError, match=r"cannot write .*; the targets need 4,240 bytes"):
        open_table(tmp_path / places[kind], tmp_path, SHAPE)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
    assert len(list(tmp_path.iterdir())) == 2
    with open_table(None, tmp_path, SHAPE)[0] as table:
        with pytest.raises(OutputError, match=r"cannot write .*copy: Not a directory; the targets need 4,240 bytes"):
            write_copy(table, tmp_path / "file" / "copy", SHAPE)
        with pytest.raises(OutputError, match=r"cannot write .*copy: No such file or directory"):
            write_copy(table, tmp_path / "none" / "copy", SHAPE)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, None])
def test_where_no_room_can_be_reserved_the_file_is_made_all_the_same(tmp_path, monkeypatch, code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    if code is None:
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    file, path = open_table(None, tmp_path, SHAPE)
    with file:
        assert path.stat().st_size == SHAPE.size
        write_copy(file, tmp_path / "copy", SHAPE)
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()


def test_a_table_that_ends_too_soon_is_no_copy(tmp_path):
    file, path = open_table(None, tmp_path, SHAPE)
    with file:
        os.truncate(path, HEADER + 100)
        with pytest.raises(OutputError, match=r"cannot write .*copy: the file ends at byte 4,196 of 4,240"):
            write_copy(file, tmp_path / "copy", SHAPE)
    assert not (tmp_path / "copy").exists()


def test_bytes_are_read_in_as_many_calls_as_the_system_wants(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"abcdefg")
    real, view = os.preadv, memoryview(bytearray(5))
    monkeypatch.setattr(os, "preadv", lambda file, views, place: real(file, [views[0][:2]], place))
    with (tmp_path / "file").open("rb") as file:
        fill(view, file.fileno(), 1)
    assert bytes(view) == b"bcdef"


def test_a_disk_without_room_for_the_file_and_two_copies_is_refused_at_the_start(tmp_path, monkeypatch):
    folder, free = tmp_path / "run" / "inner", 299
    monkeypatch.setattr(table_file.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    with pytest.raises(
        OutputError, match=r"inner need 300 bytes of disk \(the file in use, a .*and 299 are free there"
    ):
        check_room(folder, [60, 40])
    with pytest.raises(OutputError, match=r"need 500 bytes of disk \(the file in use of each of 3 processes, a"):
        check_room(folder, [100], processes=3)
    check_room(folder, [99])
    check_room(folder, [0, 0])
    check_room(folder, [])
    assert not folder.exists()


def test_what_a_run_has_already_counts_as_room(tmp_path, monkeypatch):
    monkeypatch.setattr(table_file.shutil, "disk_usage", lambda place: SimpleNamespace(free=100))
    (tmp_path / "checkpoint-000001" / "targets-0").mkdir(parents=True)
    (tmp_path / "checkpoint-000001" / "targets-0" / table_file.ROWS_FILE).write_bytes(bytes(100))
    with pytest.raises(OutputError, match="need 300 bytes"):
        check_room(tmp_path, [100])
    (tmp_path / ".targets-9x4-float32-0.partial").write_bytes(bytes(100))
    check_room(tmp_path, [100])
