import errno
import os
import threading
import time

import pytest
import torch

from elr.devices import built_library
from elr.errors import OutputError
from elr.targets import row_access
from elr.targets.row_access import BY_PLACE, RowAccess, Rows

pytestmark = pytest.mark.skipif(not BY_PLACE, reason="this system does not read and write by place")
WIDTH = 6  # numbers of a row


@pytest.fixture(params=["here", "beside"])
def beside(request, monkeypatch):
    monkeypatch.setattr(row_access, "BESIDE", 0)
    if request.param == "beside" and row_access._mover() is None:
        pytest.skip("there is no compiler")
    return request.param == "beside"


def access_of(path, *, stride=WIDTH * 4, first=128, count=3000, zeros=True):
    size = first + count * stride
    path.write_bytes(bytes(size))
    return RowAccess(path.open("r+b"), path, first=first, stride=stride, size=size, zeros=zeros)


def taken(access, index, *, beside=False):
    return access.begin(index, torch.full((len(index), WIDTH), torch.nan), beside=beside).take(len(index))


def numbers(count, seed=0):
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("stride", [WIDTH * 4, 32, 4096, 5000])
def test_what_is_read_is_what_was_written(tmp_path, beside, zeros, stride):
    access, expected = access_of(tmp_path / "rows", stride=stride, zeros=zeros), torch.zeros(3000, WIDTH)
    for step in range(40):
        index = torch.randperm(3000)[:100]
        rows = taken(access, index, beside=beside)
        assert torch.equal(rows, expected[index])
        expected[index] = numbers(100, step)
        access.write(index, expected[index], beside=beside)
    access.settle()
    content = torch.frombuffer(bytearray((tmp_path / "rows").read_bytes()[128:]), dtype=torch.uint8).view(3000, stride)
    assert torch.equal(content[:, : WIDTH * 4].contiguous().view(torch.float32), expected)
    assert not content[:, WIDTH * 4 :].any()
    access.close()


def test_rows_that_were_never_written_are_not_read(tmp_path, beside):
    access = access_of(tmp_path / "rows", stride=WIDTH * 4, first=4096)
    (tmp_path / "rows").write_bytes(b"\x40" * (4096 + 3000 * WIDTH * 4))  # as no file of zeros can be
    index = torch.tensor([0, 170, 171, 341])  # row 170 lies on two pages, 171 on the second of them
    assert not taken(access, index, beside=beside).any()
    access.write(torch.tensor([171]), numbers(1), beside=beside)
    found = taken(access, index, beside=beside)
    assert found.any(dim=1).tolist() == [False, True, True, True]  # also of row 341, which begins where that page ends
    assert torch.equal(found[2:3], numbers(1))
    access.touch()
    assert taken(access, index, beside=beside).any(dim=1).all()
    access.close()


def test_rows_are_taken_in_parts_and_are_their_own(tmp_path, beside):
    access, memory = access_of(tmp_path / "rows"), torch.tensor([9, 4, 7])
    access.write(memory, numbers(3), beside=beside)
    rows = access.begin(memory, torch.empty(3, WIDTH), beside=beside)
    memory.zero_()
    assert not rows.has(torch.tensor([4]))
    assert rows.has(torch.tensor([9, 4]))
    assert torch.equal(rows.take(2), numbers(3)[:2])
    assert rows.left == 1
    assert rows.has(torch.tensor([7]))
    assert torch.equal(rows.take(1), numbers(3)[2:])
    assert rows.left == 0
    access.close()


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (-errno.ENOSPC, r"cannot write .*rows: the disk is full; the rows of this step are lost"),
        (1, r"cannot write .*rows: the disk took a part of a row; the rows of this step are lost"),
    ],
)
def test_what_could_not_be_written_beside_is_told_by_all_that_comes_after(tmp_path, monkeypatch, ended, words):
    access, index = access_of(tmp_path / "rows"), torch.tensor([3])
    begun = threading.Event()

    def failing(name, *_):
        begun.wait(10)
        return ended if name == "elr_write" else 0

    monkeypatch.setattr(row_access, "_moved", failing)
    access.write(index, numbers(1), beside=True)  # nobody knows yet
    begun.set()
    for again in range(2):
        with pytest.raises(OutputError, match=words):
            access.settle()
        with pytest.raises(OutputError, match=words):
            access.begin(index, torch.empty(1, WIDTH), beside=bool(again))
        with pytest.raises(OutputError, match=words):
            access.write(index, numbers(1), beside=bool(again))
    access.close()


def test_a_fault_of_an_earlier_step_is_told_without_waiting_for_it(tmp_path, monkeypatch):
    access = access_of(tmp_path / "rows")
    monkeypatch.setattr(row_access, "_moved", lambda name, *_: -errno.EIO)
    access.write(torch.tensor([3]), numbers(1), beside=True)
    access.writing[0].exception(10)
    with pytest.raises(OutputError, match=os.strerror(errno.EIO)):
        access.write(torch.tensor([3]), numbers(1), beside=True)
    access.close()


@pytest.mark.parametrize(
    ("ended", "words"), [(-errno.EIO, f"cannot be read: {os.strerror(errno.EIO)}"), (1, "ends before its last row")]
)
def test_what_could_not_be_read_beside_is_told_when_it_is_taken(tmp_path, monkeypatch, ended, words):
    access = access_of(tmp_path / "rows")
    monkeypatch.setattr(row_access, "_moved", lambda *_: ended)
    rows = access.begin(torch.tensor([3]), torch.empty(1, WIDTH), beside=True)
    with pytest.raises(OutputError, match=words):
        rows.take(1)
    access.close()


def test_a_file_that_was_cut_short_is_told(tmp_path, beside):
    access = access_of(tmp_path / "rows", zeros=False)
    os.truncate(tmp_path / "rows", 128 + 3 * WIDTH * 4 + 5)
    assert not taken(access, torch.tensor([2]), beside=beside).any()
    with pytest.raises(OutputError, match="ends before its last row"):
        taken(access, torch.tensor([2, 3]), beside=beside)
    access.close()


def test_a_place_before_the_file_is_an_error(tmp_path, beside):
    access = access_of(tmp_path / "rows", zeros=False)
    with pytest.raises(OutputError, match="Invalid argument"):
        taken(access, torch.tensor([-9]), beside=beside)
    access.close()


def test_a_file_is_closed_when_all_is_written(tmp_path, monkeypatch):
    access, index = access_of(tmp_path / "rows"), torch.tensor([3])
    file, closed = access.file, []

    def slow(*arguments):
        time.sleep(0.05)
        closed.append(file.closed)
        return 0

    monkeypatch.setattr(row_access, "_moved", slow)
    for _ in range(3):
        access.write(index, numbers(1), beside=True)
    access.close()
    until = time.monotonic() + 10
    while not file.closed and time.monotonic() < until:
        time.sleep(0.01)
    assert closed == [False] * 3
    assert file.closed


def test_where_no_thread_can_be_had_it_is_done_at_once(tmp_path, monkeypatch, beside):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    access, index = access_of(tmp_path / "rows"), torch.tensor([3, 8])
    access.write(index, numbers(2), beside=beside)
    assert torch.equal(taken(access, index, beside=beside), numbers(2))
    access.close()
    assert access.file.closed


def test_what_fails_in_the_thread_is_told(tmp_path, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    access, index = access_of(tmp_path / "rows"), torch.tensor([3])
    monkeypatch.setattr(row_access, "_moved", broken)
    with pytest.raises(ZeroDivisionError):
        access.begin(index, torch.empty(1, WIDTH), beside=True).take(1)
    access.close()


def test_a_first_look_in_inference_mode_is_one_like_others(tmp_path, beside):
    with torch.inference_mode():
        access = access_of(tmp_path / "rows")
        assert not taken(access, torch.tensor([3]), beside=beside).any()
    access.write(torch.tensor([3]), numbers(1), beside=beside)
    assert torch.equal(taken(access, torch.tensor([3]), beside=beside), numbers(1))
    access.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_has_what_was_begun_and_what_it_writes_is_seen(tmp_path, monkeypatch, beside):
    moved = row_access._moved

    def slow(*arguments):
        time.sleep(0.1)
        return moved(*arguments)

    monkeypatch.setattr(row_access, "_moved", slow)
    access = access_of(tmp_path / "rows")
    access.write(torch.tensor([3]), numbers(1), beside=beside)
    ahead = access.begin(torch.tensor([3]), torch.empty(1, WIDTH), beside=beside)
    child = os.fork()
    if not child:
        right = torch.equal(ahead.take(1), numbers(1))
        access.write(torch.tensor([900]), numbers(1, seed=1))
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(taken(access, torch.tensor([900]), beside=beside), numbers(1, seed=1))
    access.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_reads_by_itself_and_leaves_the_file_open_for_its_parent(tmp_path, monkeypatch):
    monkeypatch.setattr(row_access, "BESIDE", 0)
    access, index = access_of(tmp_path / "rows"), torch.tensor([3])
    access.write(index, numbers(1), beside=access.beside)
    access.settle()
    child = os.fork()
    if not child:
        right = not access.beside and torch.equal(taken(access, index), numbers(1))
        access.settle()
        access.close()
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(taken(access, index, beside=access.beside), numbers(1))
    access.close()


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="this system does not say what it has in memory")
def test_a_row_that_would_have_to_be_waited_for_is_read_when_it_is_taken(tmp_path, monkeypatch):
    access, index = access_of(tmp_path / "rows", zeros=False), torch.tensor([7, 2, 900])
    access.write(index, numbers(3))
    asked, real = [], os.preadv

    def absent(file, views, place, flags=0):
        asked.append(flags)
        if flags:
            raise BlockingIOError
        return real(file, views, place)

    monkeypatch.setattr(os, "preadv", absent)
    rows = access.begin(index, torch.full((3, WIDTH), torch.nan))
    assert asked == [os.RWF_NOWAIT] * 3
    assert torch.equal(rows.take(2), numbers(3)[:2])
    assert asked[3:] == [0, 0]
    assert torch.equal(rows.take(1), numbers(3)[2:])
    access.close()


def test_small_files_are_not_worth_it(tmp_path, monkeypatch):
    monkeypatch.setattr(row_access, "_mover", lambda: pytest.fail("it was built"))
    access = access_of(tmp_path / "rows")
    assert not access.beside
    access.close()


def test_without_a_compiler_there_is_none_and_a_line_says_so(monkeypatch, caplog):
    def refuse(_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("elr.devices.built_library", refuse)
    with caplog.at_level("INFO", logger="elr.devices"):
        assert row_access._mover.__wrapped__() is None
    assert "read and written by Python: no C++ compiler" in caplog.text


def test_what_was_built_wrong_is_not_taken(monkeypatch, caplog):
    if row_access._mover() is None:
        pytest.skip("there is no compiler")
    monkeypatch.setattr(row_access, "_is_right", lambda _: False)
    assert row_access._mover.__wrapped__() is None
    assert "is wrong on a test" in caplog.text


@pytest.mark.parametrize("wrong", ["nothing is read", "nothing is written", "the end is not told"])
def test_what_is_built_wrong_is_found(wrong):
    right = row_access._mover()
    if right is None:
        pytest.skip("there is no compiler")

    class Wrong:
        def elr_read(self, *arguments):
            ended = 0 if wrong == "nothing is read" else right.elr_read(*arguments)
            return 0 if wrong == "the end is not told" else ended

        def elr_write(self, *arguments):
            return 0 if wrong == "nothing is written" else right.elr_write(*arguments)

    assert row_access._is_right(right)
    assert not row_access._is_right(Wrong())


def test_no_rows_are_the_next_ones_after_the_last():
    rows = Rows(torch.tensor([4, 2]), numbers(2))
    assert torch.equal(rows.take(2), numbers(2))
    assert not rows.has(torch.tensor([4]))


def test_who_waits_for_what_is_written_and_is_interrupted_can_ask_again(tmp_path, monkeypatch):
    access, begun = access_of(tmp_path / "rows"), threading.Event()
    monkeypatch.setattr(row_access, "_moved", lambda *_: begun.wait(10) and -errno.ENOSPC)
    access.write(torch.tensor([3]), numbers(1), beside=True)
    real = row_access.Future.result

    def interrupted(future, timeout=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(row_access.Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        access.settle()
    monkeypatch.setattr(row_access.Future, "result", real)
    begun.set()
    with pytest.raises(OutputError, match="the disk is full"):
        access.settle()
    access.close()


def test_where_there_is_a_compiler_what_it_builds_is_right():
    try:
        built_library(row_access._SOURCE)
    except Exception as error:
        pytest.skip(f"there is no compiler: {error}")
    assert row_access._mover() is not None
