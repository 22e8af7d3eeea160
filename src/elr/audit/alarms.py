"""What an audit must not keep to itself: what was not learned, classes given up, noise that it may see wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from elr.audit.label_quality import Audit
from elr.audit.learning import Alarm, may_be_chance, memorized, nothing_learned, only_a_ranking

NEVER_PREDICTED, ALL_CONTRADICTED = "class never predicted", "class contradicted"
ONE_WAY, SHARES_CHANGED, OUT_OF_SIGHT = "one-way noise", "class shares changed", "noise out of sight"
_CONTRADICTED = 0.9  # share of a class's rows; more than symmetric noise of 80 % makes of ten classes
_FLIPPED = 0.1  # share of a class given as one other class, from which on it is worth a word
_TIMES = 3.0  # so much more often this way than back
_HALF = 0.5  # of the wrong labels of a class; where they are spread, the noise has no direction
_CHANGED = 1.5  # a class is predicted so many times as often as it is given, or given as it is predicted
_ERRORS = 3.0  # standard errors: among many classes, or settings, some differ by chance
_LITTLE = 0.05  # of the labels are contradicted: too few to tell errors that follow the inputs from none
_NAMED = 3  # classes that a sentence names


def find_alarms(audit: Audit, class_names: Sequence[object]) -> list[Alarm]:
    """All that is to be said, the gravest first; at most one alarm of a kind, whatever the number of classes.

    It is found from the given labels and the evidence alone.

    Args:
        audit: of a run.
        class_names: the C classes.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> audit = audit_labels([0, 0, 0, 1], [[0.9, 0.1]] * 4)
        >>> [alarm.text for alarm in find_alarms(audit, ["cat", "dog"])]
        ["No row is predicted as 'dog' (given to 1 row): each of its labels is contradicted. Either ..."]
    """
    names = [str(name) for name in class_names]
    found = [memorized(audit), nothing_learned(audit), only_a_ranking(audit, names), may_be_chance(audit)]
    found += [never_predicted(audit, names), all_contradicted(audit, names)]
    if not audit.nothing_learned and not audit.memorized:
        found += [one_way_noise(audit, names), shares_changed(audit, names), out_of_sight(audit)]
    return [alarm for alarm in found if alarm is not None]


def never_predicted(audit: Audit, names: Sequence[str]) -> Alarm | None:
    """Classes that are given to rows and predicted for none.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> never_predicted(audit_labels([0, 0, 0, 1], [[0.9, 0.1]] * 4), ["cat", "dog"]).classes
        [1]
    """
    given, predicted = _given_and_predicted(audit)
    lost = _largest_first(np.flatnonzero((given > 0) & (predicted == 0)), given)
    if not lost:
        return None
    rows = int(given[lost].sum())
    verdict = (
        "" if audit.nothing_learned else f": each of {'its' if len(lost) == 1 else 'their'} labels is contradicted"
    )
    return Alarm(
        kind=NEVER_PREDICTED,
        text=(
            f"No row is predicted as {_listed(lost, names)} (given to {_rows(rows)}){verdict}. Either these labels are "
            "all wrong, or the class is too rare or too much like another to be learned: look at some of them before "
            "any is changed."
        ),
        classes=lost,
        numbers={"num_rows": rows},
    )


def all_contradicted(audit: Audit, names: Sequence[str]) -> Alarm | None:
    """Classes that are predicted, but hardly for a row that was given them.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> audit = audit_labels([0, 0, 1, 1], [[0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.9, 0.1]])
        >>> all_contradicted(audit, ["cat", "dog"]).classes
        [0]
    """
    given, predicted = _given_and_predicted(audit)
    shares = 1.0 - np.diagonal(audit.favored_counts) / np.maximum(given, 1)
    some = _largest_first(np.flatnonzero((given > 0) & (predicted > 0) & (shares >= _CONTRADICTED)), given)
    if not some:
        return None
    rows = int(given[some].sum())
    return Alarm(
        kind=ALL_CONTRADICTED,
        text=(
            f"Of the rows given {_listed(some, names)} ({_rows(rows)}) at least {float(shares[some].min()):.0%} are "
            "predicted as another class. Labels that are wrong so often are rare; a class that the network has not "
            "learned is not: look at some of them before any is changed."
        ),
        classes=some,
        numbers={"num_rows": rows, "share_contradicted": float(shares[some].min())},
    )


def one_way_noise(audit: Audit, names: Sequence[str]) -> Alarm | None:
    """Classes whose wrong labels mostly are one other class, which is hardly ever mistaken for them in turn.

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> clean = np.arange(300) % 3
        >>> labels = np.where((clean == 0) & (np.arange(300) % 10 < 3), 1, clean)
        >>> one_way_noise(audit_labels(labels, np.eye(3)[clean]), ["cat", "dog", "eel"]).classes
        [(0, 1)]
    """
    flips = audit.transition_matrix * (1.0 - np.eye(len(names)))
    _, predicted = _given_and_predicted(audit)
    wrong = flips.sum(axis=1, keepdims=True)
    one_way = (flips >= _FLIPPED) & (flips >= _TIMES * flips.T) & (flips >= _HALF * wrong)
    rows, errors = flips * predicted[:, None], np.sqrt(flips * (1.0 - flips) / np.maximum(predicted, 1)[:, None])
    one_way &= flips - flips.T >= _ERRORS * errors
    order = np.argsort(-rows, axis=None, kind="stable")
    pairs = [(int(place) // len(names), int(place) % len(names)) for place in order if one_way.flat[place]]
    if not pairs:
        return None
    said = _first(f"{flips[pair]:.0%} of {names[pair[0]]!r} as {names[pair[1]]!r}" for pair in pairs)
    return Alarm(
        kind=ONE_WAY,
        text=(
            f"The labels seem to err one way: {said}, and hardly back. Such labels can be learned "
            "like right ones: then neither the course of training nor predictions show it, and what looks wrong may be "
            "right. So that no memorization is seen says nothing of these classes, and the estimates of the noise "
            "rate and of the precision may be far off. Have some rows of these classes labeled again."
        ),
        classes=pairs,
        numbers={"largest_rate": float(max(flips[pair] for pair in pairs)), "num_pairs": len(pairs)},
    )


def shares_changed(audit: Audit, names: Sequence[str]) -> Alarm | None:
    """Classes that are predicted much more or much less often than they are given.

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> predicted = np.array([0] * 90 + [1] * 10)
        >>> alarm = shares_changed(audit_labels([0, 1] * 50, np.eye(2)[predicted]), ["cat", "dog"])
        >>> alarm.classes, alarm.text
        ([1, 0], "Some classes are predicted far more or less often than given: 'dog' (given to 50.0%, ...")
    """
    given, predicted = _given_and_predicted(audit)
    count = given.sum()
    larger, smaller = np.maximum(given, predicted), np.minimum(given, predicted)
    sure = larger - smaller >= _ERRORS * np.sqrt(larger * (1.0 - larger / (count + 1.0)))
    some = np.flatnonzero(sure & (larger >= _CHANGED * smaller) & (predicted > 0))  # others have an alarm of their own
    ratios = larger / np.maximum(smaller, 1)
    changed = [int(each) for each in some[np.argsort(-ratios[some], kind="stable")]]
    if not changed:
        return None
    said = _first(
        f"{names[each]!r} (given to {given[each] / count:.1%}, predicted for {predicted[each] / count:.1%})"
        for each in changed
    )
    return Alarm(
        kind=SHARES_CHANGED,
        text=(
            f"Some classes are predicted far more or less often than given: {said}. Either labels of "
            "these classes are wrong one way, or the network has drifted to the frequent classes; the evidence cannot "
            "tell which. Look at some rows of these classes first."
        ),
        classes=changed,
        numbers={"largest_ratio": float(ratios[changed].max()), "num_classes": len(changed)},
    )


def out_of_sight(audit: Audit) -> Alarm | None:
    """Labels that networks foretell without having seen them: right, or wrong by a rule that the inputs show.

    Of evidence out of fold only: a network agrees with the labels that it was trained on in any case.

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> labels = np.arange(200) % 2
        >>> out_of_sight(audit_labels(labels, np.eye(2)[labels], out_of_fold=True)).numbers
        {'share_contradicted': 0.0}
    """
    share = float(audit.is_label_issue.mean())
    if not audit.out_of_fold or audit.nothing_learned or share >= _LITTLE:
        return None
    return Alarm(
        kind=OUT_OF_SIGHT,
        text=(
            f"Hardly any label is contradicted ({share:.1%}) by networks that never saw it. Either nearly all are "
            "right, or the wrong ones follow the inputs, as labels do that a rule or a program gave: these are learned "
            "like right ones, and nothing here can find or count them. If no person gave these labels, have some rows "
            "labeled by one."
        ),
        classes=[],
        numbers={"share_contradicted": share},
    )


def _given_and_predicted(audit: Audit) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(C,) to how many rows each class is given, and for how many it is predicted."""
    return audit.favored_counts.sum(axis=0), audit.favored_counts.sum(axis=1)


def _largest_first(classes: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[int]:
    return [int(each) for each in classes[np.argsort(-sizes[classes], kind="stable")]]


def _listed(classes: Sequence[int], names: Sequence[str]) -> str:
    return _first(repr(names[each]) for each in classes)


def _first(said: Iterable[str]) -> str:
    """The first of what could be said, and how much more there is."""
    parts = list(said)
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return ", ".join(parts[:_NAMED]) + more


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
