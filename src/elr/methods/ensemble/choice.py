"""Which settings to keep, by the given labels of rows that their networks were blind to: no clean label is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Settings at the end of an epoch, and what they are worth.

    Args:
        setting: number of the settings in the grid.
        epoch: after which the weights were kept, counted from 1.
        agreement: share of the given labels that networks predict which never saw them, in [0, 1].
        balanced_agreement: mean over the classes of the same share among the rows given that class.
        score: mean of both, which decides.
        behind: how far the score is behind the best one.
        standard_error: of that difference; 0 for the best.
        chosen: whether these networks predict and judge.

    Example:
        >>> Candidate(setting=3, epoch=30, agreement=0.8, balanced_agreement=0.7, score=0.75, behind=0.0,
        ...           standard_error=0.0, chosen=True).to_json()["score"]
        0.75
    """

    setting: int
    epoch: int
    agreement: float
    balanced_agreement: float
    score: float
    behind: float
    standard_error: float
    chosen: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def choose(places: Sequence[tuple[int, int]], correct: ArrayLike, labels: ArrayLike, *, most: int) -> list[Candidate]:
    """Keep the best candidate, and with it the next best ones that are no worse by a standard error.

    The score of a candidate is the mean of accuracy and balanced accuracy on the given labels, each by networks that
    never saw it: sum_i w_i correct_i with w_i = (1/N + 1/(C N_c)) / 2, N_c rows given the class c of row i, C classes
    that are given. The standard error of the difference of two scores is sqrt(sum_i w_i^2 d_i^2) over the rows on which
    the two differ, d_i = +-1, as in McNemar's test. Several candidates that cannot be told apart are kept (at most
    `most`), since their mean is better than any one of them, and not as much a matter of luck.

    Noise of the labels lowers the scores of all candidates; it leaves their order where it does not depend on the
    inputs. Where it does, settings that learn the noise as well score too well: so does every choice that knows no
    clean label.

    Args:
        places: (setting, epoch) of each of A candidates.
        correct: (A, N) bool, whether networks that are blind to a row predict its given label.
        labels: (N,) given classes.
        most: how many to keep at most, >= 1.

    Returns:
        The candidates, in the order of `places`.

    Example:
        >>> correct = np.zeros((3, 100), dtype=bool)
        >>> correct[0, :60] = correct[1, :62] = correct[2, :80] = True
        >>> [each.chosen for each in choose([(0, 9), (1, 9), (2, 9)], correct, np.zeros(100, dtype=int), most=3)]
        [False, False, True]
        >>> [each.chosen for each in choose([(0, 9), (1, 9)], correct[:2], np.zeros(100, dtype=int), most=3)]
        [False, True]
    """
    hits, given = np.asarray(correct, dtype=bool), np.asarray(labels)
    weights = row_weights(given)
    shares = _class_shares(hits, given)
    scores = np.array([float(weights[row].sum()) for row in hits])
    best = int(scores.argmax())  # the earliest of equals
    errors = np.array([float(np.sqrt((weights[row != hits[best]] ** 2).sum())) for row in hits])
    as_good = np.flatnonzero(scores[best] - scores <= errors)
    kept = set(as_good[np.argsort(-scores[as_good], kind="stable")][:most].tolist())
    return [
        Candidate(
            setting=setting,
            epoch=epoch,
            agreement=float(hits[place].mean()),
            balanced_agreement=float(shares[place]),
            score=min(float(scores[place]), 1.0),  # a sum of weights may end a rounding above it
            behind=float(scores[best] - scores[place]),
            standard_error=float(errors[place]),
            chosen=place in kept,
        )
        for place, (setting, epoch) in enumerate(places)
    ]


def row_weights(labels: NDArray) -> NDArray[np.float64]:
    """(N,) what a row counts in the score: half in accuracy, half in balanced accuracy; they sum to 1.

    Example:
        >>> row_weights(np.array([0, 0, 0, 1]))
        array([0.20833333, 0.20833333, 0.20833333, 0.375     ])
    """
    counts = np.bincount(labels)
    return (1.0 / len(labels) + 1.0 / (np.count_nonzero(counts) * counts[labels])) / 2.0


def _class_shares(hits: NDArray[np.bool_], labels: NDArray) -> NDArray[np.float64]:
    """(A,) mean over the classes of the share of hits among their rows."""
    counts = np.bincount(labels)
    given = counts > 0
    found = np.array([np.bincount(labels, weights=row, minlength=len(counts)) for row in hits])
    return (found[:, given] / counts[given]).mean(axis=1)


def choice_text(candidates: Sequence[Candidate], names: Sequence[str]) -> str:
    """What was chosen and why, in words.

    Args:
        candidates: as `choose` gives them.
        names: of the settings, in words.

    Example:
        >>> correct = np.repeat([[True, False], [True, True]], 50, axis=1)
        >>> found = choose([(0, 30), (1, 30)], correct, np.zeros(100, dtype=int), most=3)
        >>> choice_text(found, ["lam 0", "lam 3"])
        'Settings: of 2 settings, lam 3 after 30 epochs was chosen by the given labels of rows that its networks \
never saw: it predicts 100.0% of them (mean over the classes 100.0%), the others less, by more than a standard error.'
        >>> choice_text(found[1:], ["lam 0", "lam 3"])
        'Settings: lam 3, 30 epochs; its networks predict 100.0% of the given labels that they never saw (mean over \
the classes 100.0%).'
    """
    best = max(candidates, key=lambda each: (each.chosen, each.score))
    others = [each for each in candidates if each.chosen and each is not best]
    where = f"{names[best.setting]}"
    shares = f"(mean over the classes {best.balanced_agreement:.1%})"
    if len(candidates) == 1:
        return (
            f"Settings: {where}, {_counted(best.epoch)}; its networks predict {best.agreement:.1%} of the given labels "
            f"that they never saw {shares}."
        )
    settings = len({each.setting for each in candidates})
    epochs = sorted({each.epoch for each in candidates})
    points = "" if len(epochs) == 1 else f", each after {_listed(epochs)} epochs"
    alone = "it alone" if others else "it"
    text = (
        f"Settings: of {settings} settings{points}, {where} after {_counted(best.epoch)} was chosen by the given "
        f"labels of rows that its networks never saw: {alone} predicts {best.agreement:.1%} of them {shares}"
    )
    if not others:
        return f"{text}, the others less, by more than a standard error."
    also = "; ".join(f"{names[each.setting]} after {each.epoch}" for each in others)
    return f"{text}. With it predict, not worse by a standard error: {also}."


def _counted(epochs: int) -> str:
    return f"{epochs} epoch{'s' * (epochs != 1)}"


def _listed(numbers: Sequence[int]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} and {last}" if most else last
