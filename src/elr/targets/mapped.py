"""Targets in a file that is mapped into memory: more of them than memory holds."""

from __future__ import annotations

import errno
import json
import mmap
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch import distributed as dist

from elr.checking import checked
from elr.errors import ArgumentError, CheckpointError, OutputError
from elr.targets.dense import STORAGE_DTYPES, DenseTargets
from elr.targets.store import CHUNK, Targets

MAGIC = b"elr targets 1\n"
HEADER = 4096
"""Bytes before the rows: what file it is, in JSON, filled up with spaces; rows begin on a page."""
ROWS_FILE = "rows.targets"
"""The copy of the table in a checkpoint."""
RESIDENT = 2**28
"""Bytes of the file that this process has in view before it lets go of them; the system keeps what it has room for."""
COPIED = 2**26
"""Bytes that are copied at a time."""
_AROUND = 2**16  # bytes that the system brings into view around one that is touched


class MappedTargets(DenseTargets):
    """All rows in a file that is mapped into memory; steps touch those of the batch only.

    N * C * itemsize bytes of disk, reserved when they are first needed: a disk that is too small is an error then and
    not the end of the process later. In memory there is what the system has room for; the process lets go of what it
    has seen from time to time, so that its peak is RESIDENT bytes more than without, however large the file is. What is
    read and updated is bit for bit what `DenseTargets` gives; a table in float32 stays so when float64 outputs come.

    The file is the memory of this object and no record: it begins with zeros and is removed with the object; what is
    kept is what `save_rows` or `state_dict` keep. A file of a process that was killed is taken over, and begins with
    zeros again; one that another store uses is not. `.to()` leaves the rows where they are, and what is read goes to
    the device of `index`, what an update gives to that of `probs`. Under several ranks each has a file of its own,
    whole, and all see the rows of all ranks, as dense ones do; a checkpoint has one copy.

    Args:
        num_examples: N >= 1.
        num_classes: C >= 2.
        dtype: as `DenseTargets`.
        path: of the file. Default: a free name in `folder`.
        folder: where the file gets a name of its own, which `elr.files.is_partial` knows. Default: that of temporary
            files.

    Raises:
        ArgumentError: another dtype, counts out of range, or both a path and a folder.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     targets = MappedTargets(100_000, 10, path=Path(folder) / "targets")
        ...     _ = targets.update(torch.tensor([99_999]), torch.full((1, 10), 0.1), beta=0.5)
        ...     print(targets.path.stat().st_size, targets.read(torch.tensor([99_999]))[0, 0])
        ...     del targets
        4004096 tensor(0.0500)
    """

    @checked
    def __init__(
        self,
        num_examples: int,
        num_classes: int,
        *,
        dtype: torch.dtype = torch.float32,
        path: Path | None = None,
        folder: Path | None = None,
    ) -> None:
        Targets.__init__(self, num_examples, num_classes)
        if dtype not in STORAGE_DTYPES:
            raise ArgumentError(f"targets stored as {dtype}: expected one of {', '.join(map(str, STORAGE_DTYPES))}")
        if path is not None and folder is not None:
            raise ArgumentError(f"path is {path} and folder {folder}: expected one of them")
        self.dtype = dtype
        self.path = path
        self.folder = folder
        self.nonce = uuid.uuid4().int >> 66  # of the run's table, to tell its copies from those of another run
        self.mapped: mmap.mmap | None = None
        self.seen = 0  # bytes in view, at most

    @cached_property
    def table(self) -> Tensor:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        """(N, C) the rows in the file, which is made here: not before the folder of the run is."""
        file, self.path = _opened(self.path, self.folder or Path(tempfile.gettempdir()), self._about())
        with file:
            self.mapped = mmap.mmap(file.fileno(), self._size())  # has a handle of its own, and so the lock
            lock = os.dup(file.fileno())
        weakref.finalize(self, _removed, self.path, lock, os.getpid())
        with suppress(AttributeError, OSError):  # rows come in no order: reading ahead would be for nothing
            self.mapped.madvise(mmap.MADV_RANDOM)
        count = self.num_examples * self.num_classes
        flat = torch.frombuffer(self.mapped, dtype=self.dtype, count=count, offset=HEADER)
        return flat.view(self.num_examples, self.num_classes)

    def read(self, index: Tensor) -> Tensor:
        self._ahead(index)
        return super().read(index).to(index.device)

    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        given = super().update(index, probs, beta=beta)
        return given.to(probs.device)

    def mean(self) -> Tensor:
        return Targets.mean(self)  # by `read`, which lets go of what was seen

    def check(self, index: Tensor, probs: Tensor | None = None, *, beta: float = 0.0) -> None:
        super().check(index, probs, beta=beta)
        self._look(len(index))

    def table_of(self, index: Tensor, *, beta: float) -> Tensor | None:
        self._look(len(index))
        return super().table_of(index, beta=beta)

    def release(self) -> None:
        """Let go of what is in view; nothing is lost, and the system writes it down when it sees fit."""
        self.seen = 0
        if self.mapped is not None:
            with suppress(AttributeError, OSError):
                self.mapped.madvise(mmap.MADV_DONTNEED)

    def save_rows(self, folder: Path) -> None:
        if self.process_group is not None and dist.get_rank(self.process_group):
            return  # every rank has the same
        self.table  # noqa: B018 - makes the file
        path = folder / ROWS_FILE
        try:
            with Path(self._there).open("rb") as source, path.open("wb") as target:
                _reserve(target, self._size(), path)
                target.write(_header(self._about()))
                target.flush()
                _copy(source, target, start=HEADER, end=self._size())
        except OSError as error:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise _unwritten(path, self._size(), error) from error

    def load_rows(self, folder: Path) -> None:
        path = folder / ROWS_FILE
        expected = self._about()
        try:
            with path.open("rb") as source:
                found, size = _read_header(source, path), os.fstat(source.fileno()).st_size
                if found != expected:
                    raise CheckpointError(f"{path} has {_differs(found, expected)}: it is of another run; {_ANEW}")
                if size != self._size():
                    raise CheckpointError(f"{path} has {size:,} bytes of {self._size():,}: it is truncated; {_ANEW}")
                self.table  # noqa: B018 - makes the file
                with Path(self._there).open("r+b") as target:
                    _copy(source, target, start=HEADER, end=self._size())
        except FileNotFoundError as error:
            raise CheckpointError(f"{path} is missing, the rows of the targets: {_ANEW}") from error
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read ({error}): {_ANEW}") from error
        self.release()

    def get_extra_state(self) -> Tensor:
        """The table, or where `save_rows` writes that, what it must agree in: N, C, dtype and the run's number."""
        if not self.rows_apart:
            return self.table
        return torch.tensor([self.num_examples, self.num_classes, STORAGE_DTYPES.index(self.dtype), self.nonce])

    def set_extra_state(self, state: Tensor) -> None:
        if not self.rows_apart:
            if state.shape != (self.num_examples, self.num_classes):
                return super().set_extra_state(state)  # which says so
            rows = max(1, CHUNK // self.num_classes)
            for start in range(0, self.num_examples, rows):
                self._look(rows)
                self.table[start : start + rows] = state[start : start + rows]
            return None
        *counts, kind, nonce = state.tolist()
        if counts != [self.num_examples, self.num_classes] or STORAGE_DTYPES[kind] != self.dtype:
            raise ArgumentError(
                f"the saved targets have shape {tuple(counts)} and type {STORAGE_DTYPES[kind]}, these "
                f"{(self.num_examples, self.num_classes)} and {self.dtype}: they belong to another run"
            )
        self.nonce = nonce
        return None

    def __reduce_ex__(self, protocol: object) -> Any:
        raise ArgumentError(
            f"targets in {self.path or 'a file'} are not to be copied or pickled, with whatever has them: make another "
            "store and load `state_dict()` into it, or copy the network alone"
        )

    def extra_repr(self) -> str:
        return f"{self.num_examples}, {self.num_classes}, dtype={self.dtype}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MappedTargets:
        Targets._apply(self, fn, recurse)
        return self

    def _follow(self, dtype: torch.dtype) -> None:
        """The rows stay as they are stored."""

    @property
    def _there(self) -> Path:
        assert self.path is not None, "the file was made"
        return self.path

    def _size(self) -> int:
        return HEADER + self.num_examples * self.num_classes * self.dtype.itemsize

    def _about(self) -> dict[str, Any]:
        """What the header says."""
        return {
            "num_examples": self.num_examples,
            "num_classes": self.num_classes,
            "dtype": str(self.dtype).removeprefix("torch."),
            "nonce": self.nonce,
        }

    def _look(self, rows: int) -> None:
        """Take note that so many rows come into view, and let go of what was there if that is too much."""
        self.seen += rows * (_AROUND + self.num_classes * self.dtype.itemsize)
        if self.seen > RESIDENT:
            self.release()

    def _ahead(self, index: Tensor) -> None:
        """Have rows that follow one another read at once: page by page it takes many times as long from a disk."""
        rows = len(index)
        if rows < 2 or index.device.type != "cpu" or index.dtype != torch.int64 or index.ndim != 1:
            return
        first, last = int(index[0]), int(index[-1])
        if last - first + 1 == rows and first >= 0 and last < self.num_examples and self.mapped is not None:
            width = self.num_classes * self.dtype.itemsize
            start = (HEADER + first * width) // mmap.PAGESIZE * mmap.PAGESIZE
            with suppress(AttributeError, OSError):
                self.mapped.madvise(mmap.MADV_WILLNEED, start, HEADER + (last + 1) * width - start)


_ANEW = "delete the checkpoint and start anew"


def remove_tables(folder: Path) -> None:
    """Remove what stores have in the folder of a run that is complete.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     targets = MappedTargets(4, 2, folder=Path(folder))
        ...     _ = targets.read(torch.tensor([3]))
        ...     print([path.name for path in Path(folder).iterdir()])
        ...     remove_tables(Path(folder))
        ...     print([path.name for path in Path(folder).iterdir()])
        ['.targets-4x2-float32-0.partial']
        []
    """
    for path in folder.glob(".targets-*.partial"):
        with suppress(OSError):
            path.unlink()


def _opened(path: Path | None, folder: Path, about: dict[str, Any]) -> tuple[BinaryIO, Path]:
    """A file of zeros of the right size that no other store uses, and where it is."""
    if path is not None:
        file = _taken(path, about)
        if file is None:
            raise OutputError(f"{path} is in use by the targets of another run: wait for it, or choose another place")
        return file, path
    shape = f"{about['num_examples']}x{about['num_classes']}-{about['dtype']}"
    number = 0
    while True:
        path = folder / f".targets-{shape}-{number}.partial"
        file = _taken(path, about)
        if file is not None:
            return file, path
        number += 1


def _taken(path: Path, about: dict[str, Any]) -> BinaryIO | None:
    """The file made, or taken over where it is there and nobody's; None where it is somebody's."""
    size = HEADER + about["num_examples"] * about["num_classes"] * getattr(torch, about["dtype"]).itemsize
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("r+b" if path.exists() else "x+b")
    except FileExistsError:
        return _taken(path, about)  # another process was quicker
    except OSError as error:
        raise _unwritten(path, size, error) from error
    if not _locked(file):
        file.close()
        return None
    try:
        if os.fstat(file.fileno()).st_size:
            _check_ours(file, path, about)
        file.truncate(0)
        _reserve(file, size, path)
        file.write(_header(about))
        file.flush()
    except OSError as error:
        file.close()
        with suppress(OSError):
            path.unlink()
        raise _unwritten(path, size, error) from error
    except OutputError:
        file.close()
        raise
    return file


def _check_ours(file: BinaryIO, path: Path, about: dict[str, Any]) -> None:
    """Refuse to overwrite what is no table of this shape."""
    leave = "choose another path, or remove the file if it is of no use"
    try:
        found = _read_header(file, path)
    except CheckpointError as error:
        raise OutputError(f"{error}; {leave}") from error
    file.seek(0)
    differs = _differs(found, about | {"nonce": found.get("nonce")})
    if differs:
        raise OutputError(f"{path} has {differs}: it is of another run; {leave}")


def _locked(file: BinaryIO) -> bool:
    """Whether nobody else has the file; always where the system has no locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _removed(path: Path, lock: int, process: int) -> None:
    if os.getpid() == process:  # and not a child of it
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            os.close(lock)


def _reserve(file: BinaryIO, size: int, path: Path) -> None:
    """Make the file so large, with room on the disk: a mapped page that finds none would end the process."""
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    file.truncate(size)
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        try:
            allocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def _unwritten(path: Path, size: int, error: OSError) -> OutputError:
    with suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        return OutputError(
            f"cannot write {path}: {error.strerror}; the targets need {size:,} bytes and {free:,} are free there: make "
            "room, choose another place, or keep them as bfloat16, sparse (targets of a few classes a row) or stateless"
        )
    return OutputError(f"cannot write {path}: {error.strerror}")


def _header(about: dict[str, Any]) -> bytes:
    return (MAGIC + json.dumps(about).encode()).ljust(HEADER)


def _read_header(file: BinaryIO, path: Path) -> dict[str, Any]:
    head = file.read(HEADER)
    if not head.startswith(MAGIC):
        raise CheckpointError(f"{path} is no file of targets: expected one that elr has written")
    try:
        return json.loads(head[len(MAGIC) :])
    except ValueError as error:
        raise CheckpointError(f"{path} is truncated: its header has {len(head)} bytes of {HEADER}") from error


def _differs(found: dict[str, Any], expected: dict[str, Any]) -> str:
    names = [name for name, value in expected.items() if found.get(name) != value]
    return ", ".join(f"{name} {found.get(name)} in place of {expected[name]}" for name in names)


def _copy(source: BinaryIO, target: BinaryIO, *, start: int, end: int) -> None:
    """Copy bytes [start, end) in chunks; file systems that can share blocks between files do."""
    done = start
    copy: Callable[..., int] | None = getattr(os, "copy_file_range", None)
    while done < end:
        count = min(COPIED, end - done)
        if copy is not None:
            try:
                moved = copy(source.fileno(), target.fileno(), count, done, done)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
                    raise
                copy = None  # not between these two
                continue
        else:
            source.seek(done)
            target.seek(done)
            moved = target.write(source.read(count))
        if not moved:
            raise OSError(errno.EIO, f"the file ends at byte {done:,} of {end:,}")
        done += moved
    target.flush()
