"""Files that hold a table: made of zeros with room on the disk, locked, identified, copied in chunks."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import torch

from elr.errors import CheckpointError, OutputError
from elr.files import why_unwritten
from elr.locks import locked

MAGIC = b"elr targets 2\n"
HEADER = 4096
"""Bytes before the rows: what file it is, in JSON, filled up with spaces; rows begin on a page."""
PAGE = 4096
"""Bytes that the system reads and writes at least."""
COPIED = 2**26
"""Bytes that are copied at a time."""
ROWS_FILE = "rows.targets"
"""The copy of the table in a checkpoint."""
_PADDED = 1.125
_ANEW = "delete the checkpoint and start anew"


@dataclass(frozen=True, kw_only=True)
class TableHeader:
    """What a file of targets says of itself.

    Args:
        num_examples: rows.
        num_classes: numbers of each.
        dtype: of the numbers, such as "bfloat16".
        nonce: of the run, which its copies in checkpoints have as well.

    Example:
        >>> header = TableHeader(num_examples=1_281_167, num_classes=1_000, dtype="bfloat16", nonce=7)
        >>> header.stride, header.size
        (2048, 2623834112)
        >>> len(header.written)
        4096
    """

    num_examples: int
    num_classes: int
    dtype: str
    nonce: int

    @property
    def stride(self) -> int:
        """Bytes from one row to the next: a little more than a row has where rows then lie on fewer pages."""
        width = self.num_classes * getattr(torch, self.dtype).itemsize
        padded = -(-width // PAGE) * PAGE if width > PAGE else 2 ** (width - 1).bit_length()
        return padded if padded <= width * _PADDED else width

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return HEADER + self.num_examples * self.stride

    @property
    def written(self) -> bytes:
        """The first bytes of the file."""
        return (MAGIC + json.dumps(asdict(self)).encode()).ljust(HEADER)

    def differences(self, other: TableHeader) -> str:
        """What `other` has in place of what this has, in words; empty if nothing."""
        mine, its = asdict(self), asdict(other)
        return ", ".join(
            f"{name} {its[name]} in place of {value}" for name, value in mine.items() if its[name] != value
        )


def open_table(path: Path | None, folder: Path, header: TableHeader) -> tuple[BinaryIO, Path]:
    """A file of zeros of the right size that no other store uses, and where it is.

    Args:
        path: of the file; None: a name of its own in `folder`.
        folder: made if it is not there.
        header: what it is to hold.

    Raises:
        OutputError: the disk has no room for it; or what is there is something else, of another shape, or in use.

    Example:
        >>> import tempfile
        >>> header = TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=7)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = [open_table(None, Path(folder), header) for _ in range(2)]
        ...     for file, path in files:
        ...         print(path.name, path.stat().st_size)
        ...         file.close()
        .targets-9x4-float32-0.partial 4240
        .targets-9x4-float32-1.partial 4240
    """
    if path is not None:
        file = _taken(path, header)
        if file is None:
            raise OutputError(f"{path} is in use by the targets of another run: wait for it, or choose another place")
        return file, path
    number = 0
    while True:
        name = f".targets-{header.num_examples}x{header.num_classes}-{header.dtype}-{number}.partial"
        file = _taken(folder / name, header)
        if file is not None:
            return file, folder / name
        number += 1


def check_room(folder: Path, sizes: Sequence[int], *, processes: int = 1) -> None:
    """Refuse a run whose tables and checkpoints the disk has no room for, before anything is written.

    Each process has a file of every table; while a checkpoint is written, there are its copies and the former ones.

    Args:
        folder: of the run, which need not be there; what it has of tables and copies counts as room.
        sizes: bytes of the file of each table, 0 for one in memory.
        processes: that have files there.

    Raises:
        OutputError: says how many bytes are needed, and how many are free.

    Example:
        >>> check_room(Path("run"), [2**80])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.OutputError: the mapped targets of run need 3,626,777,458,843,887,524,118,528 bytes of disk...
    """
    if not any(sizes):
        return
    needed, there = sum(sizes) * (processes + 2), folder
    while not there.exists() and there != there.parent:
        there = there.parent
    with suppress(OSError):  # a place that cannot be looked at is refused where it is made
        free = shutil.disk_usage(there).free
        kept = [*folder.glob(".targets-*.partial"), *folder.glob(f"checkpoint*/*/{ROWS_FILE}")]
        if free + sum(path.stat().st_size for path in kept) < needed:
            raise OutputError(
                f"the mapped targets of {folder} need {needed:,} bytes of disk (the file in use{_each(processes)}, a "
                f"checkpoint, and the next one beside it), and {free:,} are free there: make room, choose another "
                "place, or keep the targets in bfloat16, as sparse ones or not at all (stateless)"
            )


def _each(processes: int) -> str:
    return f" of each of {processes} processes" if processes > 1 else ""


def remove_tables(folder: Path) -> None:
    """Remove what stores have in the folder of a run that is complete.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / ".targets-9x4-float32-0.partial").touch()
        ...     remove_tables(Path(folder))
        ...     list(Path(folder).iterdir())
        []
    """
    for path in folder.glob(".targets-*.partial"):
        with suppress(OSError):
            path.unlink()


def write_copy(source: BinaryIO, path: Path, header: TableHeader) -> None:
    """Copy an open table into a new file.

    Raises:
        OutputError: there is no room, or the like; nothing is left of it then.

    Example:
        >>> import tempfile
        >>> header = TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=7)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table, path = open_table(None, Path(folder), header)
        ...     with table:
        ...         write_copy(table, Path(folder) / "copy", header)
        ...     (Path(folder) / "copy").read_bytes() == path.read_bytes()
        True
    """
    try:
        with path.open("wb") as target:
            _reserve(target, header.size, path)
            target.write(header.written)
            target.flush()
            _copy(source, target, header.size)
    except OSError as error:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise _unwritten(path, header.size, error) from error


def check_copy(path: Path, header: TableHeader) -> None:
    """Refuse a copy that is not whole or of another table.

    Raises:
        CheckpointError: it is missing, truncated or of another run.

    Example:
        >>> header = TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=7)
        >>> check_copy(Path("no-copy"), header)
        Traceback (most recent call last):
        elr.errors.CheckpointError: no-copy is missing, the rows of the targets: delete the checkpoint and start anew
    """
    try:
        with path.open("rb") as source:
            found, size = _header_in(source, path), os.fstat(source.fileno()).st_size
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing, the rows of the targets: {_ANEW}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}): {_ANEW}") from error
    if found != header:
        raise CheckpointError(f"{path} has {header.differences(found)}: it is of another run; {_ANEW}")
    if size != header.size:
        raise CheckpointError(f"{path} has {size:,} bytes of {header.size:,}: it is truncated; {_ANEW}")


def read_copy(path: Path, target: BinaryIO, header: TableHeader) -> None:
    """Copy the rows of a copy back into an open table; see `write_copy`.

    Raises:
        CheckpointError: as `check_copy`.

    Example:
        >>> header = TableHeader(num_examples=9, num_classes=4, dtype="float32", nonce=7)
        >>> import io
        >>> read_copy(Path("no-such-copy"), io.BytesIO(), header)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.CheckpointError: no-such-copy is missing...
    """
    check_copy(path, header)
    try:
        with path.open("rb") as source:
            _copy(source, target, header.size)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}): {_ANEW}") from error


def fill(view: memoryview, file: int, place: int) -> None:
    """Read as many bytes as there is room for.

    Args:
        view: of bytes, one-dimensional.
        file: descriptor.
        place: of the first byte in the file.

    Raises:
        OutputError: they cannot be read, or the file has fewer.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryFile() as file:
        ...     fill(memoryview(bytearray(3)), file.fileno(), 0)
        Traceback (most recent call last):
        elr.errors.OutputError: the file of the targets ends before its last row: it was changed from outside
    """
    done = 0
    while done < len(view):
        try:
            count = os.preadv(file, [view[done:]], place + done)
        except OSError as error:
            raise unread(error.strerror) from error
        if not count:
            raise unread(None)
        done += count


def unread(reason: str | None) -> OutputError:
    """Why rows were not read; None: the file ended.

    Example:
        >>> unread("Input/output error")
        OutputError('the file of the targets cannot be read: Input/output error')
    """
    if reason is None:
        return OutputError("the file of the targets ends before its last row: it was changed from outside")
    return OutputError(f"the file of the targets cannot be read: {reason}")


def _taken(path: Path, header: TableHeader) -> BinaryIO | None:
    """The file made, or taken over where it is there and nobody's; None where it is somebody's."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("r+b" if path.exists() else "x+b")
    except FileExistsError as error:
        if path.parent.is_dir() and not path.is_symlink():
            return _taken(path, header)  # another process was quicker
        raise _unwritten(path, header.size, error) from error  # a folder that is a file, or a link to nothing
    except OSError as error:
        raise _unwritten(path, header.size, error) from error
    if not locked(file.fileno()):
        file.close()
        return None
    try:
        if os.fstat(file.fileno()).st_size:
            _check_ours(file, path, header)
        file.seek(0)
        file.truncate(0)
        _reserve(file, header.size, path)
        file.write(header.written)
        file.flush()
    except OSError as error:
        file.close()
        with suppress(OSError):
            path.unlink()
        raise _unwritten(path, header.size, error) from error
    except OutputError:
        file.close()
        raise
    return file


def _check_ours(file: BinaryIO, path: Path, header: TableHeader) -> None:
    """Refuse to overwrite what is no table of this shape."""
    leave = "choose another path, or remove the file if it is of no use"
    try:
        found = _header_in(file, path)
    except CheckpointError as error:
        raise OutputError(f"{error}; {leave}") from error
    differs = header.differences(replace(found, nonce=header.nonce))
    if differs:
        raise OutputError(f"{path} has {differs}: it is of another run; {leave}")
    size = os.fstat(file.fileno()).st_size
    if size != header.size:
        raise OutputError(f"{path} has {size:,} bytes of {header.size:,}: it is truncated; {leave}")


def _reserve(file: BinaryIO, size: int, path: Path) -> None:
    """Make the file so large, with room on the disk: a mapped page that finds none would end the process."""
    if shutil.disk_usage(path.parent).free < size:
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
    free = ""
    with suppress(OSError):
        free = f" and {shutil.disk_usage(path.parent).free:,} are free there"
    return OutputError(
        f"cannot write {path}: {why_unwritten(error)}; the targets need {size:,} bytes{free}: make room, choose "
        "another place, or keep them in bfloat16, as sparse ones or not at all (stateless)"
    )


def _header_in(file: BinaryIO, path: Path) -> TableHeader:
    head = file.read(HEADER)
    if not head.startswith(MAGIC):
        raise CheckpointError(f"{path} is no file of targets, or one that was not finished: expected one of elr's")
    try:
        return TableHeader(**json.loads(head[len(MAGIC) :]))
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: its header cannot be read") from error


def _copy(source: BinaryIO, target: BinaryIO, end: int) -> None:
    """Copy the rows in chunks; file systems that can share blocks between files do."""
    done = HEADER
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
