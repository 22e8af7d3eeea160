"""Which given labels the evidence contradicts. Arrays in, a plain dataclass out; usable without our trainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score

from elr.errors import ArgumentError
from elr.noise.transitions import count_transitions, transition_matrix

SCORES = ("margin", "self_confidence", "aum")
_CONFIDENCE = 0.95
_NUMBERS = 2**20  # of probabilities that are looked at at a time


class Confusion(NamedTuple):
    """Rows given one class of which the evidence says another.

    Args:
        given: number of the class in the data.
        clean: number of the class that the evidence favors.
        num_rows: how many rows.
        rate: their share among the rows that the evidence has in `clean`, an entry of the transition matrix.

    Example:
        >>> pair = Confusion(given=0, clean=1, num_rows=12, rate=0.25)
        >>> f"{pair.rate:.0%} of class {pair.clean} were given as class {pair.given}"
        '25% of class 1 were given as class 0'
    """

    given: int
    clean: int
    num_rows: int
    rate: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Audit:
    """What the evidence says of each given label, and of the labels as a whole. Words as in cleanlab.

    Args:
        labels: (N,) int64, the given ones.
        predicted_labels: (N,) int64, the class that the evidence favors; the given one where it is as good as any.
        label_quality: (N,) in [0, 1], low = suspect.
        is_label_issue: (N,) bool, the evidence favors another class than the given one.
        transition_matrix: (C, C) estimate of T[i, j] = P(given j | clean i), rows sum to 1; the identity's row for a
            class that is never predicted.
        noise_rate: estimated share of wrong labels, the share of label issues.
        noise_rate_interval: its 95 % interval (Wilson) over the rows. It says how much another sample of rows would
            change the estimate, not how often the model is wrong.
        error_probs: (N,) in [0, 1], the probability, by the evidence, that the given label is wrong: 1 - p[given].

    Example:
        >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> audit.num_label_issues, audit.predicted_labels.tolist(), audit.expected_precision.round(2).tolist()
        (1, [0, 1, 1], [0.8, 0.6, 0.43])
    """

    labels: NDArray[np.int64]
    predicted_labels: NDArray[np.int64]
    label_quality: NDArray[np.float64]
    is_label_issue: NDArray[np.bool_]
    transition_matrix: NDArray[np.float64]
    noise_rate: float
    noise_rate_interval: tuple[float, float]
    error_probs: NDArray[np.float64]

    @property
    def num_label_issues(self) -> int:
        """How many given labels the evidence contradicts."""
        return int(self.is_label_issue.sum())

    @property
    def ranking(self) -> NDArray[np.int64]:
        """(N,) rows, the most suspect label first; ties in order of the rows."""
        return np.argsort(self.label_quality, kind="stable")

    @property
    def expected_precision(self) -> NDArray[np.float64]:
        """(N,) share of wrong labels expected among the k + 1 most suspect ones, k = 0 ... N - 1.

        The mean of `error_probs` along the ranking. It is as good as the probabilities are calibrated: targets of ELR
        are surer of themselves than they are right, on CIFAR-10 by 9 to 13 points (see
        docs/benchmarks/expected-precision.md).
        """
        sums = self.error_probs[self.ranking]
        np.cumsum(sums, out=sums)
        sums /= np.arange(1, len(sums) + 1)
        return sums

    def confusions(self, limit: int = 10) -> list[Confusion]:
        """The pairs of classes that are most often confused, the most frequent first; at most `limit`.

        Example:
            >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
            >>> audit.confusions()
            [Confusion(given=0, clean=1, num_rows=1, rate=0.5)]
        """
        classes = len(self.transition_matrix)
        issues = self.is_label_issue
        pairs = self.labels[issues] * classes + self.predicted_labels[issues]
        counts = np.bincount(pairs, minlength=classes**2)
        order = np.argsort(-counts, kind="stable")[:limit]
        return [
            Confusion(given, clean, int(counts[pair]), float(self.transition_matrix[clean, given]))
            for pair in order[counts[order] > 0]
            for given, clean in [divmod(int(pair), classes)]
        ]

    @property
    def class_noise_rates(self) -> NDArray[np.float64]:
        """(C,) share of label issues among the rows given each class; 0 for a class that is given to none."""
        classes = len(self.transition_matrix)
        issues = np.bincount(self.labels[self.is_label_issue], minlength=classes)
        return issues / np.maximum(np.bincount(self.labels, minlength=classes), 1)


def audit_labels(
    labels: ArrayLike, pred_probs: ArrayLike, *, score: str = "margin", margins: ArrayLike | None = None
) -> Audit:
    """Rank labels by how much the evidence speaks against them.

    A label is an issue where another class is more probable than the given one. label_quality is

        "margin":           (1 + p[given] - max_{c != given} p[c]) / 2,  below 0.5 exactly for label issues
        "self_confidence":  p[given]
        "aum":              1 / (1 + exp(-m)), m the mean over the epochs of logit[given] - max_{c != given} logit[c]

    The first two rank by where training ended, the last by its whole course: it still tells labels apart whose
    probabilities have all come to 0 or 1. Issues are the same for all three.

    Args:
        labels: (N,) given labels, integers in [0, C).
        pred_probs: (N, C) evidence, rows that sum to 1: ELR's targets after training, or probabilities from a model
            that has not memorized these labels.
        score: which label_quality. Default "margin".
        margins: (N,) mean margins for "aum", such as `Monitor.margins`; rows that have none (NaN) are ranked by
            "margin".

    Raises:
        ArgumentError: shapes that do not belong together, labels out of range, pred_probs that are no probabilities, an
            unknown score, or "aum" without margins.

    Example:
        >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> audit.is_label_issue.tolist(), audit.ranking.tolist()
        ([False, True, False], [1, 2, 0])

    Source: argmax(targets) != label is the advice of ELR's authors (issue 20 of their repository); margins and
    self-confidence as in Northcutt et al., "Confident Learning", JAIR 2021; AUM: Pleiss et al., NeurIPS 2020, without
    their threshold class.
    """
    given, probs = np.array(labels), np.asarray(pred_probs)
    if probs.ndim != 2 or probs.shape[1] < 2 or given.shape != probs.shape[:1] or not len(given):
        raise ArgumentError(
            f"labels have shape {given.shape}, pred_probs {probs.shape}: expected (N,) and (N, C), N >= 1, C >= 2"
        )
    tally = Tally(given, num_classes=probs.shape[1], score=score, margins=margins)
    for start in range(0, len(probs), rows_at_once(probs.shape[1])):
        tally.add(probs[start : start + rows_at_once(probs.shape[1])])
    return tally.audit()


def rows_at_once(num_classes: int) -> int:
    """How many rows of probabilities to look at, to write or to read at a time: 2^20 numbers, 4 MiB in float32.

    Example:
        >>> rows_at_once(10), rows_at_once(1000)
        (104857, 1048)
    """
    return max(1, _NUMBERS // num_classes)


class Tally:
    """An audit in the making: takes the evidence chunk by chunk, and keeps 25 N bytes of it.

    Args:
        labels: (N,) given labels, integers in [0, C).
        num_classes: C.
        score: which label_quality, as in `audit_labels`.
        margins: (N,) for "aum", as there.

    Raises:
        ArgumentError: labels that are no integers, or out of range, an unknown score, or "aum" without margins.

    Example:
        >>> tally = Tally([0, 0, 1], num_classes=2)
        >>> tally.add([[0.9, 0.1], [0.2, 0.8]])
        >>> tally.add([[0.4, 0.6]])
        >>> tally.audit().is_label_issue.tolist()
        [False, True, False]
    """

    def __init__(
        self, labels: ArrayLike, *, num_classes: int, score: str = "margin", margins: ArrayLike | None = None
    ) -> None:
        if score not in SCORES:
            raise ArgumentError(f"score is {score!r}: expected one of {', '.join(SCORES)}")
        self.labels = _checked_labels(labels, num_classes)
        self.num_classes = num_classes
        self.score = score
        self.margins = _checked_margins(margins, len(self.labels)) if score == "aum" else None
        self.num_added = 0
        self.predicted_labels = np.empty(len(self.labels), dtype=np.int64)
        self.label_quality = np.empty(len(self.labels))
        self.error_probs = np.empty(len(self.labels))
        self.is_label_issue = np.empty(len(self.labels), dtype=bool)

    def add(self, pred_probs: ArrayLike) -> None:
        """Take in the next rows of the evidence, (B, C).

        Raises:
            ArgumentError: another number of classes, more rows than labels, or what is no probabilities.
        """
        probs, start = np.asarray(pred_probs, dtype=np.float64), self.num_added
        if probs.ndim != 2 or probs.shape[1] != self.num_classes or start + len(probs) > len(self.labels):
            raise ArgumentError(
                f"pred_probs have shape {probs.shape} from row {start} on: expected {self.num_classes} classes and at "
                f"most {len(self.labels) - start} rows"
            )
        _check_probs(probs, start)
        part = slice(start, start + len(probs))
        given, rows = self.labels[part], np.arange(len(probs))
        confidence = probs[rows, given]
        others = probs.copy()
        others[rows, given] = -1.0
        favorite = others.argmax(axis=1)
        margin = confidence - others[rows, favorite]
        self.is_label_issue[part] = margin < 0
        self.predicted_labels[part] = np.where(margin < 0, favorite, given)
        self.error_probs[part] = 1.0 - confidence
        self.label_quality[part] = confidence if self.score == "self_confidence" else (1.0 + margin) / 2.0
        if self.margins is not None:
            means = np.asarray(self.margins[part], dtype=np.float64)
            self.label_quality[part] = np.where(np.isnan(means), self.label_quality[part], expit(means))
        self.num_added += len(probs)

    def audit(self) -> Audit:
        """What all of it says.

        Raises:
            ArgumentError: rows that are still to be added.
        """
        count = len(self.labels)
        if self.num_added < count:
            raise ArgumentError(f"pred_probs of {self.num_added} rows for {count} labels: add the others")
        counts = count_transitions(self.labels, self.predicted_labels, num_classes=self.num_classes)
        return Audit(
            labels=self.labels,
            predicted_labels=self.predicted_labels,
            label_quality=self.label_quality,
            is_label_issue=self.is_label_issue,
            transition_matrix=transition_matrix(counts),
            noise_rate=float(self.is_label_issue.mean()),
            noise_rate_interval=_share_interval(int(self.is_label_issue.sum()), count),
            error_probs=self.error_probs,
        )


def score_suspects(audit: Audit, clean_labels: ArrayLike) -> dict[str, float]:
    """How well an audit found the labels that are really wrong; for benchmarks, where clean labels are known.

    Args:
        audit: what was found.
        clean_labels: (N,) labels known to be right.

    Returns:
        suspects_precision and suspects_recall of is_label_issue, average_precision of the ranking by label_quality;
        NaN where nothing is suspect or nothing is wrong.

    Example:
        >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> score_suspects(audit, [0, 1, 1])["average_precision"]
        1.0
    """
    clean = np.asarray(clean_labels)
    if clean.shape != audit.labels.shape:
        raise ArgumentError(f"{clean.shape} clean labels for {audit.labels.shape} given ones: expected one each")
    wrong = audit.labels != clean
    hits = int((wrong & audit.is_label_issue).sum())
    missing = float("nan")
    return {
        "suspects_precision": hits / audit.num_label_issues if audit.num_label_issues else missing,
        "suspects_recall": hits / int(wrong.sum()) if wrong.any() else missing,
        "average_precision": float(average_precision_score(wrong, -audit.label_quality)) if wrong.any() else missing,
    }


def _checked_margins(margins: ArrayLike | None, count: int) -> NDArray:
    if margins is None:
        raise ArgumentError('score is "aum" and there are no margins: pass them, or take another score')
    means = np.asarray(margins)
    if means.shape != (count,):
        raise ArgumentError(f"margins have shape {means.shape}: expected {(count,)}, one for each label")
    return means


def _checked_labels(labels: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    given = np.asarray(labels)
    if not np.issubdtype(given.dtype, np.integer):
        raise ArgumentError(
            f"labels are {given.dtype}, such as {given[0]!r}: expected integers in [0, {num_classes}), the columns "
            "of pred_probs"
        )
    if given.min() < 0 or given.max() >= num_classes:
        raise ArgumentError(
            f"labels go from {given.min()} to {given.max()}: expected integers in [0, {num_classes}), the columns "
            "of pred_probs"
        )
    return given.astype(np.int64, copy=False)


def _check_probs(probs: NDArray[np.float64], start: int) -> None:
    """Refuse rows, of which the first is row `start`, that are no probabilities."""
    bad = ~np.isfinite(probs).all(axis=1) | (probs.min(axis=1) < 0) | (np.abs(probs.sum(axis=1) - 1) > 0.02)
    if bad.any():
        row = int(bad.argmax())
        raise ArgumentError(
            f"pred_probs of row {start + row} are {probs[row][:5].round(4).tolist()}, sum {probs[row].sum():.4f}: "
            "expected probabilities that sum to 1; pass softmax outputs, not logits"
        )


def _share_interval(hits: int, count: int) -> tuple[float, float]:
    """Wilson's interval of a share: unlike the bootstrap, it does not shrink to a point where nothing was found."""
    interval = binomtest(hits, count).proportion_ci(_CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
