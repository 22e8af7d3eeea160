"""Which given labels the evidence contradicts. Arrays in, a plain dataclass out; usable without our trainer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import binomtest

from elr.audit.calibration import Calibration, Favorites, calibrate, favorites_of
from elr.audit.chance import agreement_of
from elr.audit.inputs import check_probs, check_score, checked_labels, checked_margins
from elr.audit.tables.confusions import Confusion, confusions_among
from elr.audit.tables.lines import brief, lines
from elr.checking import checked, checked_array
from elr.errors import ArgumentError
from elr.noise.transitions import count_transitions, transition_matrix

if TYPE_CHECKING:
    import pandas as pd

    from elr.audit.tables.datalab import DatalabView

_CONFIDENCE = 0.95
_NUMBERS = 2**20  # of probabilities that are looked at at a time


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Audit:
    """What the evidence says of each given label, and of the labels as a whole. Words as in cleanlab.

    Args:
        labels: (N,) int64, the given ones.
        predicted_labels: (N,) int64, the class that the evidence favors; the given one where it is as good as any.
        label_quality: (N,) in [0, 1], low = suspect.
        is_label_issue: (N,) bool, the evidence favors another class; nowhere where nothing was learned.
        transition_matrix: (C, C) estimate of T[i, j] = P(given j | clean i), rows sum to 1; the identity's row for a
            class that is never predicted.
        noise_rate: estimated share of wrong labels: the mean of `error_probs` of out-of-fold evidence, else the share
            of label issues; NaN where nothing was learned, or labels were memorized.
        noise_rate_interval: its 95 % interval over the rows and, of out-of-fold evidence, over what cannot be told
            apart; else Wilson's: of another sample of rows, not of how often the model is wrong.
        error_probs: (N,) in [0, 1], the probability that the given label is wrong: calibrated against the given labels
            (`elr.audit.calibration`) where the evidence is out of fold; else what the evidence says of itself,
            1 - p[given]. NaN where nothing was learned, or labels were memorized.
        favored_counts: (C, C) int64, [i, j] is how many rows given class j the evidence has in class i; rows of
            which it says nothing are left out.
        out_of_fold: no row was judged by what had seen its label.
        nothing_learned: the evidence, out of fold, agrees with the given labels no better than the most frequent class
            does, by a standard error, nor better than in random order, by three: so it has nothing to say of them.
        memorized: the evidence is of a network that took these labels over (`elr.audit.learning.of_memory`): there is a
            ranking, and how many are wrong is not known.
        class_names: the C classes, where they have names.
        index: that of the data frame or series whose rows were judged, where one is known and not merely counted.

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
    favored_counts: NDArray[np.int64]
    out_of_fold: bool = False
    nothing_learned: bool = False
    memorized: bool = False
    class_names: tuple[Any, ...] | None = None
    index: pd.Index | None = None

    def __repr__(self) -> str:
        return brief(self)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.transition_matrix)

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

        The mean of `error_probs` along the ranking. Of out-of-fold evidence these are calibrated; ELR's targets are
        surer than right, on CIFAR-10 by 9 to 13 points (docs/benchmarks/expected-precision.md).
        """
        sums = self.error_probs[self.ranking]
        np.cumsum(sums, out=sums)
        sums /= np.arange(1, len(sums) + 1)
        return sums

    def to_frame(self) -> pd.DataFrame:
        """One line per row, the most suspect label first, as in issues.csv; classes by name where they have names.

        row, given_label, predicted_label, label_quality, is_label_issue, and expected_precision: the share of wrong
        labels expected among this line and those above it. row is a position, for `iloc`; where the data have an index
        (`index`), a line has that of its row, for `loc`; else the lines are counted.

        Example:
            >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
            >>> print(audit.to_frame().iloc[:2, :4].round(2).to_string(index=False))
             row  given_label  predicted_label  label_quality
               1            0                1            0.2
               2            1                1            0.6
        """
        import pandas as pd

        order = self.ranking
        table = {"row": order} | lines(self, order, self.expected_precision, class_names=self.class_names)
        return pd.DataFrame(table, index=None if self.index is None else self.index.take(order)).infer_objects()

    def to_datalab(self) -> DatalabView:
        """The same in the form of cleanlab's Datalab, for code that reads `lab.get_issues("label")`."""
        from elr.audit.tables.datalab import DatalabView

        return DatalabView(self)

    def confusions(self, limit: int = 10) -> list[Confusion]:
        """The pairs of classes that are most often confused, the most frequent first; at most `limit`.

        Example:
            >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
            >>> audit.confusions()
            [Confusion(given=0, clean=1, num_rows=1, rate=0.5)]
        """
        given, favored = self.labels[self.is_label_issue], self.predicted_labels[self.is_label_issue]
        return confusions_among(given, favored, self.transition_matrix, limit)

    @property
    def class_noise_rates(self) -> NDArray[np.float64]:
        """(C,) share of wrong labels among the rows given each class, as in `noise_rate`; 0 where none is given it."""
        wrong = self.error_probs if self.out_of_fold or self.memorized else self.is_label_issue
        counts = np.bincount(self.labels, minlength=self.num_classes)
        return np.bincount(self.labels, weights=wrong, minlength=self.num_classes) / np.maximum(counts, 1)


@checked
def audit_labels(
    labels: ArrayLike,
    pred_probs: ArrayLike,
    *,
    score: str | None = None,
    margins: ArrayLike | None = None,
    out_of_fold: bool = False,
) -> Audit:
    """Rank labels by how much the evidence speaks against them.

    A label is an issue where another class is more probable than the given one. label_quality is

        "calibrated":       (r + 1) / 2, for label issues r / 2, r the probability that the given label is right
                            by `elr.audit.calibration.calibrate`; of out-of-fold evidence only
        "margin":           (1 + p[given] - max_{c != given} p[c]) / 2,  below 0.5 exactly for label issues
        "self_confidence":  p[given]
        "aum":              1 / (1 + exp(-m)), m the mean over the epochs of logit[given] - max_{c != given} logit[c]

    "aum" ranks by the whole course of training, the others by where it ended: it still tells labels apart whose
    probabilities have all come to 0 or 1. Issues are the same for all: "calibrated" and "margin" are below 0.5 for
    them. A row whose classes are all as probable is none, and no calibration looks at it. Where out-of-fold evidence
    agrees with the labels no better than the most frequent class does, nor than by chance, nothing was learned, and
    there is no issue.

    Args:
        labels: (N,) given labels, integers in [0, C).
        pred_probs: (N, C) evidence, rows that sum to 1: ELR's targets after training, or probabilities from a model
            that has not memorized these labels.
        score: which label_quality. Default: "calibrated" of out-of-fold evidence, which ranks best
            (docs/decisions/audit.md), else "margin".
        margins: (N,) mean margins for "aum", such as `Monitor.margins`; rows that have none (NaN) are ranked by
            "margin".
        out_of_fold: each row of pred_probs is from what has not seen the label of that row, as in cross-validation.

    Raises:
        ArgumentError: shapes that do not belong together, labels out of range, pred_probs that are no probabilities, an
            unknown score, "calibrated" where nothing is out of fold, or "aum" without margins.

    Example:
        >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> audit.is_label_issue.tolist(), audit.ranking.tolist()
        ([False, True, False], [1, 2, 0])

    Source: argmax(targets) != label is the advice of ELR's authors (issue 20 of their repository); margins and
    self-confidence as in Northcutt et al., "Confident Learning", JAIR 2021; AUM: Pleiss et al., NeurIPS 2020, without
    their threshold class.
    """
    try:
        given = np.array(labels)
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentError(f"labels are {repr(labels)[:200]}: expected integers, one for each row") from None
    probs = checked_array(pred_probs, "pred_probs", "biuf")
    if probs.ndim != 2 or probs.shape[1] < 2 or given.shape != probs.shape[:1] or not len(given):
        raise ArgumentError(
            f"labels have shape {given.shape}, pred_probs {probs.shape}: expected (N,) and (N, C), N >= 1, C >= 2"
        )
    tally = Tally(given, num_classes=probs.shape[1], score=score, margins=margins, out_of_fold=out_of_fold)
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
    """An audit in the making: takes the evidence chunk by chunk, and keeps 26 N bytes of it,
    of out-of-fold evidence 34 N.

    Args:
        labels: (N,) given labels, integers in [0, C).
        num_classes: C.
        score: which label_quality, as in `audit_labels`.
        margins: (N,) for "aum", as there.
        out_of_fold: as there.

    Raises:
        ArgumentError: labels that are no integers, or out of range, a score that is unknown or cannot be had.

    Example:
        >>> tally = Tally([0, 0, 1], num_classes=2)
        >>> tally.add([[0.9, 0.1], [0.2, 0.8]])
        >>> tally.add([[0.4, 0.6]])
        >>> tally.audit().is_label_issue.tolist()
        [False, True, False]
    """

    def __init__(
        self,
        labels: ArrayLike,
        *,
        num_classes: int,
        score: str | None = None,
        margins: ArrayLike | None = None,
        out_of_fold: bool = False,
    ) -> None:
        score = score or ("calibrated" if out_of_fold else "margin")
        check_score(score, out_of_fold=out_of_fold)
        self.labels = checked_labels(labels, num_classes)
        self.num_classes = num_classes
        self.score = score
        self.margins = checked_margins(margins, len(self.labels)) if score == "aum" else None
        self.num_added = 0
        self.predicted_labels = np.empty(len(self.labels), dtype=np.int64)
        self.label_quality = np.empty(len(self.labels))
        self.error_probs = np.empty(len(self.labels))
        self.is_label_issue = np.empty(len(self.labels), dtype=bool)
        self.favorites: Favorites | None = None
        self.says = np.ones(len(self.labels), dtype=bool)  # of a row whose classes are all as probable nothing is said
        if out_of_fold:
            leads, claims = np.empty((2, len(self.labels)), dtype=np.float32)
            self.favorites = Favorites(self.predicted_labels, leads, claims, np.zeros(num_classes))

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
        check_probs(probs, start)
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
        if self.favorites is not None:
            says = self.says[part] = np.ptp(probs, axis=1) > 0
            found = favorites_of(self.predicted_labels[part][says], given[says], probs[says])
            self.favorites.leads[part][says], self.favorites.claims[part][says] = found.leads, found.claims
            self.favorites.seconds[:] += found.seconds
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
        found = Audit(
            labels=self.labels,
            predicted_labels=self.predicted_labels,
            label_quality=self.label_quality,
            is_label_issue=self.is_label_issue,
            transition_matrix=transition_matrix(counts),
            noise_rate=float(self.is_label_issue.mean()),
            noise_rate_interval=_share_interval(int(self.is_label_issue.sum()), count),
            error_probs=self.error_probs,
            favored_counts=counts,
        )
        if self.favorites is None:
            return found
        says, heard = self.says, self.favorites
        if not says.all():
            heard = heard._replace(classes=heard.classes[says], leads=heard.leads[says], claims=heard.claims[says])
            counts = count_transitions(self.labels[says], heard.classes, num_classes=self.num_classes)
        if not says.any():
            return _without_issues(found)
        found = replace(found, favored_counts=counts)  # rows of which nothing is known agree with nothing
        calibration = calibrate(self.labels[says], heard)
        if not says.all():
            error_probs = np.full(count, calibration.noise_rate)  # of the others nothing is known but what is common
            error_probs[says] = calibration.error_probs
            calibration = replace(calibration, error_probs=error_probs)
        if self.score == "calibrated":
            right = 1.0 - calibration.error_probs
            found = replace(found, label_quality=np.where(self.is_label_issue, right, 1.0 + right) / 2.0)
        nothing = agreement_of(counts).nothing_learned
        return _without_issues(found) if nothing else _calibrated(found, calibration)


def _calibrated(audit: Audit, calibration: Calibration) -> Audit:
    """The audit, with the probabilities that the calibration has found."""
    transitions = calibration.transitions.copy()
    never = audit.favored_counts.sum(axis=1) == 0
    transitions[never] = np.eye(len(transitions))[never]
    return replace(
        audit,
        out_of_fold=True,
        error_probs=calibration.error_probs,
        transition_matrix=transitions,
        noise_rate=calibration.noise_rate,
        noise_rate_interval=calibration.noise_rate_interval,
    )


def _without_issues(audit: Audit) -> Audit:
    """The audit where nothing was learned: a ranking, and no more."""
    return replace(
        audit,
        out_of_fold=True,
        nothing_learned=True,
        predicted_labels=audit.labels,
        is_label_issue=np.zeros(len(audit.labels), dtype=bool),
        error_probs=np.full(len(audit.labels), np.nan),
        transition_matrix=np.eye(len(audit.transition_matrix)),
        noise_rate=float("nan"),
        noise_rate_interval=(0.0, 1.0),
    )


def _share_interval(hits: int, count: int) -> tuple[float, float]:
    """Wilson's interval of a share: unlike the bootstrap, it does not shrink to a point where nothing was found."""
    interval = binomtest(hits, count).proportion_ci(_CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
