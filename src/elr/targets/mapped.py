"""Targets in a file that is mapped into memory: more of them than memory holds."""

from __future__ import annotations

import mmap
import os
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
from elr.errors import ArgumentError
from elr.targets.dense import DenseTargets
from elr.targets.ranks import number_of_ranks
from elr.targets.row_access import BY_PLACE, RowAccess, Rows
from elr.targets.store import CHUNK, Targets
from elr.targets.table_file import HEADER, ROWS_FILE, TableHeader, check_copy, fill, open_table, read_copy, write_copy
from elr.targets.updating import STORAGE_DTYPES, blend, full_type, has_repeats, not_compiled

RESIDENT = 2**28
"""Bytes of the file that this process has in view before it lets go of them; the system keeps what it has room for."""
_SAID = 4  # numbers that a state has where the rows are apart
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
        self.seen = 0  # bytes in view, at most
        self.ahead: Rows | None = None  # rows of the step that is to come
        self.made = False
        self.unseen = True  # whether nobody has the table yet, in which each update is to be found from then on

    @property
    def table(self) -> Tensor:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        """(N, C) the rows in the file, which is made here: not before the folder of the run is."""
        if self.unseen:
            self._show()  # pyright: ignore
        return self._table

    @property
    def _like(self) -> Tensor:
        if not self.made:
            self._make()  # pyright: ignore
        return self._table

    @torch.compiler.disable
    def _make(self) -> None:
        self.made = self._table is not None

    @torch.compiler.disable
    def _show(self) -> None:
        """Have all in the table that was written, and take it that whoever has the table writes to it."""
        self._make()  # pyright: ignore
        self._access.settle()
        self._access.touch()
        self.unseen = False

    @cached_property
    def _table(self) -> Tensor:
        header = self._header
        with suppress(AttributeError, OSError):  # rows come in no order: reading ahead would be for nothing
            self._map.madvise(mmap.MADV_RANDOM)
        count = header.num_examples * header.stride // self.dtype.itemsize
        flat = torch.frombuffer(self._map, dtype=self.dtype, count=count, offset=HEADER)
        return flat.view(header.num_examples, -1)[:, : header.num_classes]

    @cached_property
    def _access(self) -> RowAccess:
        header = self._header
        file, self.path = open_table(self.path, self.folder or Path(tempfile.gettempdir()), header)
        found = RowAccess(file, self.path, first=HEADER, stride=header.stride, size=header.size, zeros=True)
        weakref.finalize(self, _removed, found, self.path.absolute(), os.getpid())
        _advise(file, "RANDOM")
        return found

    @cached_property
    def _map(self) -> mmap.mmap:
        return mmap.mmap(self._access.file.fileno(), self._header.size)

    @property
    def file_bytes(self) -> int:
        """What its file takes of the disk."""
        return self._header.size

    def read(self, index: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not BY_PLACE:
            return super().read(index).to(index.device)
        self.check(index)
        ahead = self.ahead if self.unseen and index.device.type == "cpu" else None
        if ahead is not None and ahead.has(index):  # rows of the step under way, of which someone looks at the former
            return ahead.look(len(index)).to(full_type(self._like), copy=True)
        return self._fetched(index.cpu()).to(full_type(self._like)).to(index.device)

    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        if torch.compiler.is_compiling():
            self.ahead = None  # written through the table
        given = super().update(index, probs, beta=beta)
        return given.to(probs.device)

    @not_compiled
    def _update_with_others(self, index: Tensor, probs: Tensor, beta: float) -> Tensor:
        self.ahead = None
        self._look(len(index) * number_of_ranks(self.process_group))
        return super()._update_with_others(index, probs, beta)

    def mean(self) -> Tensor:
        chunks = torch.arange(self.num_examples).split(max(1, CHUNK // self.num_classes))
        sums = [self._fetched(rows).sum(dim=0, dtype=torch.float64) for rows in chunks]
        return torch.stack(sums).sum(dim=0) / self.num_examples

    def table_of(self, index: Tensor, *, beta: float) -> Tensor | None:
        self.ahead = None  # whoever has the table changes it
        self._look(len(index))
        return super().table_of(index, beta=beta)

    def _blended(
        self, index: Tensor, probs: Tensor, beta: float, *, out: Tensor | None = None, parts: int | None = None
    ) -> Tensor:
        """Through calls of the system: to bring pages into view and to let go of them takes twice as long."""
        if not BY_PLACE:
            self._look(len(index))
            return super()._blended(index, probs, beta, out=out, parts=parts)
        ahead, self.ahead, beside = self.ahead, None, False
        if ahead is not None and ahead.has(index):
            rows, beside = ahead.take(len(index)), self.unseen and self._access.beside
            self.ahead = ahead if ahead.left else None
        else:
            rows = self._fetched(index)
        found = blend(rows, torch.arange(len(index)), probs, beta, out=out, parts=parts)
        self._access.write(index, rows, beside=beside)
        return found

    def prefetch(self, index: Tensor) -> None:
        """Read rows while the network works, and write them while it goes on when the update has moved them.

        What is read so serves the update alone; whoever writes to `table` in between changes rows that are not seen.
        Nothing is begun under several ranks, for rows on an accelerator, or where one comes twice.
        """
        self.check(index)
        near = self.process_group is None and index.device.type == "cpu"
        here = BY_PLACE and near and not has_repeats(index)
        self.ahead = self._begun(index, beside=self._access.beside) if here else None

    def _fetched(self, index: Tensor) -> Tensor:
        """(B, C) a copy of rows, as they are stored, without bringing them into view."""
        if not BY_PLACE:
            self._look(len(index))
            return self.table[index]
        first = int(index[0]) if len(index) else 0
        if len(index) > 1 and torch.equal(index, torch.arange(first, first + len(index))):
            return self._stretch(first, len(index))
        return self._begun(index).take(len(index))

    def _stretch(self, first: int, count: int) -> Tensor:
        """Rows that follow each other, read at once."""
        self._access.settle()
        stride = self._header.stride
        content = torch.empty(count, stride, dtype=torch.uint8)
        fill(content.view(-1).numpy().data, self._access.file.fileno(), HEADER + first * stride)
        return content[:, : self.num_classes * self.dtype.itemsize].contiguous().view(self.dtype)

    def _begun(self, index: Tensor, *, beside: bool = False) -> Rows:
        return self._access.begin(index, torch.empty(len(index), self.num_classes, dtype=self.dtype), beside=beside)

    def settle(self) -> None:
        """Wait for what is being written.

        Raises:
            OutputError: something could not be written.
        """
        self._access.settle()

    def release(self) -> None:
        """Let go of what is in view; nothing is lost, and the system writes it down when it sees fit."""
        self.seen = 0
        with suppress(AttributeError, OSError):
            self._map.madvise(mmap.MADV_DONTNEED)

    def save_rows(self, folder: Path) -> None:
        self.settle()
        if self.process_group is None or dist.get_rank(self.process_group) == 0:  # every rank has the same
            write_copy(self._access.file, Path(folder) / ROWS_FILE, self._header)

    def load_rows(self, folder: Path) -> None:
        self.ahead, folder = None, Path(folder)
        check_copy(folder / ROWS_FILE, self._header)
        self.settle()
        self._access.touch()
        read_copy(folder / ROWS_FILE, self._access.file, self._header)
        self.release()
        _advise(self._access.file, "DONTNEED")

    def get_extra_state(self) -> Tensor:
        """The table, or where `save_rows` writes that, what it must agree in: N, C, dtype and the run's number.

        A table of padded rows (`TableHeader.stride`) is not contiguous: safetensors wants a copy, by `.contiguous()`.
        """
        if not self.rows_apart:
            return self.table
        return torch.tensor([self.num_examples, self.num_classes, STORAGE_DTYPES.index(self.dtype), self.nonce])

    def set_extra_state(self, state: Tensor) -> None:
        self.ahead = None
        if not self.rows_apart:
            if not isinstance(state, Tensor) or state.shape != (self.num_examples, self.num_classes):
                return super().set_extra_state(state)  # which says so
            rows = max(1, CHUNK // self.num_classes)
            for start in range(0, self.num_examples, rows):
                self._look(rows)
                self.table[start : start + rows] = state[start : start + rows]
            return None
        if not isinstance(state, Tensor) or state.shape != (_SAID,):
            raise ArgumentError(
                "the saved targets belong to another kind of store than MappedTargets: make it with the placement that "
                "they were saved from"
            )
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
    def _header(self) -> TableHeader:
        dtype = str(self.dtype).removeprefix("torch.")
        return TableHeader(num_examples=self.num_examples, num_classes=self.num_classes, dtype=dtype, nonce=self.nonce)

    def _look(self, rows: int) -> None:
        """Take note that so many rows come into view, and let go of what was there if that is too much."""
        if torch.compiler.is_compiling():
            return
        self.seen += rows * (_AROUND + self.num_classes * self.dtype.itemsize)
        if self.seen > RESIDENT:
            self.release()


def _advise(file: BinaryIO, kind: str) -> None:
    """Have the system keep the file in small pages.

    It reads and writes long stretches in pages of up to megabytes, and to write one row into such a page takes ten
    times as long. "RANDOM": from now on; "DONTNEED": those that are there.
    """
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None:
        with suppress(OSError):
            if kind == "DONTNEED":  # only what is written down can go
                os.fdatasync(file.fileno())
            advise(file.fileno(), 0, 0, getattr(os, f"POSIX_FADV_{kind}"))


def _removed(access: RowAccess, path: Path, process: int) -> None:
    """Remove the file, if the name is still its own and this is not a child of the process that made it."""
    if os.getpid() == process:
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(access.file.fileno())):
                path.unlink()
    access.close()
