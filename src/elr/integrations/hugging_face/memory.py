"""What ELR remembers of a training set while a Trainer goes through it: targets and labels, saved and checked."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch import distributed as dist

from elr.audit.evidence import Evidence
from elr.audit.issues_view import issues_table
from elr.audit.label_quality import rows_at_once
from elr.data.labels.spelling import Label
from elr.errors import ArgumentError, CheckpointError
from elr.files import write_file
from elr.methods.loss.elr_loss import ELRLoss
from elr.targets.store import whole_probs

FILE = "elr_targets.pt"
"""In a checkpoint of the Trainer: the state of the loss, and the label of each row that was seen."""


class Memory:
    """The loss of a training set, with its targets, and the labels that came with its rows.

    Labels are noted as they come, so that whatever the data set and the collator make of them, those are audited that
    were trained on. A row that comes with another label than before belongs to another data set, or another order:
    its targets would be those of another row, and that is refused.

    Args:
        loss: for as many rows as the training set has.

    Example:
        >>> memory = Memory(ELRLoss(num_examples=3, num_classes=2))
        >>> index, labels = torch.tensor([0, 2]), torch.tensor([1, 0])
        >>> memory.learn(torch.tensor([[0.0, 2.0], [2.0, 0.0]]), labels, index).round(decimals=4)
        tensor(-0.6846)
        >>> memory.labels.tolist()
        [1, -1, 0]
        >>> memory.learn(torch.zeros(1, 2), torch.tensor([1]), torch.tensor([2]))
        Traceback (most recent call last):
        elr.errors.ArgumentError: row 2 of the training set came with label 1, and before with label 0: ...
    """

    def __init__(self, loss: ELRLoss) -> None:
        self.loss = loss.eval()
        self.labels = torch.full((loss.targets.num_examples,), -1, dtype=torch.int64)
        self.contradictions = torch.zeros((), dtype=torch.int64)

    def to(self, device: torch.device) -> None:
        """Move all of it; a table stays where it is, beside the model, from the first step on."""
        self.loss.to(device)
        self.labels, self.contradictions = self.labels.to(device), self.contradictions.to(device)

    def learn(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The loss of a batch in nats, its mean; targets are updated, also those of other ranks' rows.

        Raises:
            ArgumentError: shapes or labels that are no classes, or not those of before.
        """
        self.loss.train()
        try:
            loss = self.loss(logits, labels, index)
        finally:
            self.loss.eval()
        rows = index.to(self.labels.device)
        former, given = self.labels[rows], labels.detach().to(self.labels.device)
        wrong = (former >= 0) & (former != given)
        if wrong.device.type == "cpu" and bool(wrong.any()):
            place = int(wrong.nonzero()[0])
            raise ArgumentError(
                f"row {int(rows[place])} of the training set came with label {int(given[place])}, and before with "
                f"label {int(former[place])}: {_ANOTHER}"
            )
        self.contradictions += wrong.sum()
        self.labels[rows] = given
        return loss

    def settle(self) -> None:
        """Let all ranks know all labels; every rank calls it, at the same moments.

        Raises:
            ArgumentError: rows that came with other labels than before, which an accelerator did not say at once.
        """
        if self.loss.targets.process_group is not None:
            group = self.loss.targets.process_group
            dist.all_reduce(self.labels, op=dist.ReduceOp.MAX, group=group)
            dist.all_reduce(self.contradictions, op=dist.ReduceOp.MAX, group=group)
        if int(self.contradictions):
            raise ArgumentError(f"rows of the training set came with other labels than before: {_ANOTHER}")

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        state = {"loss": self.loss.state_dict(), "labels": self.labels}
        write_file(folder / FILE, lambda partial: torch.save(state, partial))

    def load(self, folder: Path) -> None:
        """Take it back from a checkpoint.

        Raises:
            CheckpointError: there is none, or it is of another training set.
        """
        path = folder / FILE
        if not path.is_file():
            raise CheckpointError(
                f"{folder} has no {FILE}: it is no checkpoint of an ELRTrainer; resume from one that is, or begin anew "
                "with its model and without resume_from_checkpoint"
            )
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            labels, loss = state["labels"], state["loss"]
        except Exception as error:  # a damaged file fails in many ways
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path} cannot be read ({reason}): resume from another checkpoint") from error
        if labels.shape != self.labels.shape:
            raise CheckpointError(
                f"{path} is of a training set of {len(labels)} rows, this one has {len(self.labels)}: resume with the "
                "data set that it was trained on, or begin anew"
            )
        try:
            self.loss.load_state_dict(loss)
        except (ArgumentError, RuntimeError) as error:
            raise CheckpointError(f"{path} does not fit this model: {error}") from error
        self.labels.copy_(labels)

    def audit(self, class_names: Sequence[Label], *, score: str | None = None) -> pd.DataFrame:
        """The table of suspects, of the rows that training has seen.

        Raises:
            ArgumentError: it has seen none.
        """
        seen = np.flatnonzero(self.labels.cpu().numpy() >= 0)
        if not len(seen):
            raise ArgumentError("nothing was trained yet, and so there is nothing to audit: call train() first")
        if missed := len(self.labels) - len(seen):
            warnings.warn(
                f"{missed} of {len(self.labels)} rows were not trained on (a short run, or dataloader_drop_last) and "
                "are left out of the audit",
                UserWarning,
                stacklevel=3,
            )
        rows = torch.from_numpy(seen).split(rows_at_once(len(class_names)))
        device, targets = self.labels.device, self.loss.targets
        evidence = Evidence(
            rows=seen,
            ids=None,
            class_names=tuple(class_names),
            labels=self.labels.cpu().numpy()[seen],
            margins=np.full(len(seen), np.nan, dtype=np.float32),
            chunks=lambda: (whole_probs(targets.read(part.to(device)).float()).cpu().numpy() for part in rows),
        )
        return issues_table(evidence, evidence.audit(score=score))


_ANOTHER = (
    "is it another data set, or in another order? Targets are kept by row number: train on the data set that the "
    "targets began with, or make a new Trainer"
)
