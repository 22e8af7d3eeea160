"""How far long work is: a bar with the time left on a terminal, a line now and then elsewhere; both on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from elr.cli.console import say, speaks

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from elr.training.progress import Progress

_TRIAL = "trial "  # how names of trials begin (elr.runs.tuning)
_MINUTE = 60.0


def timed_bar(*, speed_estimate_period: float = 30.0) -> Bar:
    """A bar on stderr with the time it took and the time left, the latter by the speed of the last so many seconds.

    Example:
        >>> len(timed_bar().columns)
        5
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    left = (TextColumn("left"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), *left)
    return Bar(*columns, console=Console(stderr=True), speed_estimate_period=speed_estimate_period)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, Progress], None]]:
    """A bar with the time left on a terminal, a line now and then elsewhere; both on stderr.

    Example:
        >>> from contextlib import redirect_stderr
        >>> from types import SimpleNamespace
        >>> halfway = SimpleNamespace(
        ...     epoch=5, epochs=10, step=5, total=10, record={"agreement_with_given_labels": 0.612}
        ... )
        >>> with redirect_stderr(sys.stdout), progress_bar() as show:
        ...     show("elr", halfway)
        elr: epoch 5/10, agrees with 61.2% of the given labels
    """
    if not draws():
        yield _progress_lines()
        return
    with timed_bar() as bar:
        tasks: dict[str, Any] = {}

        def show(method: str, progress: Progress) -> None:
            key = _TRIAL if method.startswith(_TRIAL) else method  # all trials share a bar
            if key not in tasks:
                tasks[key] = bar.add_task(method, total=progress.total)
            shown = f"{method} {progress.epoch}/{progress.epochs}" if key == method else method
            bar.update(tasks[key], total=progress.total, completed=progress.step, description=shown)

        yield show


def draws() -> bool:
    """Whether what people see can be drawn over, as a bar is: a terminal that can, and this process speaks.

    Example:
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(sys.stdout):  # which pytest keeps
        ...     draws()
        False
    """
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown") and speaks()


class Pace:
    """How long the rest of some work takes, if it goes on as it went since this was made.

    Args:
        done: how much was done before.

    Example:
        >>> pace = Pace(done=20)
        >>> pace.started -= 30  # half a minute ago
        >>> pace.left(40, 100), pace.left(40, 1000)
        (', about 90 s left', ', about 24 min left')
    """

    def __init__(self, done: float = 0.0) -> None:
        self.first, self.started = done, time.monotonic()

    def left(self, done: float, total: float) -> str:
        """In words, to stand behind others; "" where it is nearly done, or nothing is known."""
        ran = done - self.first
        seconds = (time.monotonic() - self.started) * (total - done) / ran if ran > 0 else 0.0
        if seconds < 1:
            return ""
        if seconds < 100:
            return f", about {seconds:.0f} s left"
        return f", about {seconds / 60:.0f} min left" if seconds < 6000 else f", about {seconds / 3600:.1f} h left"


def _progress_lines() -> Callable[[str, Progress], None]:
    """A line each tenth of the epochs, and each minute of long ones."""
    said: dict[str, int] = {}
    paces: dict[str, Pace] = {}
    latest = time.monotonic()

    def show(method: str, progress: Progress) -> None:
        if method.startswith(_TRIAL):
            if method not in said:
                said[method] = 0
                say(method)
            return
        nonlocal latest
        pace = paces.setdefault(method, Pace(progress.step))
        tenth, now = 10 * progress.epoch // progress.epochs, time.monotonic()
        if (progress.epoch and said.get(method) != tenth) or now - latest > _MINUTE:
            said[method], latest = tenth, now
            say(f"{_state(method, progress)}{pace.left(progress.step, progress.total)}")

    return show


def _state(method: str, progress: Progress) -> str:
    agreement = progress.record.get("agreement_with_given_labels")
    measured = "" if agreement is None else f", agrees with {agreement:.1%} of the given labels"
    return f"{method}: epoch {progress.epoch}/{progress.epochs}{measured}"
