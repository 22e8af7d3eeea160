"""What was learned, and whether that is enough to count wrong labels by: not by chance, one class, or memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from elr.audit.chance import agreement_of
from elr.audit.label_quality import Audit

NOTHING_LEARNED, MAY_BE_CHANCE, ONLY_A_RANKING = "nothing learned", "may be chance", "only a ranking"
MEMORIZED = "labels memorized"


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something about a run that its user must know before the rest is believed.

    Args:
        kind: "labels memorized", "nothing learned", "only a ranking", "may be chance", "class never predicted",
            "class contradicted", "one-way noise", "class shares changed" or "noise out of sight".
        text: what was found, what it means and what to do, for people.
        classes: numbers of the classes concerned, the worst first; of one-way noise as many pairs (clean, given).
        numbers: the measurements behind it.

    Example:
        >>> alarm = Alarm(kind="class never predicted", text="No 'cat' is predicted.", classes=[0], numbers={"rows": 9})
        >>> alarm.to_json()["numbers"]
        {'rows': 9}
    """

    kind: str
    text: str
    classes: Sequence[int | tuple[int, int]]
    numbers: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as JSON gives them back."""
        return json.loads(json.dumps(asdict(self)))


def of_memory(audit: Audit) -> Audit:
    """The audit of a network that has memorized the labels it judges: a ranking and what stands out, and no numbers.

    What it contradicts at the end is what it has not memorized yet, so that their share says nothing of the labels.

    Args:
        audit: of evidence that is not out of fold; other evidence is given back as it is.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> found = of_memory(audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
        >>> found.num_label_issues, found.noise_rate, found.noise_rate_interval
        (1, nan, (0.0, 1.0))
    """
    if audit.out_of_fold:
        return audit
    return replace(
        audit,
        memorized=True,
        error_probs=np.full(len(audit.labels), np.nan),
        noise_rate=float("nan"),
        noise_rate_interval=(0.0, 1.0),
    )


def share_is_known(audit: Audit) -> bool:
    """Whether a share of wrong labels among the suspects may be told.

    Not where they may be chance or mistakes in favor of the most frequent class, nor where labels were memorized.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> audit = audit_labels([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
        >>> share_is_known(audit), share_is_known(of_memory(audit))
        (True, False)
    """
    found = [memorized(audit), nothing_learned(audit), may_be_chance(audit), only_a_ranking(audit, None)]
    return audit.num_label_issues > 0 and not any(found)


def memorized(audit: Audit) -> Alarm | None:
    """A network that took over labels that it had contradicted, and was asked about these very labels.

    Example:
        >>> from elr.audit.label_quality import audit_labels
        >>> memorized(of_memory(audit_labels([0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]]))).numbers
        {'share_contradicted': 0.0}
    """
    if not audit.memorized:
        return None
    share = float(audit.is_label_issue.mean())
    return Alarm(
        kind=MEMORIZED,
        text=(
            "How many labels are wrong cannot be known from this run: the network has memorized labels that it had "
            f"contradicted before, and then judged the labels that it was trained on. That it contradicts {share:.1%} "
            "of them at the end says nothing of the others. Run again with several networks, each of which judges "
            "labels that it never saw (`elr fit` without --members 1, or with --members 5), or with a larger --lam or "
            "fewer --epochs until no memorization is seen."
        ),
        classes=[],
        numbers={"share_contradicted": share},
    )


def nothing_learned(audit: Audit) -> Alarm | None:
    """A model that agrees with labels it never saw no better than the most frequent class does, nor than chance.

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> found = audit_labels([0, 0, 1] * 20, np.tile([0.8, 0.2], (60, 1)), out_of_fold=True)
        >>> found.num_label_issues, nothing_learned(found).kind
        (0, 'nothing learned')
    """
    if not audit.nothing_learned:
        return None
    found = agreement_of(audit.favored_counts)
    return Alarm(
        kind=NOTHING_LEARNED,
        text=(
            f"Nothing was learned that could be told from chance: predictions agree with {found.share:.1%} of the "
            f"given labels that the networks never saw; predictions that know nothing would with {found.by_chance:.1%},"
            f" give or take {found.standard_error:.1%}, and always saying the most frequent class does with "
            f"{found.always:.1%}. So no label is called wrong, and how many are is not known. Look at whether the "
            "inputs say anything about the labels, and at whether more rows or other columns can be had."
        ),
        classes=[],
        numbers=found.numbers,
    )


def only_a_ranking(audit: Audit, names: Sequence[str] | None) -> Alarm | None:
    """A model that knows something of labels it never saw, and agrees with no more than the most frequent class does.

    So it is with rare classes, and with hard ones: it says which rows are more probably of a class, and seldom more
    probably of it than of the frequent one. Of seven such tables .03 to .80 of the suspects were wrong labels, and
    what they were expected to be was off by up to .29 (docs/decisions/audit.md).

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> predicted = np.array([0] * 90 + [1] * 10)
        >>> labels = np.array([0] * 85 + [1] * 10 + [0] * 5)
        >>> only_a_ranking(audit_labels(labels, np.eye(2)[predicted] * 0.6 + 0.2, out_of_fold=True), ["a", "b"]).classes
        [0]
    """
    found = agreement_of(audit.favored_counts)
    if not audit.out_of_fold or not found.only_a_ranking:
        return None
    always = "the most frequent class" if names is None else repr(names[found.most_frequent])
    return Alarm(
        kind=ONLY_A_RANKING,
        text=(
            f"Predictions are hardly better than always saying {always}, or not at all: they agree with "
            f"{found.share:.1%} of the given labels that the networks never saw, and that alone does with "
            f"{found.always:.1%}. They do know something of the labels (by chance they would agree with "
            f"{found.by_chance:.1%}, give or take {found.standard_error:.1%}), so that the ranking may still be good. "
            "But the suspects may be mistakes of the networks, rows of a rare class above all: look at some before you "
            "believe how many there are."
        ),
        classes=[found.most_frequent],
        numbers=found.numbers,
    )


def may_be_chance(audit: Audit) -> Alarm | None:
    """A model that agrees with labels it never saw better than chance does, but by little for so few rows.

    Chance is what predictions that know nothing of the labels would agree with, their frequencies being what they are.
    Where settings were chosen by such labels, the best of many agrees with some by chance: of 24 tables of random
    numbers 12 were taken for learned by one standard error, and 1 by three (docs/decisions/audit.md).

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> probs = np.eye(2)[[0] * 35 + [1] * 30 + [0] * 25 + [1] * 30] * 0.6 + 0.2
        >>> may_be_chance(audit_labels([0] * 60 + [1] * 60, probs, out_of_fold=True)).kind
        'may be chance'
    """
    found = agreement_of(audit.favored_counts)
    if not audit.out_of_fold or audit.nothing_learned or not found.may_be_chance:
        return None
    return Alarm(
        kind=MAY_BE_CHANCE,
        text=(
            f"What was learned may be chance: predictions agree with {found.share:.1%} of the given labels that the "
            f"networks never saw, and predictions that know nothing would with {found.by_chance:.1%}, give or take "
            f"{found.standard_error:.1%}. The suspects may be mistakes of the networks, and the share of wrong labels "
            "may be far off: look at some of them before you believe either."
        ),
        classes=[],
        numbers=found.numbers,
    )
