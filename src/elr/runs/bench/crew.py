"""Several worker processes on one bench, on one machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from elr.errors import ELRError, OutputError
from elr.runs.bench.work import Shelf
from elr.runs.bench.workers import Event, LeftAlone, Work, died

_PATIENCE = 5.0  # seconds in which interrupted workers may give back their claims
_POLL = 0.3
_MASKS = hasattr(signal, "pthread_sigmask")  # not everywhere


def run_crew(work: Work, *, jobs: int, tell: Callable[[Event], None], shelf: Shelf | None = None) -> None:
    """Run a bench by so many processes, each of which runs many cells.

    Args:
        work: what is to be done; its threads are those of each process.
        jobs: processes, >= 1; 1 is this process itself.
        tell: called with how cells go.
        shelf: with data that this process has read; others read them for themselves.

    Raises:
        OutputError: a result cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run_crew(Work(path=Path(folder), cells=[]), jobs=1, tell=print)
    """
    if jobs == 1:
        with _threads(work.threads):
            work.do(tell, shelf)
        return
    context = multiprocessing.get_context("spawn")
    said = context.Queue()
    crew: list[Any] = []

    def start() -> None:
        process = context.Process(target=_serve, args=(work, said), daemon=True)
        with _environment(work.threads), _interrupts_later():
            process.start()
        crew.append(process)

    for _ in range(jobs):
        start()
    try:
        while crew:
            _listen(said, tell)
            for process in [each for each in crew if not each.is_alive()]:
                crew.remove(process)
                if process.exitcode and (result := died(work, process.pid, process.exitcode)) is not None:
                    tell(Event(key=result.cell.key, share=1.0, result=result))
                    start()
                elif process.exitcode:
                    _listen(said, tell)
                    raise OutputError(f"a worker ended by status {process.exitcode} before it took a cell")
        _listen(said, tell)
    finally:
        _end(crew)


def _serve(work: Work, said: Any) -> None:
    """A worker process."""
    try:
        if _MASKS:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        with _threads(work.threads):
            work.do(said.put)
    except (KeyboardInterrupt, LeftAlone):
        pass
    except ELRError as error:
        said.put(str(error))
        said.close()
        said.join_thread()
        os._exit(2)


def _listen(said: Any, tell: Callable[[Event], None]) -> None:
    """Hand on what workers have said; what ends all of them is raised."""
    with suppress(queue.Empty):
        word = said.get(timeout=_POLL)
        while True:
            if isinstance(word, str):
                raise OutputError(word)
            tell(word)
            word = said.get_nowait()


def _end(crew: list[Any]) -> None:
    """Interrupt whoever is left, and wait until claims are given back."""
    for process in crew:
        if process.is_alive() and process.pid is not None:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGINT)
    for process in crew:
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many threads in this process."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    if count is None:
        yield
        return
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """A process that is started meanwhile hears of Ctrl-C once it is ready to answer."""
    if not _MASKS:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    """So many threads from the start on, in a process that is started meanwhile."""
    before = os.environ.get("OMP_NUM_THREADS")
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before
        else:
            os.environ.pop("OMP_NUM_THREADS", None)
