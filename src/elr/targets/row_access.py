"""Rows of a file by their places: read and written by calls of the system, of a large file beside the training thread.

Each call of the system from Python gives the interpreter away and takes it back: a thousand of them in another thread
keep this one waiting. A few lines of C++, built by the compiler behind `torch.compile`, do all of a batch without it;
where there is no such compiler, Python does the same in the training thread.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elr.devices import usable_library
from elr.errors import OutputError
from elr.files import why_unwritten
from elr.targets.table_file import fill, unread

BESIDE = 2**28
"""Bytes of a file from which on it is worth it to build what reads and writes it beside the training thread."""
BY_PLACE = hasattr(os, "preadv") and hasattr(os, "pwrite")  # what Windows has not
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_PAGE = 4096  # bytes; where pages are larger, zeros are read that need not be
_ENDED = 1
_Function = TypeVar("_Function", bound=Callable[..., Any])
_NOWHERE = -1  # the place of a row that was never written; all others are even

_SOURCE = r"""
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vector>

// All rows: 0, or -errno, or 1 where the file ends before. The place -1 is a row of zeros.
extern "C" int64_t elr_read(int file, const int64_t* places, int64_t count, char* rows, int64_t width) {
  std::vector<int64_t> missing;
  for (int64_t each = 0; each < count; each++) {
    char* row = rows + each * width;
    if (places[each] == -1) {
      std::memset(row, 0, width);
      continue;
    }
    iovec part{row, static_cast<size_t>(width)};
    if (preadv2(file, &part, 1, places[each], RWF_NOWAIT) != width) missing.push_back(each);
  }
  for (const int64_t each : missing) posix_fadvise(file, places[each], width, POSIX_FADV_WILLNEED);
  for (const int64_t each : missing) {
    for (int64_t done = 0; done < width;) {
      const ssize_t found = pread(file, rows + each * width + done, width - done, places[each] + done);
      if (found < 0 && errno == EINTR) continue;
      if (found <= 0) return found < 0 ? -errno : 1;
      done += found;
    }
  }
  return 0;
}

// All rows: 0, or -errno, or 1 where a part of a row was written.
extern "C" int64_t elr_write(int file, const int64_t* places, int64_t count, const char* rows, int64_t width) {
  for (int64_t each = 0; each < count; each++) {
    ssize_t done;
    do done = pwrite(file, rows + each * width, width, places[each]); while (done < 0 && errno == EINTR);
    if (done != width) return done < 0 ? -errno : 1;
  }
  return 0;
}
"""


def _untraced(function: _Function) -> _Function:
    """What compilers leave as it is."""
    return torch.compiler.disable(function)  # pyright: ignore


class RowAccess:
    """Rows of one file, of which this process alone knows what is in it.

    What is begun beside the training thread is done one after the other, in the order in which it was asked for. What
    reads or writes the file by another way has to `settle()` first.

    Args:
        file: the file, opened for both; closed by `close`.
        path: what it is called in errors.
        first: the place of the first row, in bytes.
        stride: bytes from one row to the next.
        size: bytes of the file.
        zeros: whether all of it is zeros as yet, so that rows need not be read before they were written.

    Example:
        >>> import tempfile
        >>> file = tempfile.TemporaryFile()
        >>> rows = RowAccess(file, Path("rows"), first=0, stride=8, size=80, zeros=True)
        >>> rows.write(torch.tensor([9, 1]), torch.tensor([[0.5, 0.25], [0.75, 1.0]]))
        >>> rows.begin(torch.tensor([1, 0]), torch.empty(2, 2)).take(2)
        tensor([[0.7500, 1.0000],
                [0.0000, 0.0000]])
        >>> rows.close()
    """

    def __init__(self, file: BinaryIO, path: Path, *, first: int, stride: int, size: int, zeros: bool) -> None:
        self.file, self.path, self.first, self.stride, self.size = file, path, first, stride, size
        self.process = os.getpid()
        self.queue: SimpleQueue[Any] | None = None
        self.last: Future[int] | None = None
        self.writing: deque[Future[int]] = deque()
        self.failed = ""
        self.untouched = np.ones(-(-size // _PAGE), dtype=bool) if zeros else None
        _OPEN.add(self)

    @property
    @_untraced
    def beside(self) -> bool:
        """Whether rows can be read and written beside this thread; what does so is built when this is first asked."""
        return self.size >= BESIDE and os.getpid() == self.process and _mover() is not None

    @_untraced
    def begin(self, index: Tensor, rows: Tensor, *, beside: bool = False) -> Rows:
        """Begin to read rows; what was written before is seen, what is written later may be or not.

        Args:
            index: (B,) int64 rows on the CPU, in the file.
            rows: (B, C) memory for them.
            beside: as `RowAccess.beside`: whether to go on while they are read.

        Raises:
            OutputError: rows that were written before could not be.
        """
        self._check()
        places = self._places(index)
        if self.untouched is not None:
            first, last = self._pages(places, rows)
            places = np.where(self.untouched[first] & self.untouched[last], _NOWHERE, places)
        if not beside:
            self.settle()
            return _RowsHere(self.file.fileno(), index, rows, places.tolist())
        return _RowsBeside(index, rows, self._submit("elr_read", places, rows))

    @_untraced
    def write(self, index: Tensor, rows: Tensor, *, beside: bool = False) -> None:
        """Write rows, (B, C).

        Args:
            index: as `begin`.
            rows: (B, C) as they are to be stored; with `beside` they must not be changed any more.
            beside: as `begin`.

        Raises:
            OutputError: these rows, or some that were written before, could not be written.
        """
        self._check()
        places, rows = self._places(index), rows.contiguous()
        if self.untouched is not None:
            for pages in self._pages(places, rows):
                self.untouched[pages] = False
        if beside:
            self.writing.append(self._submit("elr_write", places, rows))
            return
        self.settle()
        width, content = rows.shape[1] * rows.itemsize, rows.view(torch.uint8).view(-1).numpy().data
        try:
            for place, start in zip(places.tolist(), range(0, len(content), width), strict=True):
                if os.pwrite(self.file.fileno(), content[start : start + width], place) != width:
                    self._fail(_ENDED)
        except OSError as error:
            self._fail(error)

    @_untraced
    def settle(self) -> None:
        """Wait for what is being written, after which the file has all of it.

        Raises:
            OutputError: something could not be written.
        """
        while self.writing:
            self._check(wait=True)
        self._check()

    def touch(self) -> None:
        """Take note that something else may write to the file: nothing counts as zeros any more."""
        self.untouched = None

    def close(self) -> None:
        """Close the file when all is done; whatever could not be written is of no use any more."""
        if self.queue is not None and os.getpid() == self.process:
            self.queue.put(self.file)  # nobody waits, and no lock is taken: the collector calls this anywhere
        else:
            self.file.close()

    def _submit(self, name: str, places: NDArray[np.int64], rows: Tensor) -> Future[int]:
        """Have the thread do it; where there can be none, it is done here."""
        future, task = Future[int](), (name, self.file.fileno(), places, rows)
        if self.queue is None:
            queue: SimpleQueue[Any] = SimpleQueue()
            try:
                threading.Thread(target=_work, args=(queue,), name="elr-targets", daemon=True).start()
            except RuntimeError:  # "can't start new thread"
                future.set_result(_moved(*task))
                return future
            self.queue = queue
        self.queue.put((future, task))
        self.last = future  # after it is asked for: a fork waits for this one
        return future

    def _places(self, index: Tensor) -> NDArray[np.int64]:
        return index.numpy() * self.stride + self.first

    @staticmethod
    def _pages(places: NDArray[np.int64], rows: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which pages have the first and the last byte of rows; those between are theirs alone."""
        last = places + (rows.shape[1] * rows.itemsize - 1)
        return places // _PAGE, last // _PAGE

    def _check(self, *, wait: bool = False) -> None:
        """Raise what became of what was written; of one that is not done yet only if asked to wait."""
        if self.failed:
            raise OutputError(self.failed)
        while self.writing and (wait or self.writing[0].done()):
            ended, wait = self.writing[0].result(), False  # which Ctrl-C may end: then it is asked again
            if ended:
                self._fail(_ENDED if ended == _ENDED else OSError(-ended, os.strerror(-ended)))
            self.writing.popleft()

    def _fail(self, reason: OSError | int) -> None:
        why = why_unwritten(reason) if isinstance(reason, OSError) else "the disk took a part of a row"
        self.failed = f"cannot write {self.path}: {why}; the rows of this step are lost"
        raise OutputError(self.failed) from (reason if isinstance(reason, OSError) else None)


class Rows:
    """Rows (B,) that are being read into memory (B, C).

    Example:
        >>> Rows(torch.tensor([4, 2]), torch.empty(2, 3)).has(torch.tensor([4]))
        True
    """

    def __init__(self, index: Tensor, rows: Tensor) -> None:
        self.index, self.rows, self.taken = index.clone(), rows, 0  # callers use their memory again

    @property
    def left(self) -> int:
        """How many rows are still to be taken."""
        return len(self.index) - self.taken

    def has(self, index: Tensor) -> bool:
        """Whether these rows are the next ones."""
        return torch.equal(self.index[self.taken : self.taken + len(index)], index)

    @_untraced
    def take(self, count: int) -> Tensor:
        """The next rows, (count, C), which are the caller's from then on.

        Raises:
            OutputError: they cannot be read, or what was written before could not be.
        """
        rows = self.look(count)
        self.taken += count
        return rows

    @_untraced
    def look(self, count: int) -> Tensor:
        """The same, which are still to be taken: to be copied, and not changed."""
        end = self.taken + count
        self._wait(end)
        return self.rows[self.taken : end]

    def _wait(self, end: int) -> None:
        """Have all before `end`."""


class _RowsBeside(Rows):
    """Rows that another thread reads."""

    def __init__(self, index: Tensor, rows: Tensor, reading: Future[int]) -> None:
        super().__init__(index, rows)
        self.reading = reading

    def _wait(self, end: int) -> None:
        del end
        if ended := self.reading.result():
            raise unread(None if ended == _ENDED else os.strerror(-ended))


class _RowsHere(Rows):
    """Rows that this thread reads: those that the system has in memory at once, the others when they are taken."""

    def __init__(self, file: int, index: Tensor, rows: Tensor, places: list[int]) -> None:
        super().__init__(index, rows)
        self.file, self.places, self.flags = file, places, _NOWAIT
        self.width = rows.shape[1] * rows.itemsize
        self.views = rows.view(torch.uint8).view(-1).numpy().data
        self.missing = deque(number for number in range(len(places)) if not self._is_read(number))
        for number in self.missing:  # all are asked for before one is waited for
            with suppress(OSError):
                os.posix_fadvise(file, places[number], self.width, os.POSIX_FADV_WILLNEED)

    def _wait(self, end: int) -> None:
        while self.missing and self.missing[0] < end:
            number = self.missing.popleft()
            fill(self._view(number), self.file, self.places[number])

    def _view(self, number: int) -> memoryview:
        return self.views[number * self.width : (number + 1) * self.width]

    def _is_read(self, number: int) -> bool:
        """Read a row, unless one would have to wait for it."""
        if self.places[number] == _NOWHERE:
            self._view(number)[:] = bytes(self.width)
            return True
        if not self.flags:  # a system that does not say
            fill(self._view(number), self.file, self.places[number])
            return True
        try:
            return os.preadv(self.file, [self._view(number)], self.places[number], self.flags) == self.width
        except BlockingIOError:
            return False
        except OSError:  # not on this file system
            self.flags = 0
            return self._is_read(number)


def _moved(name: str, file: int, places: NDArray[np.int64], rows: Tensor) -> int:
    """Read or write rows without the interpreter: what `elr_read` and `elr_write` say of it."""
    width = rows.shape[1] * rows.itemsize
    return getattr(_mover(), name)(file, places.ctypes.data, len(places), rows.data_ptr(), width)


def _work(queue: SimpleQueue[Any]) -> None:
    """What the thread does: one task after the other, and the file closed at last."""
    while isinstance(task := queue.get(), tuple):
        try:
            task[0].set_result(_moved(*task[1]))
        except BaseException as error:  # whoever waits is told
            task[0].set_exception(error)
        del task
    task.close()


_OPEN: weakref.WeakSet[RowAccess] = weakref.WeakSet()


def _before_fork() -> None:
    """A child has no thread: all is to be done that was begun; and it may write rows that are no zeros then."""
    for access in list(_OPEN):
        if access.last is not None and access.process == os.getpid():
            wait([access.last])
        access.touch()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork)


@functools.cache
def _mover() -> Any:
    """The library, built or taken from where the compiler keeps what it built; None where it cannot be had."""
    taken = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64]
    functions = {"elr_read": (ctypes.c_int64, taken), "elr_write": (ctypes.c_int64, taken)}
    return usable_library(_SOURCE, functions, _is_right, otherwise="targets are read and written by Python")


def _is_right(library: Any) -> bool:
    """Whether rows are what was written, zeros are zeros, and the end of the file is told."""
    rows = torch.arange(1, 13, dtype=torch.int16, device="cpu").view(3, 4)
    places = torch.tensor([16, 0, 40], device="cpu")
    wanted, after = torch.tensor([40, _NOWHERE, 16, 8], device="cpu"), torch.tensor([48], device="cpu")
    found = torch.ones(5, 4, dtype=torch.int16, device="cpu")
    file = os.memfd_create("elr")
    try:
        written = library.elr_write(file, places.data_ptr(), 3, rows.data_ptr(), 8)
        ended = library.elr_read(file, wanted.data_ptr(), 4, found.data_ptr(), 8)
        beyond = library.elr_read(file, after.data_ptr(), 1, found[4].data_ptr(), 8)
    finally:
        os.close(file)
    expected = torch.stack([rows[2], torch.zeros_like(rows[0]), rows[0], torch.zeros_like(rows[0])])
    return (written, ended, beyond) == (0, 0, _ENDED) and torch.equal(found[:4], expected)
