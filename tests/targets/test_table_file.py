"""Files of tables by themselves; test_mapped.py has what a store makes of them."""

import pytest

from elr.errors import CheckpointError
from elr.targets.table_file import HEADER, TableHeader, check_copy, open_table, read_copy, remove_tables, write_copy

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
        (None, "copy"),
        (SHAPE.written + bytes(100), "truncated"),
        (TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=8).written + bytes(144), "nonce"),
        (b"something else", "no file of targets"),
    ],
)
def test_a_copy_that_is_not_this_table_whole_is_named(tmp_path, content, words):
    if content is not None:
        (tmp_path / "copy").write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
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
