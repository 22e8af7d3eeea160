"""How far a run has come."""

from __future__ import annotations

from dataclasses import dataclass

from elr.training.checkpoints import Measures


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands, for whoever shows it.

    Args:
        step: batches done so far in the whole run.
        total: batches of the whole run.
        epoch: epochs finished.
        epochs: epochs of the whole run.
        record: measures of the last finished epoch, empty before the first.

    Example:
        >>> now = Progress(step=30, total=120, epoch=2, epochs=8, record={"loss": 0.25})
        >>> f"{now.step / now.total:.0%} done, loss {now.record['loss']}"
        '25% done, loss 0.25'
    """

    step: int
    total: int
    epoch: int
    epochs: int
    record: Measures
