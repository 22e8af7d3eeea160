"""Rows of targets in files: read again by any number of ranks, or refused with the name of the file."""

import pytest
import torch

from elr.errors import CheckpointError
from elr.targets import row_files
from elr.targets.row_files import load_part, part_name, part_of, save_part
from elr_batches import outputs

N, C = 11, 3
TABLE = outputs(0, N, C)


@pytest.fixture
def folder(tmp_path):
    for rank in range(4):
        save_part(tmp_path, TABLE[slice(*part_of(rank, 4, N))], rank=rank, world=4, num_examples=N)
    return tmp_path


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("block", [row_files.BLOCK, 24])
def test_any_number_of_ranks_reads_what_others_wrote(tmp_path, monkeypatch, world, block):
    monkeypatch.setattr(row_files, "BLOCK", block)  # bytes: two rows, or all
    for rank in range(world):
        save_part(tmp_path, TABLE[slice(*part_of(rank, world, N))], rank=rank, world=world, num_examples=N)
    for readers in (1, 2, 4, 12):
        parts = [load_part(tmp_path, part_of(rank, readers, N), shape=(N, C)) for rank in range(readers)]
        assert torch.equal(torch.cat(parts), TABLE)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_stays(tmp_path, dtype):
    save_part(tmp_path, TABLE.to(dtype), rank=0, world=1, num_examples=N)
    assert torch.equal(load_part(tmp_path, (0, N), shape=(N, C)), TABLE.to(dtype))


def test_only_what_is_wanted_is_read(folder):
    path = folder / part_name(3, 4, N)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert torch.equal(load_part(folder, (0, 6), shape=(N, C)), TABLE[:6])
    with pytest.raises(CheckpointError, match=rf"{path.name} is truncated or damaged .*checksum"):
        load_part(folder, (6, 11), shape=(N, C))


def test_a_truncated_file_is_named(folder):
    path = folder / part_name(2, 4, N)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=f"{path.name} is truncated or damaged"):
        load_part(folder, (0, 3), shape=(N, C))


def test_a_missing_file_is_named_also_where_others_have_the_rows_that_are_wanted(folder):
    (folder / part_name(1, 4, N)).unlink()
    with pytest.raises(CheckpointError, match=f"{part_name(1, 4, N)} is missing"):
        load_part(folder, (0, 3), shape=(N, C))


def test_an_empty_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError, match=f"no rows of targets: .* {part_name(0, 1, N)} of a run on one"):
        load_part(tmp_path, (0, 3), shape=(N, C))


def test_another_table_is_refused(folder):
    with pytest.raises(CheckpointError, match="is of another table"):
        load_part(folder, (0, 3), shape=(N, C + 1))


def test_files_of_two_checkpoints_are_refused(folder):
    save_part(folder, TABLE, rank=0, world=1, num_examples=N)
    with pytest.raises(CheckpointError, match="expected the files of one checkpoint"):
        load_part(folder, (0, 3), shape=(N, C))


def test_something_else_is_refused(folder):
    path = folder / part_name(0, 4, N)
    path.write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match=path.name):
        load_part(folder, (0, 3), shape=(N, C))


def test_folders_need_not_be_utf_8(tmp_path):
    folder = tmp_path / b"caf\xe9".decode("utf-8", "surrogateescape")
    folder.mkdir()
    save_part(folder, torch.ones(3, 2), rank=0, world=1, num_examples=3)
    assert load_part(folder, (1, 3), shape=(3, 2)).tolist() == [[1.0, 1.0]] * 2
