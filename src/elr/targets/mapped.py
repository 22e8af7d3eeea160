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
from elr.targets.store import CHUNK, Targets
from elr.targets.table_file import HEADER, TableHeader, check_copy, open_table, read_copy, write_copy
from elr.targets.updating import STORAGE_DTYPES

ROWS_FILE = "rows.targets"
"""The copy of the table in a checkpoint."""
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

    @cached_property
    def table(self) -> Tensor:  # type: ignore[override]  # pyright: ignore[reportIncompatibleVariableOverride]
        """(N, C) the rows in the file, which is made here: not before the folder of the run is."""
        return self._made()  # pyright: ignore

    @torch.compiler.disable
    def _made(self) -> Tensor:
        self.path, header = self._opened[1], self._header
        with suppress(AttributeError, OSError):  # rows come in no order: reading ahead would be for nothing
            self._map.madvise(mmap.MADV_RANDOM)
        count = header.num_examples * header.num_classes
        flat = torch.frombuffer(self._map, dtype=self.dtype, count=count, offset=HEADER)
        return flat.view(header.num_examples, header.num_classes)

    @cached_property
    def _opened(self) -> tuple[BinaryIO, Path]:
        file, path = open_table(self.path, self.folder or Path(tempfile.gettempdir()), self._header)
        weakref.finalize(self, _removed, path, file, os.getpid())
        return file, path

    @cached_property
    def _map(self) -> mmap.mmap:
        return mmap.mmap(self._opened[0].fileno(), self._header.size)

    def read(self, index: Tensor) -> Tensor:
        self._ahead(index)
        return super().read(index).to(index.device)

    def update(self, index: Tensor, probs: Tensor, *, beta: float) -> Tensor:
        given = super().update(index, probs, beta=beta)
        return given.to(probs.device)

    def mean(self) -> Tensor:
        sums = []
        for rows in torch.arange(self.num_examples).split(max(1, CHUNK // self.num_classes)):
            self._ahead(rows)
            self._look(len(rows))
            sums.append(self.table[int(rows[0]) : int(rows[-1]) + 1].sum(dim=0, dtype=torch.float64))
        return torch.stack(sums).sum(dim=0) / self.num_examples

    def check(self, index: Tensor, probs: Tensor | None = None, *, beta: float = 0.0) -> None:
        super().check(index, probs, beta=beta)
        self._look(len(index))

    def table_of(self, index: Tensor, *, beta: float) -> Tensor | None:
        self._look(len(index))
        return super().table_of(index, beta=beta)

    def release(self) -> None:
        """Let go of what is in view; nothing is lost, and the system writes it down when it sees fit."""
        self.seen = 0
        with suppress(AttributeError, OSError):
            self._map.madvise(mmap.MADV_DONTNEED)

    def save_rows(self, folder: Path) -> None:
        if self.process_group is None or dist.get_rank(self.process_group) == 0:  # every rank has the same
            write_copy(self._opened[0], folder / ROWS_FILE, self._header)

    def load_rows(self, folder: Path) -> None:
        check_copy(folder / ROWS_FILE, self._header)
        read_copy(folder / ROWS_FILE, self._opened[0], self._header)
        self.release()

    def get_extra_state(self) -> Tensor:
        """The table, or where `save_rows` writes that, what it must agree in: N, C, dtype and the run's number."""
        if not self.rows_apart:
            return self.table
        return torch.tensor([self.num_examples, self.num_classes, STORAGE_DTYPES.index(self.dtype), self.nonce])

    def set_extra_state(self, state: Tensor) -> None:
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

    def _ahead(self, index: Tensor) -> None:
        """Have rows that follow one another read at once: page by page it takes many times as long from a disk."""
        if not isinstance(index, Tensor) or index.dtype != torch.int64 or index.ndim != 1:
            return  # to be refused
        if index.device.type != "cpu" or len(index) < 2 or torch.compiler.is_compiling():
            return
        first, last = int(index[0]), int(index[-1])
        if last - first + 1 == len(index) and first >= 0 and last < self.num_examples:
            width = self.num_classes * self.dtype.itemsize
            start = (HEADER + first * width) // mmap.PAGESIZE * mmap.PAGESIZE
            with suppress(AttributeError, OSError):
                self._map.madvise(mmap.MADV_WILLNEED, start, HEADER + (last + 1) * width - start)


def _removed(path: Path, file: BinaryIO, process: int) -> None:
    """Remove the file, if the name is still its own and this is not a child of the process that made it."""
    if os.getpid() == process:
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                path.unlink()
    with suppress(OSError):
        file.close()
