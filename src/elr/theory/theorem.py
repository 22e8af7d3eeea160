"""The paper's Theorem 1, checked on one run of gradient descent: which part holds here, and by how much."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from elr.checking import checked
from elr.errors import ArgumentError
from elr.theory.clusters import Clusters, is_separable, make_clusters
from elr.theory.descent import EARLY, SPHERE, Trajectory, descend

CORRELATION = 1 / 6  # Proposition 3
DISTANCE = 1.0  # Proposition 3
AT_START, AT_END = 0.5001, 0.9999  # Theorem 4
CHANGE = 0.05  # Proposition 5, of kappa^2 with kappa = tanh(<theta, x> / 2) -+ 1 = 2 (p - y)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement of the theorem, measured.

    Args:
        name: "i", "ii", "iii" of Theorem 1 (informal), or "proposition_3", "theorem_4", "proposition_5", "theorem_6" of
            appendix A, which put numbers on them.
        holds: whether it does.
        margin: by how much: the least distance of what was measured from its bound, negative if it fails; in the unit
            of what is measured (a cosine, a share). NaN where there was nothing to measure.
        says: what was measured beside what was expected, in words.

    Example:
        >>> Statement(name="iii", holds=False, margin=-0.2, says="0.8 of the wrong labels are fitted (expected: all)")
        Statement(name='iii', holds=False, margin=-0.2, says='0.8 of the wrong labels are fitted (expected: all)')
    """

    name: str
    holds: bool
    margin: float
    says: str


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What happened in one draw of the model.

    Args:
        settings: what it was drawn and trained with.
        noise_rate: realized share of wrong labels.
        trajectory: gradient descent, step by step.
        separable: whether a linear model can predict every given label.
        statements: the parts of the theorem.

    Example:
        >>> found = examine(p=80, n=100, steps=50)
        >>> round(found.noise_rate, 2), found.separable, found.to_json()["steps"]
        (0.4, True, 50)
    """

    settings: dict[str, Any]
    noise_rate: float
    trajectory: Trajectory
    separable: bool
    statements: tuple[Statement, ...]

    @property
    def theorem(self) -> dict[str, bool]:
        """Which part holds."""
        return {each.name: each.holds for each in self.statements}

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN where there is no wrong label: the table of `elr theory`, without the trajectory."""
        trajectory, step = self.trajectory, self.trajectory.early_learning_step
        phase = trajectory.correlation[: max(step if step is not None else len(trajectory.correlation), 1)]
        return {
            "settings": self.settings,
            "noise_rate": self.noise_rate,
            "gradient_correlation": float(phase.min()),
            "early_learning_step": step,
            "peak_accuracy_on_wrong": float(np.max(trajectory.accuracy_wrong)),
            "peak_step": int(np.argmax(trajectory.accuracy_wrong)),
            "final_accuracy_on_wrong": float(trajectory.accuracy_wrong[-1]),
            "final_accuracy_on_clean": float(trajectory.accuracy_clean[-1]),
            "fraction_memorized": float(trajectory.memorized[-1]),
            "target_accuracy": float(trajectory.target_accuracy[-1]),
            "steps": trajectory.steps,
            "separable": self.separable,
            "theorem": self.theorem,
            "checks": [asdict(each) for each in self.statements],
        }


@checked
def examine(
    *,
    p: int = 400,
    n: int = 500,
    sigma: float = 0.1,
    noise_rate: float = 0.4,
    lam: float = 0.0,
    beta: float = 0.7,
    clamp: float = 1e-4,
    num_classes: int = 2,
    learning_rate: float = 0.5,
    steps: int = 20_000,
    radius: float = SPHERE,
    seed: int = 0,
) -> Examination:
    """Draw the model, train it, and check the theorem.

    Args:
        p: features, at least 2.
        n: examples, at least 2.
        sigma: spread of the clusters, > 0.
        noise_rate: expected share of wrong labels, Delta (1 - 1/C): in [0, 1/2) with two classes.
        lam: weight of the regularizer, >= 0; 0 is cross entropy, of which the theorem speaks.
        beta: momentum of the targets.
        clamp: see `elr.theory.descent.descend`.
        num_classes: C.
        learning_rate: eta.
        steps: at most; cross entropy stops where every given label is predicted.
        radius: of the sphere that the first weights are drawn from.
        seed: of the data and the first weights.

    Raises:
        ArgumentError: a value out of its range.

    Example:
        >>> examine(p=80, n=100, steps=300).theorem["theorem_6"]
        True

    Source: Theorem 1 and appendix A of Liu et al., NeurIPS 2020.
    """
    if num_classes < 2:
        raise ArgumentError(f"num_classes is {num_classes}: expected at least 2")
    most = 1.0 - 1.0 / num_classes
    if not 0.0 <= noise_rate < most:
        raise ArgumentError(
            f"noise_rate is {noise_rate}: expected a share in [0, {most:.4g}), of wrong labels: Delta (1 - 1/C) with "
            f"Delta in [0, 1); at {most:.4g} the labels of {num_classes} classes say nothing"
        )
    settings = {name: value for name, value in locals().items() if name != "most"}
    delta = noise_rate / most
    data = make_clusters(p, n, sigma=sigma, delta=delta, num_classes=num_classes, seed=seed)
    trajectory = descend(
        data,
        lam=lam,
        beta=beta,
        clamp=clamp,
        learning_rate=learning_rate,
        steps=steps,
        start=radius,
        seed=seed,
        stop_when_fitted=lam == 0,
    )
    # Weights that fit every label are a proof; only without them the linear program has to decide.
    separable = bool(trajectory.fitted[-1] == 1.0) or is_separable(data.inputs, data.labels)
    return Examination(
        settings=settings,
        noise_rate=data.noise_rate,
        trajectory=trajectory,
        separable=separable,
        statements=check_theorem(data, trajectory, separable=separable, delta=delta),
    )


@checked
def check_theorem(data: Clusters, trajectory: Trajectory, *, separable: bool, delta: float) -> tuple[Statement, ...]:
    """Each part of Theorem 1, and the statements of appendix A behind it, on one trajectory.

    The theorem is about p and n without bound; a finite draw may miss a bound by a little, and the margin says by how
    little. A part that speaks of the time before T fails where T is never reached, or is the start.

    Args:
        data: the examples.
        trajectory: gradient descent on them with cross entropy. (With lam > 0 the statements are measured all the same;
            the theorem says nothing of it.)
        separable: whether the given labels are linearly separable.
        delta: with which labels were drawn anew.

    Example:
        >>> data = make_clusters(400, 500, sigma=0.1, delta=0.8)
        >>> found = check_theorem(data, descend(data, steps=20), separable=True, delta=0.8)
        >>> [each.name for each in found if each.holds]
        ['i', 'proposition_3', 'ii', 'proposition_5', 'theorem_6']
    """
    last = trajectory.early_learning_step
    if last:
        early = _early_statements(trajectory, last, wrong=bool(data.wrong.any()))
    else:
        first, most = trajectory.alignment[0], trajectory.alignment.max()
        why = (
            f"<theta, v> is {first:.3f} at the start: no early phase to measure; draw another seed"
            if last == 0
            else f"<theta, v> stays below {EARLY} (at most {most:.3f}): early learning does not end"
        )
        names = ("i", "proposition_3", "theorem_4", "ii", "proposition_5")
        early = tuple(Statement(name=name, holds=False, margin=math.nan, says=why) for name in names)
    return (*early, *_late_statements(data, trajectory, separable=separable, delta=delta))


def _early_statements(trajectory: Trajectory, last: int, *, wrong: bool) -> tuple[Statement, ...]:
    lowest = float(trajectory.correlation[:last].min())
    furthest = float(trajectory.distance[: last + 1].max())
    start, end = float(trajectory.accuracy_wrong[0]), float(trajectory.accuracy_wrong[last])
    clean = float(trajectory.coefficient_clean[0] - trajectory.coefficient_clean[last])
    false = float(trajectory.coefficient_wrong[last] - trajectory.coefficient_wrong[0])
    clean_square = float(4 * (trajectory.square_clean[0] - trajectory.square_clean[last]))
    false_square = float(4 * (trajectory.square_wrong[last] - trajectory.square_wrong[0]))
    none = "" if wrong else " (no label is wrong)"
    at = f"T = {last}"
    return (
        _measured(
            "i",
            (lowest - CORRELATION, _above(end - start)),
            f"up to {at} the cosine of -gradient and v is at least {lowest:.3f} (expected {CORRELATION:.3f}); "
            f"accuracy on wrong labels goes {start:.4f} -> {end:.4f} (expected: up){none}",
        ),
        _measured(
            "proposition_3",
            (lowest - CORRELATION, DISTANCE - furthest),
            f"cosine at least {lowest:.3f} (bound {CORRELATION:.3f}), weights move {furthest:.3f} (bound {DISTANCE})",
        ),
        _measured(
            "theorem_4",
            (AT_START - start, end - AT_END),
            f"accuracy on wrong labels {start:.4f} at the start (bound {AT_START}), {end:.4f} at {at} (bound {AT_END})"
            f"{none}",
        ),
        _measured(
            "ii",
            (_above(clean), _above(false)),
            f"mean |p - y| falls by {clean:.4f} on clean and grows by {false:.4f} on wrong labels to {at}{none}",
        ),
        _measured(
            "proposition_5",
            (clean_square - CHANGE, false_square - CHANGE),
            f"mean kappa^2 = 4 (p - y)^2 falls by {clean_square:.4f} on clean and grows by {false_square:.4f} on "
            f"wrong labels to {at} (bound {CHANGE} for both){none}",
        ),
    )


def _late_statements(data: Clusters, trajectory: Trajectory, *, separable: bool, delta: float) -> tuple[Statement, ...]:
    num_examples, num_features = data.inputs.shape
    ratio, needed = num_features / num_examples, 1.0 - delta / 2
    memorized = float(trajectory.memorized[-1])
    if separable and memorized < 1.0:
        hint = "; they are separable, so that cross entropy ends there (Soudry et al.)"
    else:
        hint = "" if separable else "; they are not separable, so that it cannot"
    return (
        _measured(
            "iii",
            (memorized - 1.0,),
            f"{memorized:.4f} of the wrong labels are predicted after {trajectory.steps} steps (expected: all){hint}",
        ),
        Statement(
            name="theorem_6",
            holds=separable,
            margin=ratio - needed if len(data.means) == 2 else math.nan,
            says=f"the given labels are {'' if separable else 'not '}linearly separable; p/n = {ratio:.3f}"
            + (f", enough in the limit above {needed:.3f}" if len(data.means) == 2 else ""),
        ),
    )


def _measured(name: str, margins: tuple[float, ...], says: str) -> Statement:
    """A statement that holds if every margin is at least 0; a NaN is none."""
    least = min(margins) if not any(map(math.isnan, margins)) else math.nan
    return Statement(name=name, holds=bool(least >= 0.0), margin=least, says=says)


def _above(change: float) -> float:
    """A margin that 0 does not meet: "higher" is strict."""
    return change if change != 0.0 else -math.ulp(1.0)
