"""Is early learning happening here, and until when? The answer that a run without clean labels can give."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from elr.training.monitor import STANDING

UNKNOWN, NOTHING, EARLY_LEARNING, MEMORIZATION = "unknown", "nothing learned", "early learning", "memorization"
_LEARNED = 0.1  # of what chance leaves, agreement must have gained so much to count as learning
_LEAST = 0.05  # share of the rows; a smaller opposition may be to rows that are merely hard
_DROPPED = 0.15  # share of the objections that must have been dropped to count as memorization
_SETTLED = 0.1  # predictions that still change from epoch to epoch
_MOST = 0.5  # of the wrong labels
_FALL = 0.02  # of held-out agreement from its peak, as a share of the rows
_ALL_SETTINGS = "the networks of all settings together, chosen or not,"
_ADVICE = "Train longer, with another learning rate, or look at whether the inputs say anything about the labels."
_UNSEEN = "Wrong labels that follow the inputs or run one way (one class given as one other) are learned unseen."


@dataclass(frozen=True, kw_only=True)
class EarlyLearning:
    """What the history of a run says about the two phases.

    Args:
        state: "early learning" (and no memorization until the end), "memorization" (it began), "nothing learned" or
            "unknown" (too few epochs to tell).
        epoch: the last epoch of early learning, counted from 1; None if there was none, or nothing can be said.
        text: the answer in words, with the evidence.
        evidence: the numbers behind it.

    Example:
        >>> found = EarlyLearning(state=MEMORIZATION, epoch=12, text="Early learning until epoch 12.", evidence={})
        >>> found.to_json()["epoch"]
        12
    """

    state: str
    epoch: int | None
    text: str
    evidence: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def early_learning(history: Sequence[Mapping[str, Any]], *, generations: int = 1) -> EarlyLearning:
    """Tell early learning from memorization by what a run says of its own training rows; needs no clean labels.

    A network that learns first comes to contradict some given labels, and to do so steadily: those that the others
    speak against. It memorizes when it gives in and takes these labels over. So the share of the rows with a
    standing contradiction (predicted as the same other class for three epochs, `standing_disagreement`) rises while
    it learns and falls while it memorizes; early learning lasts until its peak, and what counts is how many of the
    labels objected to at the peak are predicted at the end (`objections_dropped`). Agreement with held-out noisy
    labels, where the run has any (`validation_agreement`), is a second witness: it falls under memorization.

    Where networks were trained side by side, each blind to a part of the rows, there is a better witness: their
    agreement with given labels that they never saw (`out_of_fold_agreement`). It rises while what is learned holds for
    other rows, and falls under memorization; where it is there, it is judged instead.

    It cannot see wrong labels that are taken over from the first epochs on (noise that follows the inputs, or runs one
    way), and a network that cannot fit its data contradicts right labels as well.

    Args:
        history: the records of a run, oldest first (metrics.jsonl).
        generations: how many times the run started again; the last time is judged.

    Example:
        >>> standing = [math.nan, math.nan, 0.1, 0.3, 0.3, 0.2, 0.1]
        >>> history = [{"epoch": i + 1, "agreement_with_given_labels": 0.6, "agreement_by_chance": 0.1,
        ...             "standing_disagreement": value, "objections_dropped": 0.3 - value}
        ...            for i, value in enumerate(standing)]
        >>> found = early_learning(history)
        >>> found.state, found.epoch
        ('memorization', 5)

    Source: the phases are those of Liu et al., NeurIPS 2020, whose authors advise to check that they are there; the
    measure is ours (docs/concepts/theory.md shows how well it does).
    """
    history = history[-(len(history) // max(generations, 1)) :]
    if len(_numbers(history, "out_of_fold_agreement")) > 1:
        return _by_blind_rows(history)
    standing = _numbers(history, "standing_disagreement")
    if len(standing) < STANDING:
        text = f"Too few epochs ({len(history)}) to tell early learning from memorization: train for 6 or more."
        return EarlyLearning(state=UNKNOWN, epoch=None, text=text, evidence={})
    agreement = float(history[-1]["agreement_with_given_labels"])
    chance = float(history[-1]["agreement_by_chance"])
    peak = max(value for _, value in standing)
    epoch = max(number for number, value in standing if value == peak)
    last = standing[-1][1]
    evidence = {
        "agreement_with_given_labels": agreement,
        "agreement_by_chance": chance,
        "standing_disagreement_peak": peak,
        "standing_disagreement_last": last,
        "objections_dropped": float(history[-1]["objections_dropped"]),
    }
    evidence |= _held_out(history)
    if agreement - chance < _LEARNED * (1.0 - chance):
        text = (
            f"Little or nothing has been learned: predictions agree with {agreement:.1%} of the given labels, chance "
            f"alone gives {chance:.1%}. {_ADVICE}"
        )
        return EarlyLearning(state=NOTHING, epoch=None, text=text, evidence=evidence)
    if peak >= _LEAST and evidence["objections_dropped"] >= _DROPPED:
        return EarlyLearning(state=MEMORIZATION, epoch=epoch, text=_memorizes(epoch, evidence), evidence=evidence)
    if evidence.get("held_out_fall", 0.0) > _FALL:
        epoch = int(evidence["held_out_peak_epoch"])
        text = (
            f"Early learning until epoch {epoch}, memorization since: agreement with held-out labels fell by "
            f"{evidence['held_out_fall']:.1%} of the rows from its peak."
        )
        return EarlyLearning(state=MEMORIZATION, epoch=epoch, text=text, evidence=evidence)
    return EarlyLearning(
        state=EARLY_LEARNING,
        epoch=int(history[-1]["epoch"]),
        text=_resists(history[-1], peak, last, agreement),
        evidence=evidence,
    )


def beside_clean_labels(found: EarlyLearning, history: Sequence[Mapping[str, Any]]) -> EarlyLearning:
    """The verdict, with what clean labels say of the last epoch where a run has them; only its words change.

    What is found by given labels alone is in sight of these alone: wrong labels that are learned like right ones are
    seen by clean labels only.

    Args:
        found: the verdict.
        history: the records of the run.

    Example:
        >>> text = "Early learning, no memorization in sight: so."
        >>> found = EarlyLearning(state=EARLY_LEARNING, epoch=9, text=text, evidence={})
        >>> last = {"epoch": 9, "fraction_memorized_on_wrong": 0.9, "fraction_correct_on_wrong": 0.05}
        >>> print(beside_clean_labels(found, [last]).text.replace(": so. ", ":\\n"))
        Early learning, no memorization in sight of the given labels:
        The clean labels show that 90.0% of the wrong ones were predicted as given in the last epoch, 5.0% rightly: ...
    """
    last = history[-1] if history else {}
    if not _is_number(last.get("fraction_memorized_on_wrong")):
        return found
    taken, right = float(last["fraction_memorized_on_wrong"]), float(last["fraction_correct_on_wrong"])
    blind = ", by networks that never saw them," if _is_number(last.get("out_of_fold_agreement")) else ""
    text = found.text.replace("no memorization in sight:", "no memorization in sight of the given labels:")
    text += (
        f" The clean labels show that {taken:.1%} of the wrong ones were predicted as given{blind} in the last epoch, "
        f"{right:.1%} rightly{': most were learned' if taken > _MOST else ''}."
    )
    return replace(found, text=text)


def _by_blind_rows(history: Sequence[Mapping[str, Any]]) -> EarlyLearning:
    """The verdict where networks were asked about rows whose labels they never saw."""
    seen = _numbers(history, "out_of_fold_agreement")
    epoch, peak = max(seen, key=lambda pair: pair[1])  # the first of equals
    last, chance = seen[-1][1], _numbers(history[-1:], "agreement_by_chance")
    evidence = {
        "out_of_fold_agreement_peak": peak,
        "out_of_fold_agreement_peak_epoch": epoch,
        "out_of_fold_agreement_last": last,
    }
    measured = f"{_ALL_SETTINGS} agreed with {peak:.1%} of the given labels that they never saw after epoch {epoch}"
    for _, by_chance in chance:
        evidence["agreement_by_chance"] = by_chance
        if peak - by_chance < _LEARNED * (1.0 - by_chance):
            text = f"Little or nothing has been learned: {measured}, chance alone gives {by_chance:.1%}. {_ADVICE}"
            return EarlyLearning(state=NOTHING, epoch=None, text=text, evidence=evidence)
    if peak - last > _FALL:
        text = (
            f"Early learning until about epoch {epoch}, memorization since: {measured}, and with {last:.1%} at the end."
        )
        return EarlyLearning(state=MEMORIZATION, epoch=epoch, text=text, evidence=evidence)
    text = (
        f"Early learning until the end, no memorization in sight: {measured}, and with {last:.1%} at the end. {_UNSEEN}"
    )
    if float(history[-1].get("change", 0.0)) > _SETTLED:
        text += f" {_unsettled(history[-1])}"
    return EarlyLearning(state=EARLY_LEARNING, epoch=int(history[-1]["epoch"]), text=text, evidence=evidence)


def _memorizes(epoch: int, evidence: Mapping[str, float]) -> str:
    text = (
        f"Early learning until about epoch {epoch}, memorization since: {evidence['standing_disagreement_peak']:.1%} "
        f"of the given labels were steadily contradicted then, and {evidence['objections_dropped']:.0%} of these are "
        "predicted at the end."
    )
    if evidence.get("held_out_fall", 0.0) > 0.0:
        return text + f" Agreement with held-out labels is {evidence['held_out_fall']:.1%} below its peak."
    if "held_out_fall" in evidence:
        return text + " Agreement with held-out labels has not fallen: on new data the network still improves."
    return text + " (Where the labels are right and merely hard to learn, this is learning.)"


def _resists(record: Mapping[str, Any], peak: float, last: float, agreement: float) -> str:
    if peak < _LEAST:
        text = (
            f"No sign of memorization, and little to memorize: the network steadily contradicted {peak:.1%} of the "
            f"given labels at most, contradicts {last:.1%} at the end and agrees with {agreement:.1%}. Either nearly "
            "all labels are right, or wrong ones are learned like right ones, as those are that follow the inputs or "
            "run one way (one class given as one other): the course of training cannot tell which."
        )
    else:
        text = (
            f"Early learning until the end, no memorization in sight: the share of given labels that the network "
            f"steadily contradicts has reached {peak:.1%} and stands at {last:.1%}. {_UNSEEN}"
        )
    if float(record.get("change", 0.0)) > _SETTLED:
        text += f" {_unsettled(record)}"
    return text


def _unsettled(record: Mapping[str, Any]) -> str:
    return f"It is not done: {record['change']:.0%} of the predictions changed in the last epoch; train longer."


def _held_out(history: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Agreement with held-out noisy labels, its peak and how far it fell, if it was measured at least twice."""
    seen = _numbers(history, "validation_agreement")
    if len(seen) < 2:
        return {}
    epoch, peak = max(seen, key=lambda pair: pair[1])
    return {"held_out_peak": peak, "held_out_peak_epoch": epoch, "held_out_fall": peak - seen[-1][1]}


def _numbers(history: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    """(epoch, value) of the records that have one."""
    return [(record["epoch"], float(record[key])) for record in history if _is_number(record.get(key))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
