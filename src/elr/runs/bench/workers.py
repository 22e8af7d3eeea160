"""Whoever works on a bench: takes cells, runs them, writes what they gave, until there is nothing left to do."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from elr.runs.bench.cell import FAILED, Cell, CellResult
from elr.runs.bench.claims import EXPIRY, Claims
from elr.runs.bench.folder import CLAIMS_FOLDER, BenchFolder
from elr.runs.bench.work import Places, Shelf, run_cell

_OFTEN = 0.5  # seconds between words of progress, and between looks whether the parent process is there


class LeftAlone(BaseException):
    """The process that this one worked for is gone.

    Example:
        >>> issubclass(LeftAlone, Exception)  # no cell fails by it
        False
    """


class TakenOver(BaseException):
    """Another process has the cell now: this one was silent for too long.

    Example:
        >>> issubclass(TakenOver, Exception)  # no cell fails by it
        False
    """


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a worker says.

    Args:
        key: of the cell.
        share: of it that is done, in [0, 1].
        result: of a cell that has ended.

    Example:
        >>> Event(key="digits--none--elr--0", share=0.5).share
        0.5
    """

    key: str
    share: float
    result: CellResult | None = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done, in plain values, for processes that are started for it.

    Args:
        path: folder of the bench.
        cells: in the order in which they are to be run.
        places: where data are.
        retry: by key of a cell that is to be run again, the stamp of its file (`folder.Found`).
        expiry: see `Claims`.
        poll: seconds to wait where all that is left is being run by others.
        threads: of this process; None: as they are.

    Example:
        >>> import tempfile
        >>> cell = Cell(
        ...     data="digits", noise="none", rate=None, method="ce", uses="cross_entropy", training={"epochs": 1})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Work(path=Path(folder), cells=[cell]).do(lambda event: None)
        ...     BenchFolder(Path(folder)).result(cell).status
        'done'
    """

    path: Path
    cells: Sequence[Cell]
    places: Places = field(default_factory=Places)
    retry: Mapping[str, int] = field(default_factory=dict)
    expiry: float = EXPIRY
    poll: float = 2.0
    threads: int | None = None

    def is_settled(self, cell: Cell) -> bool:
        """Whether there is nothing to do for a cell."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return BenchFolder(self.path).file(cell).stat().st_mtime_ns != self.retry.get(cell.key)
        return False

    def do(self, tell: Callable[[Event], None], shelf: Shelf | None = None) -> None:
        """Run cells until all are settled, by this process or another.

        Args:
            tell: called with how cells go.
            shelf: with data that are read already.

        Raises:
            OutputError: a result cannot be written.
        """
        claims, shelf = Claims(self.path / CLAIMS_FOLDER, expiry=self.expiry), shelf or Shelf(self.places)
        try:
            self._do(claims, tell, shelf)
        finally:  # also of a claim that was just taken when Ctrl-C came
            claims.give_back_all()

    def _do(self, claims: Claims, tell: Callable[[Event], None], shelf: Shelf) -> None:
        left = list(self.cells)
        while left:
            taken = None
            for cell in left:
                if not self.is_settled(cell) and (taken := claims.take(cell.key)) is not None:
                    with suppress(TakenOver):
                        self._run(cell, claims, taken, tell, shelf)
                    break
            left = [cell for cell in left if not self.is_settled(cell)]
            if left and taken is None:
                _check_parent()
                time.sleep(self.poll)

    def clear(self, cells: Sequence[Cell]) -> None:
        """Remove what killed processes left of cells whose results they had written: claims, and folders of runs."""
        claims, folder = Claims(self.path / CLAIMS_FOLDER, expiry=self.expiry), BenchFolder(self.path)
        for cell in filter(self.is_settled, cells):
            claim = claims.current(cell.key)
            if claim is None or claims.is_dead(claim):
                shutil.rmtree(folder.run_folder(cell), ignore_errors=True)
                if claim is not None:
                    claims.give_back(claim)

    def _run(self, cell: Cell, claims: Claims, claim: Any, tell: Callable[[Event], None], shelf: Shelf) -> None:
        folder = BenchFolder(self.path)
        try:
            if self.is_settled(cell):  # by whoever had the claim before
                return
            with claims.alive(claim) as counts:
                watch = _Watch(cell.key, tell, counts)
                result = run_cell(cell, shelf, folder=folder.run_folder(cell), on_progress=watch)
                if not counts():
                    raise TakenOver
                result.write(self.path)
            shutil.rmtree(folder.run_folder(cell), ignore_errors=True)
            tell(Event(key=cell.key, share=1.0, result=result))
        finally:
            claims.give_back(claim)


class _Watch:
    """Called after every batch: tells now and then how far it is, and ends what nobody waits for."""

    def __init__(self, key: str, tell: Callable[[Event], None], counts: Callable[[], bool]) -> None:
        self.key, self.tell, self.counts = key, tell, counts
        self.last = 0.0

    def __call__(self, progress: Any) -> None:
        now = time.monotonic()
        if now - self.last < _OFTEN:
            return
        self.last = now
        _check_parent()
        if not self.counts():
            raise TakenOver
        self.tell(Event(key=self.key, share=progress.step / max(progress.total, 1)))


def _check_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise LeftAlone


def died(work: Work, pid: int, code: int | None) -> CellResult | None:
    """What a worker that was killed leaves of the cell that it ran: a failure, so that it is not run over and over.

    Args:
        work: that it did.
        pid: of its process.
        code: by which it ended.

    Returns:
        the result, written; None where it ran none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(died(Work(path=Path(folder), cells=[]), pid=1, code=-9))
        None
    """
    claims, folder = Claims(work.path / CLAIMS_FOLDER, expiry=work.expiry), BenchFolder(work.path)
    for cell in work.cells:
        claim = None if work.is_settled(cell) else claims.current(cell.key)
        if claim is None or not claims.is_of(claim, pid) or not claims.is_dead(claim):
            continue
        how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        error = f"the process that ran it ended by {how}: was there too little memory? Fewer --jobs need less"
        result = CellResult(cell=cell, status=FAILED, error=error)
        result.write(work.path)
        shutil.rmtree(folder.run_folder(cell), ignore_errors=True)
        claims.give_back(claim)
        return result
    return None
