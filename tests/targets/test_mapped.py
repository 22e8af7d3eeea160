"""What is of the file alone; test_contract.py has what every store promises."""

import copy
import errno
import gc
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from blobs import C as CLASSES
from blobs import N as ROWS
from blobs import examples, network
from elr.errors import ArgumentError, CheckpointError, OutputError
from elr.files import is_partial, why_unwritten
from elr.methods.elr import ELRConfig
from elr.methods.loss.elr_loss import ELRLoss
from elr.targets import mapped as mapped_module
from elr.targets import row_access, table_file
from elr.targets.config import TargetsConfig
from elr.targets.dense import DenseTargets
from elr.targets.mapped import ROWS_FILE, MappedTargets
from elr.targets.store import rows_apart
from elr.targets.updating import STORAGE_DTYPES
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr_batches import outputs
from thread_ranks import check_as_one_process

ALL = torch.arange(9)


@pytest.fixture(params=["here", "beside"], autouse=True)
def beside(request, monkeypatch):
    """Every test of this file with rows read and written by the training thread, and beside it."""
    if request.param == "beside":
        if row_access._mover() is None:
            pytest.skip("there is no compiler")
        monkeypatch.setattr(row_access, "BESIDE", 0)
    return request.param == "beside"


def steps(store, count=3):
    for step in range(count):
        store.update(torch.tensor([7, 2 * step, 2 * step]), outputs(step, 3, 4), beta=0.7)
    return store


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_it_is_bit_for_bit_a_dense_store(tmp_path, dtype):
    store, dense = (
        steps(each) for each in (MappedTargets(9, 4, dtype=dtype, folder=tmp_path), DenseTargets(9, 4, dtype=dtype))
    )
    assert torch.equal(store.table, dense.table)
    assert torch.equal(store.mean(), dense.mean())
    assert repr(store) == repr(dense).replace("Dense", "Mapped")


def test_the_loss_over_it_is_exactly_the_loss_over_a_dense_one(tmp_path):
    losses = [
        ELRLoss(600, 40, targets=each) for each in (MappedTargets(600, 40, folder=tmp_path), DenseTargets(600, 40))
    ]
    for _ in range(2):
        index, logits = torch.randperm(600)[:512], torch.randn(512, 40)
        found = [loss(logits, index % 40, index) for loss in losses]
        assert torch.equal(*found)
    assert torch.equal(losses[0].targets.table, losses[1].targets.table)


def test_a_compiled_loss_takes_it(tmp_path):
    losses = [ELRLoss(9, 4, targets=each) for each in (MappedTargets(9, 4, folder=tmp_path), DenseTargets(9, 4))]
    compiled = torch.compile(losses[0], backend="aot_eager")
    for step in range(3):
        index, logits = torch.tensor([step, 8, step]), torch.randn(3, 4)
        torch.testing.assert_close(compiled(logits, index % 4, index), losses[1](logits, index % 4, index))
    torch.testing.assert_close(losses[0].targets.table, losses[1].targets.table)


def test_the_file_is_made_when_it_is_needed_and_goes_with_the_store(tmp_path):
    store = MappedTargets(9, 4, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    store.read(ALL)
    (path,) = (tmp_path / "run").iterdir()
    assert path == store.path
    assert is_partial(path.name)
    assert path.stat().st_size == table_file.HEADER + 9 * 4 * 4
    del store
    gc.collect()
    assert not path.exists()


def test_a_file_below_a_relative_folder_goes_with_the_store_wherever_that_happens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = MappedTargets(9, 4, folder=Path("run"))
    store.read(ALL)
    assert len(list((tmp_path / "run").iterdir())) == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    del store
    gc.collect()
    assert not list((tmp_path / "run").iterdir())


def test_its_room_is_reserved_at_once(tmp_path):
    store = MappedTargets(10_000, 100, folder=tmp_path)
    store.read(ALL)
    assert store.path.stat().st_blocks * 512 >= 4_000_000


def test_stores_in_one_folder_have_files_of_their_own(tmp_path):
    first, second = (steps(MappedTargets(9, 4, folder=tmp_path), count) for count in (1, 2))
    assert first.path != second.path
    assert not torch.equal(first.table, second.table)
    with pytest.raises(OutputError, match=r"targets-9x4-float32-0.partial is in use by the targets of another run"):
        MappedTargets(9, 4, path=first.path).read(ALL)


def test_what_a_killed_process_left_is_taken_over_with_zeros(tmp_path):
    code = (
        "import os, torch; from pathlib import Path; from elr.targets.mapped import MappedTargets\n"
        f"store = MappedTargets(9, 4, folder=Path({str(tmp_path)!r})); store.table.fill_(0.25); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes()[table_file.HEADER :].strip(b"\0")
    store = MappedTargets(9, 4, folder=tmp_path)
    assert not store.read(ALL).any()
    assert store.path == left


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a diary", "no file of targets"),
        (table_file.MAGIC + b'{"num_exam', "header cannot be read"),
        (
            table_file.TableHeader(num_examples=8, num_classes=4, dtype="float32", nonce=1).written,
            "num_examples 8 in place of 9",
        ),
        (
            table_file.TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=1).written,
            "4,096 bytes of 4,240: it is truncated",
        ),
    ],
)
def test_a_file_of_something_else_is_named_and_left_alone(tmp_path, content, words):
    path = tmp_path / "mine"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=rf"mine .*{words}.*remove the file if it is of no use"):
        MappedTargets(9, 4, path=path).read(ALL)
    assert path.read_bytes() == content


# The disk


def test_a_disk_without_room_is_an_error_at_once_and_nothing_is_left(tmp_path):
    store = MappedTargets(10**9, 10_000, folder=tmp_path)
    with pytest.raises(
        OutputError, match=r"the disk is full; the targets need 40,960,000,004,096 bytes and [\d,]+ are free there"
    ):
        store.read(ALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_room_that_cannot_be_reserved_is_an_error_and_nothing_is_left(tmp_path, monkeypatch, code):
    def refuse(*arguments):
        raise OSError(code, os.strerror(code))

    store = steps(MappedTargets(9, 4, folder=tmp_path))
    (tmp_path / "rows").mkdir()
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(OutputError, match=f"{why_unwritten(OSError(code, ''))}; the targets need 4,240 bytes"):
        MappedTargets(9, 4, folder=tmp_path).read(ALL)
    with pytest.raises(OutputError, match=rf"{ROWS_FILE}: {why_unwritten(OSError(code, ''))}"):
        store.save_rows(tmp_path / "rows")
    assert [path.name for path in tmp_path.rglob("*.targets")] == []
    assert len(list(tmp_path.glob(".targets*"))) == 1


def test_a_file_that_may_not_be_so_large_is_an_error(tmp_path):
    code = (
        "import resource, torch; from pathlib import Path; from elr.targets.mapped import MappedTargets\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))\n"
        f"MappedTargets(10_000, 100, folder=Path({str(tmp_path)!r})).read(torch.tensor([0]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "OutputError: cannot write" in ended.stderr
    assert "the file is too large; the targets need 4,004,096 bytes" in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs another file system than that of temporary files")
def test_rows_are_copied_between_file_systems(tmp_path):
    store = steps(MappedTargets(9, 4, folder=tmp_path))
    folder = Path("/dev/shm") / f"elr-{os.getpid()}"
    folder.mkdir()
    try:
        store.save_rows(folder)
        kept = store.read(ALL)
        steps(store)
        store.load_rows(folder)
    finally:
        shutil.rmtree(folder)
    assert torch.equal(store.read(ALL), kept)


@pytest.mark.parametrize("refused", [errno.EXDEV, errno.ENOSYS])
def test_rows_are_copied_in_chunks_where_the_system_cannot(tmp_path, monkeypatch, refused):
    def refuse(*arguments):
        raise OSError(refused, os.strerror(refused))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(table_file, "COPIED", 100)
    store = steps(MappedTargets(9, 4, folder=tmp_path))
    (tmp_path / "rows").mkdir()
    store.save_rows(tmp_path / "rows")
    kept = store.read(ALL)
    steps(store)
    store.load_rows(tmp_path / "rows")
    assert torch.equal(store.read(ALL), kept)


def test_rows_of_the_checkpoint_of_another_run_are_named(tmp_path):
    first, second = (steps(MappedTargets(9, 4, folder=tmp_path)) for _ in range(2))
    (tmp_path / "rows").mkdir()
    first.save_rows(tmp_path / "rows")
    with pytest.raises(CheckpointError, match=rf"{ROWS_FILE} has nonce \d+ in place of \d+: it is of another run"):
        second.load_rows(tmp_path / "rows")
    with rows_apart([first, second]):  # which the state of the very run tells it
        second.load_state_dict(first.state_dict())
    second.load_rows(tmp_path / "rows")


def test_state_of_another_shape_or_type_is_refused(tmp_path):
    store, other = MappedTargets(9, 4, folder=tmp_path), MappedTargets(9, 4, dtype=torch.bfloat16, folder=tmp_path)
    with pytest.raises(ArgumentError, match="belong to another training set"):
        store.load_state_dict(DenseTargets(8, 4).state_dict())
    with (
        rows_apart([store, other]),
        pytest.raises(ArgumentError, match=r"torch.bfloat16, these \(9, 4\) and torch.float32"),
    ):
        store.load_state_dict(other.state_dict())


def test_what_a_dense_store_had_can_be_gone_on_with(tmp_path):
    dense = steps(DenseTargets(9, 4))
    store = MappedTargets(9, 4, folder=tmp_path)
    store.load_state_dict(dense.state_dict())
    assert torch.equal(store.read(ALL), dense.table)


# In memory


def test_it_is_not_copied(tmp_path):
    store = MappedTargets(9, 4, folder=tmp_path)
    with pytest.raises(ArgumentError, match="are not to be copied or pickled"):
        copy.deepcopy(torch.nn.Sequential(store))


def test_moving_it_leaves_the_rows(tmp_path):
    store = steps(MappedTargets(9, 4, folder=tmp_path))
    table = store.table
    assert store.to(torch.bfloat16).to("meta").table is table


def test_what_is_in_view_is_let_go_of(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_module, "RESIDENT", 2**24)
    store, dense = MappedTargets(50_000, 1000, folder=tmp_path), DenseTargets(50_000, 2)
    dense.read(ALL)

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    store.read(ALL)
    before, most = resident(), 0
    for rows in torch.arange(50_000).split(1000):  # 200 MB
        store.update(rows, torch.full((len(rows), 1000), 1e-3), beta=0.5)
        most = max(most, resident() - before)
    assert most < 6e7
    assert store.mean().allclose(torch.full((1000,), 5e-4, dtype=torch.float64))


def test_a_path_and_a_folder_are_one_too_many(tmp_path):
    with pytest.raises(ArgumentError, match="expected one of them"):
        MappedTargets(9, 4, path=tmp_path / "a", folder=tmp_path)
    with pytest.raises(ArgumentError, match=r"expected one of torch\.float32"):
        MappedTargets(9, 4, dtype=torch.int64, folder=tmp_path)


# Reading ahead, and writing behind


def _sweep(store, dense, steps=6, rows=40):
    """Some steps as a training has them; what the last one wrote may still be under way."""
    for step in range(steps):
        index = torch.randperm(rows, generator=torch.Generator().manual_seed(step))[:24]
        for each in (store, dense):
            each.prefetch(index)
        assert torch.equal(*(each.update(index, outputs(step, 24, 6), beta=0.7) for each in (store, dense)))
    return index


@pytest.mark.parametrize(
    "seen",
    [
        lambda store, _: store.table,
        lambda store, _: store.read(torch.arange(40)),
        lambda store, _: store.read(torch.tensor([9, 3, 30])),
        lambda store, _: store.mean(),
        lambda store, _: store.table_of(torch.tensor([3]), beta=0.5),
        lambda store, _: store.state_dict()["_extra_state"],
        lambda store, last: store.update(last, outputs(1, 24, 6), beta=0.7),
    ],
)
def test_whoever_looks_sees_what_was_written_behind(tmp_path, monkeypatch, beside, seen):
    moved = row_access._moved

    def slow(name, *arguments):
        time.sleep(0.02 if name == "elr_write" else 0.0)
        return moved(name, *arguments)

    monkeypatch.setattr(row_access, "_moved", slow)
    stores = _both(tmp_path)
    last = _sweep(*stores)
    assert torch.equal(*(seen(store, last) for store in stores))
    last = _sweep(*stores)  # also after the table was shown
    assert torch.equal(*(seen(store, last) for store in stores))
    assert (stores[0]._access.queue is not None) == beside


def test_who_has_the_table_finds_each_update_in_it_and_may_write_to_it(tmp_path):
    store, dense = _both(tmp_path)
    tables = [each.table for each in (store, dense)]
    for _ in range(3):
        _sweep(store, dense, steps=2)
        assert torch.equal(*tables)
        for table in tables:
            table[7] = 0.25
        assert torch.equal(store.read(torch.tensor([7])), dense.read(torch.tensor([7])))


def test_a_training_takes_rows_beside_it(tmp_path, beside):
    where = TargetsConfig(placement="mapped", folder=tmp_path)
    method = ELRConfig().build([network()], num_examples=ROWS, num_classes=CLASSES, targets=where)
    (store,) = method.stores
    Training(method, examples(), config=TrainingConfig(epochs=2, batch_size=32)).run()
    assert store.unseen
    assert (store._access.queue is not None) == beside


def test_a_checkpoint_has_what_was_written_behind(tmp_path):
    stores = _both(tmp_path)
    _sweep(*stores)
    kept = stores[1].table.clone()
    stores[0].save_rows(tmp_path)
    _sweep(*stores)
    stores[0].load_rows(tmp_path)
    assert torch.equal(stores[0].read(torch.arange(40)), kept)


def test_what_is_compiled_sees_what_was_written_behind(tmp_path):
    stores, index = _both(tmp_path), torch.tensor([9, 30, 3])
    updates = [torch.compile(lambda *_, each=each: each.update(*_, beta=0.5), backend="aot_eager") for each in stores]
    for _ in range(3):
        _sweep(*stores)
        for step in range(2):
            found = [update(index, outputs(step, 3, 6)) for update in updates]
            torch.testing.assert_close(*found)
    torch.testing.assert_close(*(store.table for store in stores))


def test_a_store_is_let_go_of_while_it_is_written(tmp_path):
    store, dense = _both(tmp_path)
    _sweep(store, dense)
    file = store._access.file
    del store
    gc.collect()
    until = time.monotonic() + 10
    while not file.closed and time.monotonic() < until:
        time.sleep(0.01)
    assert file.closed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "use",
    [
        lambda store, folder: store.read(torch.tensor([3, 1])),
        lambda store, folder: store.read(torch.arange(40)),
        lambda store, folder: store.mean(),
        lambda store, folder: store.table,
        lambda store, folder: store.save_rows(folder),
        lambda store, folder: store.prefetch(torch.tensor([3, 1])),
        lambda store, folder: store.update(torch.tensor([3, 1]), outputs(1, 2, 6), beta=0.7),
    ],
)
def test_rows_that_could_not_be_written_behind_are_told_by_whatever_comes_next(tmp_path, monkeypatch, beside, use):
    if not beside:
        pytest.skip("without a thread it is told at once: test_a_row_that_cannot_be_written_is_an_error")
    stores, moved = _both(tmp_path), row_access._moved

    def full(name, *arguments):
        time.sleep(0.01)
        return -errno.ENOSPC if name == "elr_write" else moved(name, *arguments)

    _sweep(*stores)
    stores[0].settle()
    monkeypatch.setattr(row_access, "_moved", full)
    _sweep(*stores, steps=1)
    stores[0]._access.writing[0].exception(10)
    with pytest.raises(OutputError, match=r"cannot write .*partial: the disk is full; the rows of this step are lost"):
        use(stores[0], tmp_path)
    assert not (tmp_path / ROWS_FILE).exists()


def _both(tmp_path, rows=40, classes=6):
    return MappedTargets(rows, classes, folder=tmp_path), DenseTargets(rows, classes)


@pytest.mark.parametrize(
    "between",
    [
        lambda store: store.update(torch.tensor([9, 3, 30]), outputs(5, 3, 6), beta=0.4),
        lambda store: store.update(torch.arange(2, 12), outputs(6, 10, 6), beta=0.4),
        lambda store: store.table_of(torch.tensor([3]), beta=0.4)[3].fill_(0.125),
        lambda store: store.set_extra_state(torch.full((40, 6), 0.25)),
        lambda store: store.read(torch.tensor([3, 9])),
    ],
)
def test_rows_read_ahead_are_those_that_the_update_finds(tmp_path, between):
    stores, index = _both(tmp_path), torch.tensor([9, 30, 3, 17])
    for store in stores:
        store.update(index.flip(0), outputs(1, 4, 6), beta=0.7)
        store.prefetch(index)
        between(store)
        store.update(index, outputs(2, 4, 6), beta=0.7)
    assert torch.equal(*(store.table for store in stores))
    assert stores[0].ahead is None


def test_numbers_that_are_written_over_after_reading_ahead_are_other_rows(tmp_path):
    stores, index = _both(tmp_path), torch.tensor([9, 30, 3])
    for store in stores:
        store.update(index, outputs(1, 3, 6), beta=0.7)
        memory = index.clone()
        store.prefetch(memory)
        memory.copy_(torch.tensor([30, 3, 12]))
        store.update(memory, outputs(2, 3, 6), beta=0.7)
    assert torch.equal(*(store.table for store in stores))


def test_rows_read_ahead_serve_a_batch_in_pieces(tmp_path):
    stores, index = _both(tmp_path), torch.tensor([9, 30, 3, 17, 22])
    for store in stores:
        for step in range(2):
            store.prefetch(index)
            piece = store.piecewise(index, beta=0.7)
            for rows in (slice(0, 3), slice(3, 5)):
                piece(rows, outputs(step, 5, 6)[rows])
    assert torch.equal(*(store.table for store in stores))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_read_ahead_may_be_looked_at_before_they_are_moved(tmp_path, monkeypatch, dtype):
    index = torch.tensor([9, 30, 3, 17, 22])
    stores = [MappedTargets(40, 6, dtype=dtype, folder=tmp_path), DenseTargets(40, 6, dtype=dtype)]
    for store in stores:
        store.update(index.flip(0), outputs(1, 5, 6), beta=0.7)
        store.prefetch(index)
    monkeypatch.setattr(stores[0], "_fetched", lambda _: pytest.fail("the file was read once more"))
    seen = []
    for store in stores:
        piece = store.piecewise(index, beta=0.7)
        for rows in (slice(0, 3), slice(3, 5)):
            seen += [store.read(index[rows]), store.read(index[rows]).add_(1.0)]  # whose memory is the caller's
            piece(rows, outputs(2, 5, 6)[rows])
    half = len(seen) // 2
    assert all(map(torch.equal, seen[:half], seen[half:]))
    monkeypatch.undo()
    assert torch.equal(*(store.read(index) for store in stores))


def test_an_aligned_loss_over_it_is_exactly_that_over_a_dense_one(tmp_path):
    shares = torch.arange(1.0, 41.0) / 820.0
    stores = [MappedTargets(600, 40, folder=tmp_path), DenseTargets(600, 40)]
    losses = [ELRLoss(600, 40, targets=each, class_shares=shares) for each in stores]
    for _ in range(3):
        index, logits = torch.randperm(600)[:512], torch.randn(512, 40)
        for loss, store in zip(losses, stores, strict=True):
            loss.realign(class_shares=shares)
            store.prefetch(index)
        assert torch.equal(*(loss(logits, index % 40, index) for loss in losses))
    assert torch.equal(*(store.table for store in stores))


def test_rows_restored_after_reading_ahead_are_those_of_the_checkpoint(tmp_path):
    store, index = MappedTargets(9, 4, folder=tmp_path), torch.tensor([7, 2, 4])
    steps(store)
    (tmp_path / "rows").mkdir()
    store.save_rows(tmp_path / "rows")
    expected = store.read(index).clone()
    steps(store)
    store.prefetch(index)
    store.load_rows(tmp_path / "rows")
    assert torch.equal(store.read(index), expected)


def test_a_system_that_does_not_say_what_it_has_in_memory_is_read_all_the_same(tmp_path, monkeypatch):
    real = os.preadv

    def unsupported(file, views, place, flags=0):
        if flags:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(file, views, place)

    monkeypatch.setattr(os, "preadv", unsupported)
    stores = [steps(store) for store in (MappedTargets(9, 4, folder=tmp_path), DenseTargets(9, 4))]
    assert torch.equal(*(store.table for store in stores))


def test_what_the_system_does_not_have_in_memory_is_asked_for_before_it_is_waited_for(tmp_path, monkeypatch):
    asked, real = [], os.preadv

    def absent(file, views, place, flags=0):
        if flags:
            raise BlockingIOError
        asked.append("wait")
        return real(file, views, place)

    monkeypatch.setattr(row_access, "BESIDE", 2**60)
    store, dense = steps(MappedTargets(9, 4, folder=tmp_path)), steps(DenseTargets(9, 4))
    monkeypatch.setattr(os, "preadv", absent)
    monkeypatch.setattr(os, "posix_fadvise", lambda file, place, count, kind: asked.append((place, count)))
    store.prefetch(torch.tensor([7, 2]))
    assert asked == [(table_file.HEADER + 7 * 16, 16), (table_file.HEADER + 2 * 16, 16)]
    found = [each.update(torch.tensor([7, 2]), outputs(4, 2, 4), beta=0.3) for each in (store, dense)]
    assert torch.equal(*found)
    assert asked[2:] == ["wait", "wait"]


def test_advice_that_the_system_does_not_take_and_rows_that_it_cannot_read(tmp_path, monkeypatch):
    store, dense = steps(MappedTargets(9, 4, folder=tmp_path)), steps(DenseTargets(9, 4))
    real = os.preadv

    def absent(file, views, place, flags=0):
        if flags:
            raise BlockingIOError
        return real(file, views, place)

    def refuse(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "preadv", absent)
    monkeypatch.setattr(os, "posix_fadvise", refuse)
    assert torch.equal(store.read(torch.tensor([7, 2])), dense.read(torch.tensor([7, 2])))
    monkeypatch.setattr(os, "preadv", refuse)
    with pytest.raises(OutputError, match="cannot be read: Input/output error"):
        store.read(torch.tensor([7, 2]))


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_read_after_an_update_is_what_it_wrote(tmp_path, compiled):
    stores, index = _both(tmp_path), torch.tensor([9, 30, 3])

    def updated(store):
        def update(index, probs):
            return store.update(index, probs, beta=0.5)

        return torch.compile(update, backend="aot_eager") if compiled else update

    for store in stores:
        store.read(index)
        update = updated(store)
        for step in range(2):
            store.prefetch(index)
            update(index, outputs(step, 3, 6))
    assert torch.equal(*(store.read(index) for store in stores))


def test_a_batch_with_repeats_that_is_taken_in_parts_sees_what_its_parts_wrote(tmp_path):
    stores, found = _both(tmp_path), []
    for store in stores:
        store.prefetch(torch.tensor([5, 7, 5, 7]))
        store.update(torch.tensor([5, 7]), outputs(1, 2, 6), beta=0.5)
        found.append(store.update(torch.tensor([5, 7]), outputs(2, 2, 6), beta=0.5))
    assert torch.equal(*found)


def test_a_file_that_was_cut_short_from_outside_is_told(tmp_path):
    store = steps(MappedTargets(9, 4, folder=tmp_path))
    os.truncate(store.path, table_file.HEADER + 40)
    with pytest.raises(OutputError, match=r"ends before its last row: it was changed from outside"):
        store.read(torch.tensor([7, 2]))
    os.truncate(store.path, table_file.HEADER + 9 * 16)


@pytest.mark.filterwarnings("ignore:.*outputs of the network were not finite:RuntimeWarning")
@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
@pytest.mark.parametrize("parts", [1, 5])
def test_ranks_have_the_rows_of_one_process_and_one_copy_is_kept(tmp_path, monkeypatch, dtype, parts):
    def make(num_examples, num_classes):
        return MappedTargets(num_examples, num_classes, dtype=dtype, folder=tmp_path)

    stores, ranks = check_as_one_process(make, monkeypatch, parts=parts)
    for rank in range(3):
        (tmp_path / f"{rank}").mkdir()
    ranks.run(lambda rank: stores[rank].save_rows(tmp_path / f"{rank}"))
    assert [path.parent.name for path in tmp_path.rglob(ROWS_FILE)] == ["0"]


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_where_the_system_cannot_read_by_place_it_is_the_same(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(mapped_module, "BY_PLACE", False)
    store, dense = MappedTargets(9, 4, dtype=dtype, folder=tmp_path), DenseTargets(9, 4, dtype=dtype)
    for each in (store, dense):
        each.parts = 2
        steps(each)
        probs = outputs(7, 3, 4)
        probs[1, 3] = torch.nan
        with pytest.warns(RuntimeWarning, match="not finite"):
            each.update(torch.tensor([8, 1, 7]), probs, beta=0.4)
        each.piecewise(torch.tensor([3, 2]), beta=0.2)(slice(0, 2), outputs(8, 2, 4))
    assert torch.equal(store.read(ALL), dense.read(ALL))
    assert store.read(ALL).dtype == dense.read(ALL).dtype
    assert torch.equal(store.mean(), dense.mean())


def test_what_comes_into_view_row_by_row_is_released_by_its_bytes(tmp_path, monkeypatch):
    released, row = [], 2**16 + 4 * 4
    monkeypatch.setattr(mapped_module, "BY_PLACE", False)
    monkeypatch.setattr(mapped_module, "RESIDENT", 4 * row)
    store = MappedTargets(9, 4, folder=tmp_path)
    release = store.release
    monkeypatch.setattr(store, "release", lambda: released.append(store.seen // row) or release())
    for number in range(12):
        store.table_of(ALL[number % 9 :][:1], beta=0.5)
    assert released == [5, 5]
    assert store.seen == 2 * row


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_no_rows_have_the_type_of_the_others(tmp_path, dtype):
    store, none = MappedTargets(9, 4, dtype=dtype, folder=tmp_path), ALL[:0]
    full = torch.float64 if dtype == torch.float64 else torch.float32
    assert store.update(none, torch.empty(0, 4), beta=0.5).dtype == store.read(none).dtype == full


@pytest.mark.parametrize("left", ["nothing", "another file"])
def test_a_name_that_is_no_longer_its_own_is_left_alone(tmp_path, left):
    store = steps(MappedTargets(9, 4, folder=tmp_path))
    file, path = store._access.file, store.path
    path.unlink()
    if left == "another file":
        path.write_text("mine", encoding="utf-8")
    del store
    gc.collect()
    assert file.closed
    assert [each.read_text(encoding="utf-8") for each in tmp_path.iterdir()] == (["mine"] if left != "nothing" else [])


@pytest.mark.parametrize("fault", ["no room", "half a row"])
def test_a_row_that_cannot_be_written_is_an_error(tmp_path, monkeypatch, fault):
    store, pwrite = MappedTargets(9, 4, folder=tmp_path), os.pwrite
    store.read(ALL)

    def failing(file, content, place):
        if fault == "no room":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(file, content[:8], place)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(OutputError, match=r"cannot write .*partial: (the disk is full|the disk took a part of a row)"):
        steps(store)
