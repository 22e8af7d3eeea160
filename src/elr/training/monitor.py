"""Memorization measures: what the network says of the training rows, epoch by epoch, and what training does to it.

Clean labels live here and nowhere else on the training side; looked up by row number and only measured against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from elr.errors import ArgumentError
from elr.training.progress import agreement_by_chance, parts, ratio

_NEVER = -1  # no prediction yet
STANDING = 3  # epochs through which a prediction must stay the same to count as an opinion
_KEPT = ("previous", "stood", "objected", "margin_sums", "margin_counts")  # in checkpoints
_SAMPLED = 2_000  # rows of each kind, right and wrong, whose gradients are measured
COURSE_BYTES = 2**26  # of probabilities kept of the epochs
_Gradients = Callable[[Tensor, Tensor], "Tensor | None"]


def fractions(predicted: ArrayLike, labels: ArrayLike, clean_labels: ArrayLike) -> dict[str, float]:
    """How much was learned and how much memorized, on rightly and on wrongly labeled examples.

    On examples whose given label is wrong, three fractions that sum to 1: correct (the clean label is predicted),
    memorized (the given one is), incorrect (another). On the others: fraction_correct_on_clean.

    Args:
        predicted: (N,) predicted classes.
        labels: (N,) labels that were trained on.
        clean_labels: (N,) labels known to be right.

    Returns:
        fraction_correct_on_wrong, fraction_memorized_on_wrong, fraction_incorrect_on_wrong and
        fraction_correct_on_clean, each in [0, 1], NaN where there are no such examples.

    Raises:
        ArgumentError: lengths that differ.

    Example:
        >>> fractions([0, 1, 1, 2], [0, 1, 1, 1], [0, 1, 0, 2])["fraction_memorized_on_wrong"]
        0.5

    Source: Figure 1 of Liu et al., NeurIPS 2020.
    """
    predicted, given, clean = (np.asarray(values) for values in (predicted, labels, clean_labels))
    if not predicted.shape == given.shape == clean.shape:
        raise ArgumentError(
            f"predictions, given and clean labels have shapes {predicted.shape}, {given.shape}, {clean.shape}: "
            "expected one each per example"
        )
    wrong = given != clean
    correct = _share(predicted[wrong] == clean[wrong])
    memorized = _share(predicted[wrong] == given[wrong])
    return {
        "fraction_correct_on_wrong": correct,
        "fraction_memorized_on_wrong": memorized,
        "fraction_incorrect_on_wrong": _share((predicted[wrong] != clean[wrong]) & (predicted[wrong] != given[wrong])),
        "fraction_correct_on_clean": _share(predicted[~wrong] == clean[~wrong]),
    }


def gradient_measures(
    gradients: ArrayLike, probs: ArrayLike, labels: ArrayLike, clean_labels: ArrayLike
) -> dict[str, float]:
    """What training does to the logit of the true class, on average over rightly and over wrongly labeled examples.

    Below zero a step raises the true class, above zero it lowers it. Cross entropy's part is p - y: where the label is
    wrong it lowers the true class by p. ELR's whole is p - y + lam g, and g is below zero where the targets favor the
    true class.

    Args:
        gradients: (N, C) of each example's loss with respect to its logits.
        probs: (N, C) probabilities p at these logits.
        labels: (N,) labels trained on.
        clean_labels: (N,) labels known to be right.

    Returns:
        gradient_on_clean, gradient_on_wrong: means of the whole; gradient_cross_entropy_on_clean and ..._on_wrong: of
        p - y alone; NaN where there are no such examples.

    Raises:
        ArgumentError: lengths that differ.

    Example:
        >>> gradient_measures([[-0.5, 0.5]], [[0.4, 0.6]], [1], [0])["gradient_cross_entropy_on_wrong"]
        0.4

    Source: Figure B.1 of Liu et al., NeurIPS 2020.
    """
    gradients, probs = np.asarray(gradients, dtype=np.float64), np.asarray(probs, dtype=np.float64)
    given, clean = np.asarray(labels), np.asarray(clean_labels)
    if not len(gradients) == len(probs) == len(given) == len(clean):
        raise ArgumentError(
            f"{len(gradients)} gradients, {len(probs)} probabilities, {len(given)} given and {len(clean)} clean "
            "labels: expected one each per example"
        )
    rows, wrong = np.arange(len(given)), given != clean
    whole = gradients[rows, clean]
    entropy = probs[rows, clean] - ~wrong
    return {
        "gradient_on_clean": _share(whole[~wrong]),
        "gradient_on_wrong": _share(whole[wrong]),
        "gradient_cross_entropy_on_clean": _share(entropy[~wrong]),
        "gradient_cross_entropy_on_wrong": _share(entropy[wrong]),
    }


class Monitor:
    """Collects the predictions of a training run, as it runs, and measures each epoch.

    It keeps one class and one margin per row, from the outputs of the training steps themselves (train mode, augmented
    inputs), so it costs an argmax and a maximum a step: 8 N bytes for the classes, those of the epoch before, how long
    they have stood, and the rows that were contradicted when most were; 10 N for margins, and 8 N for the labels, which
    it shares with the caller's array where that is int64; 2 N more beyond 32,768 classes, and 2 N beyond 32,767 epochs.
    With clean labels it also keeps the logits of up to 4,000 rows, 4 C bytes for each, to measure gradients from.

    Args:
        labels: (N,) given labels, int64.
        clean_labels: (N,) labels known to be right, if any are; used for measuring only.
        epochs: of the run, to keep the course of each row through them (`Course`). Default: it is not kept.

    Raises:
        ArgumentError: lengths that differ.

    Example:
        >>> monitor = Monitor([0, 1], clean_labels=[0, 0])
        >>> monitor.update(torch.tensor([0, 1]), torch.tensor([[2.0, 1.0], [1.0, 0.0]]))
        >>> monitor.end_epoch()["fraction_correct_on_wrong"]
        1.0
    """

    def __init__(self, labels: ArrayLike, *, clean_labels: ArrayLike | None = None, epochs: int = 0) -> None:
        self.labels: NDArray[np.int64] = np.asarray(labels, dtype=np.int64)
        self.clean_labels = None if clean_labels is None else np.asarray(clean_labels, dtype=np.int64)
        if self.clean_labels is not None and self.clean_labels.shape != self.labels.shape:
            raise ArgumentError(
                f"{len(self.labels)} given and {len(self.clean_labels)} clean labels: expected one per example"
            )
        count = len(self.labels)
        self.predicted = torch.full((count,), _NEVER, dtype=torch.int32)
        self.labels_there = torch.from_numpy(self.labels)  # on the device of the logits
        self.margins_now = torch.full((count,), -torch.inf)
        self.margin_sums = torch.zeros(count)
        self.margin_counts = torch.zeros(count, dtype=torch.int16)
        self.previous = torch.full((count,), _NEVER, dtype=torch.int16)
        self.stood = torch.zeros(count, dtype=torch.uint8)  # epochs, up to STANDING
        self.objected = torch.zeros(count, dtype=torch.bool)
        self.sample = None if self.clean_labels is None else _Sample(self.labels != self.clean_labels)
        self.course = Course(count, epochs) if epochs else None

    def update(self, index: Tensor, logits: Tensor) -> None:
        """Take in one training step: rows (B,) and their logits (B, C)."""
        logits = logits.detach()
        device = logits.device
        self.predicted, self.labels_there, self.margins_now = (
            each.to(device) for each in (self.predicted, self.labels_there, self.margins_now)
        )
        given, logits_in_full = self.labels_there[index, None], logits.float()
        others = logits_in_full.scatter(1, given, -torch.inf).amax(dim=1)
        margins = logits_in_full.gather(1, given)[:, 0] - others
        said = margins.isfinite()  # a row whose logits are not has said nothing
        self.predicted[index] = torch.where(said, logits.argmax(dim=1).int(), self.predicted[index])
        self.margins_now[index] = torch.where(said, margins, self.margins_now[index])
        if self.sample:
            self.sample.keep(index, logits)
        if self.course:
            self.course.keep(index, logits_in_full)

    def shared(self, device: torch.device) -> list[Tensor]:
        """What the ranks of a run must bring together before `end_epoch`: in place, the maximum of each entry."""
        self.predicted, self.margins_now = self.predicted.to(device), self.margins_now.to(device)
        others = [self.sample.logits if self.sample else None, self.course.now if self.course else None]
        return [self.predicted, self.margins_now, *(each for each in others if each is not None)]

    def begin_pass(self) -> None:
        """Forget what an earlier pass over the data said in this epoch, so that every rank has the last pass only."""
        self.predicted.fill_(_NEVER)
        self.margins_now.fill_(-torch.inf)
        if self.sample:
            self.sample.forget()
        if self.course and self.course.now is not None:
            self.course.now.fill_(-1.0)

    @property
    def margins(self) -> NDArray[np.float64]:
        """(N,) mean over the epochs of logit[given] - max of the others: the area under the margin; NaN if never seen.

        Source: AUM, Pleiss et al., NeurIPS 2020.
        """
        counts = self.margin_counts.numpy()
        means = np.full(len(counts), np.nan)
        return np.divide(self.margin_sums.numpy(), counts, out=means, where=counts > 0, dtype=np.float64)

    def end_epoch(
        self, favored: Iterable[tuple[Tensor, Tensor]] = (), gradients: _Gradients | None = None
    ) -> dict[str, float]:
        """Measure the epoch that ends here and begin the next.

        Args:
            favored: rows (B,) and the classes (B,) that their targets favor, all rows once, some at a time; nothing
                where the method has no targets.
            gradients: `gradients(index, logits)` -> (B, C) gradients of the losses of rows (B,) at logits (B, C), or
                None where the method cannot say; called with clean labels only.

        Returns:
            agreement_with_given_labels: share of the rows seen whose prediction is the given label.
            agreement_by_chance: what it would be if predictions and labels were shuffled. change: share whose
            prediction is not that of the epoch before (NaN in the first). standing_disagreement: share that was
            predicted as the same class in this epoch and the two before, and not as the given one (NaN in the first
            two). objections_dropped: of the rows with a standing disagreement in the epoch that had most of them
            (so far), the share whose given label is predicted now (NaN if there were none). With targets also
            agreement_with_targets. With clean labels also `fractions`; with targets and them target_accuracy and
            target_accuracy_on_wrong; with gradients `gradient_measures` over a sample of the rows.
        """
        self.predicted = self.predicted.cpu()
        now, objects, counts = self.predicted.numpy(), np.zeros(len(self.labels), dtype=bool), Counter[str]()
        for part in parts(len(now)):
            given, before, stood = self.labels[part], self.previous.numpy()[part], self.stood.numpy()[part]
            seen, agrees, same = now[part] != _NEVER, now[part] == given, now[part] == before
            stood[:] = np.where(same, np.minimum(stood, STANDING - 1) + 1, 1)
            objects[part] = seen & (stood >= STANDING) & ~agrees
            both = seen & (before != _NEVER)
            found = {"seen": seen, "other": seen & ~agrees, "both": both, "changed": both & ~same}
            found |= {"stood": stood >= STANDING, "objects": objects[part]}
            counts.update({name: int(np.count_nonzero(rows)) for name, rows in found.items()})
        if counts["objects"] >= np.count_nonzero(self.objected.numpy()):
            self.objected = torch.from_numpy(objects)
        for part in parts(len(now)):
            objected = self.objected.numpy()[part] & (now[part] != _NEVER)
            dropped = objected & (now[part] == self.labels[part])
            counts.update(objected=int(np.count_nonzero(objected)), dropped=int(np.count_nonzero(dropped)))
        measures = {
            "agreement_with_given_labels": 1.0 - ratio(counts["other"], counts["seen"]),
            "agreement_by_chance": agreement_by_chance(now, self.labels),
            "change": ratio(counts["changed"], counts["both"]),
            "standing_disagreement": ratio(counts["objects"], counts["seen"]) if counts["stood"] else float("nan"),
            "objections_dropped": ratio(counts["dropped"], counts["objected"]),
        }
        measures |= self._against_targets(now, favored)
        if self.clean_labels is not None:
            measures |= self._against_clean(now, gradients)
        self.previous, self.margin_counts = _with_room(self.previous, self.predicted), _with_room(self.margin_counts)
        self.previous.copy_(self.predicted)
        margins = self.margins_now.cpu()
        for part in parts(len(now)):
            seen = self.predicted[part] != _NEVER
            self.margin_sums[part] += torch.where(seen, margins[part], 0.0)
            self.margin_counts[part] += seen
        if self.course:
            self.course.end_epoch()
        self.begin_pass()
        return measures

    def _against_targets(self, now: NDArray[np.int32], favored: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
        counts = Counter[str]()
        for rows, classes in favored:
            some, found = rows.numpy(), classes.numpy()
            seen = now[some] != _NEVER
            hits = {"rows": np.ones(len(some), dtype=bool), "seen": seen, "as targets": seen & (now[some] == found)}
            if self.clean_labels is not None:
                right, wrong = found == self.clean_labels[some], self.labels[some] != self.clean_labels[some]
                hits |= {"right": right, "wrong": wrong, "mended": right & wrong}
            counts.update({name: int(np.count_nonzero(each)) for name, each in hits.items()})
        measures = {"agreement_with_targets": ratio(counts["as targets"], counts["seen"])}
        if self.clean_labels is not None:
            measures["target_accuracy"] = ratio(counts["right"], counts["rows"])
            measures["target_accuracy_on_wrong"] = ratio(counts["mended"], counts["wrong"])
        return measures if counts["rows"] else {}

    def _against_clean(self, now: NDArray[np.int32], gradients: _Gradients | None) -> dict[str, float]:
        assert self.clean_labels is not None, "this is called with clean labels only"
        assert self.sample is not None, "with clean labels there is a sample"
        seen = now != _NEVER
        measures = fractions(now[seen], self.labels[seen], self.clean_labels[seen])
        index, logits = self.sample.seen()
        found = gradients(index, logits) if gradients and len(index) else None
        if found is not None:
            rows = index.cpu().numpy()
            probs = torch.softmax(logits, dim=1).cpu().numpy()
            measures |= gradient_measures(found.cpu().numpy(), probs, self.labels[rows], self.clean_labels[rows])
        return measures

    def state_dict(self) -> dict[str, Any]:
        """The predictions of the last whole epoch and the margins so far, for a checkpoint between epochs."""
        kept = {name: getattr(self, name) for name in _KEPT}
        return kept | ({"course": self.course.state_dict()} if self.course else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        for name in _KEPT:
            setattr(self, name, state[name].clone())
        if self.course:
            self.course.load_state_dict(state["course"])
        self.begin_pass()


class Course:
    """How probable each class was for each row, epoch by epoch: float16, at most `COURSE_BYTES`.

    Where all epochs would be more, only so many are kept, evenly spaced, the last one among them; where one epoch alone
    is more, none is.

    Example:
        >>> course = Course(2, epochs=1)
        >>> course.keep(torch.tensor([1]), torch.zeros(1, 2))
        >>> course.end_epoch()
        >>> course.epochs, course.of_classes(np.array([0, 0])).tolist()
        ([1], [[nan], [0.5]])
    """

    def __init__(self, count: int, epochs: int) -> None:
        self.count, self.total = count, epochs
        self.epoch = 0  # finished
        self.epochs: list[int] = []
        self.kept: list[Tensor] = []
        self.now: Tensor | None = None

    def keep(self, index: Tensor, logits: Tensor) -> None:
        room = COURSE_BYTES // (2 * self.count * logits.shape[1])
        if not room or (self.total - self.epoch - 1) % -(-self.total // room):
            return
        if self.now is None:
            self.now = logits.new_full((self.count, logits.shape[1]), -1.0)
        self.now[index] = logits.softmax(dim=1)

    def end_epoch(self) -> None:
        self.epoch += 1
        if self.now is not None:
            self.kept.append(self.now.half().cpu())
            self.epochs.append(self.epoch)
            self.now = None

    def of_classes(self, classes: NDArray[np.int64]) -> NDArray[np.float16]:
        """(N, E) how probable one class of each row was in the epochs kept; NaN where nothing was said of the row."""
        places = torch.from_numpy(classes)[:, None]
        columns = [kept.gather(1, places)[:, 0].numpy() for kept in self.kept]
        found = np.stack(columns, axis=1) if columns else np.empty((self.count, 0), dtype=np.float16)
        return np.where(found < 0, np.float16(np.nan), found)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "epochs": self.epochs, "kept": self.kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.epochs, self.kept = state["epoch"], [*state["epochs"]], [*state["kept"]]
        if any(not isinstance(each, Tensor) or each.ndim != 2 or len(each) != self.count for each in self.kept):
            raise ValueError(f"the course of the labels is not that of {self.count} rows")
        self.now = None


class _Sample:
    """The latest logits of some rows: of so many rightly and so many wrongly labeled ones, picked at random."""

    def __init__(self, wrong: NDArray[np.bool_]) -> None:
        generator = np.random.default_rng(0)
        picked = [
            rows if len(rows) <= _SAMPLED else generator.choice(rows, _SAMPLED, replace=False)
            for rows in (np.flatnonzero(~wrong), np.flatnonzero(wrong))
        ]
        self.rows = torch.from_numpy(np.sort(np.concatenate(picked)))
        self.place = torch.full((len(wrong),), len(self.rows))  # of a row among the logits; the last is for all others
        self.place[self.rows] = torch.arange(len(self.rows))
        self.logits: Tensor | None = None

    def keep(self, index: Tensor, logits: Tensor) -> None:
        if self.logits is None or self.logits.device != logits.device:
            self.place = self.place.to(logits.device)
            self.logits = logits.new_full((len(self.rows) + 1, logits.shape[1]), -torch.inf, dtype=torch.float32)
        self.logits[self.place[index]] = logits.float()

    def forget(self) -> None:
        if self.logits is not None:
            self.logits.fill_(-torch.inf)

    def seen(self) -> tuple[Tensor, Tensor]:
        """Rows (B,) that had a step, and their logits (B, C)."""
        if self.logits is None:
            return self.rows[:0], torch.empty(0, 2)
        logits = self.logits[:-1]
        had = torch.softmax(logits, dim=1).isfinite().all(dim=1)
        return self.rows.to(logits.device)[had], logits[had]


def _with_room(numbers: Tensor, others: Tensor | None = None) -> Tensor:
    """Integers in 32 bits where 16 have no room for what is to come: these others, or one more."""
    found = numbers if others is None else others
    most = int(found.max()) + (others is None) if len(found) else 0
    return numbers.int() if most > torch.iinfo(numbers.dtype).max else numbers


def _share(hits: NDArray) -> float:
    return float(hits.mean()) if hits.size else float("nan")
