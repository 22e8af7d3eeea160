"""How a run chose its settings, for the report: the candidates, the best first, and the curves that they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elr.audit.charts import Points, curves, number_of
from elr.audit.suspects import require, require_rate
from elr.errors import ArgumentError

MOST_LISTED = 8
"""Candidates in the table, the chosen ones among them."""
_RATES = ("agreement", "balanced_agreement", "score")
_DIFFERENCES = ("behind", "standard_error")


def check_choice(choice: Mapping[str, Any]) -> None:
    """Refuse what is not a choice as run.json has it; an empty one says that nothing was chosen.

    Args:
        choice: text; settings, each with its text and its curve of (epoch, score); candidates, as
            `elr.methods.ensemble.choice.Candidate` gives them.

    Raises:
        ArgumentError: something is missing, or is not what it should be.

    Example:
        >>> check_choice({"text": "Settings: lam 3"})
        Traceback (most recent call last):
        elr.errors.ArgumentError: choice has no 'settings': expected text, settings and candidates
    """
    if not choice:
        return
    try:
        texts = [choice["text"], *(setting["text"] for setting in choice["settings"])]
        points = [(epoch, score) for setting in choice["settings"] for epoch, score in setting["curve"]]
        candidates = [
            (each["setting"], each["epoch"], each["chosen"], [each[name] for name in (*_RATES, *_DIFFERENCES)])
            for each in choice["candidates"]
        ]
    except KeyError as error:
        raise ArgumentError(f"choice has no {error}: expected text, settings and candidates") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(f"choice is not as run.json has it ({error})") from None
    require(all(isinstance(text, str) for text in texts), "choice: a text is no text")
    count = len(choice["settings"])
    for epoch, score in points:
        require(number_of(epoch) is not None, f"choice: a curve has the epoch {epoch!r}; expected a number")
        require_rate("choice: score of a curve", 0.0 if score is None else _number(score))
    for setting, epoch, chosen, values in candidates:
        known = type(setting) is int and 0 <= setting < count
        require(known, f"choice: a candidate has the setting {setting!r} of {count}; expected its number, from 0")
        require(type(epoch) is int and epoch >= 1, f"choice: a candidate has the epoch {epoch!r}; expected at least 1")
        require(isinstance(chosen, bool), f"choice: chosen is {chosen!r}; expected true or false")
        for name, value in zip((*_RATES, *_DIFFERENCES), values, strict=True):
            require_rate(f"choice: {name} of a candidate", _number(value))
    require(any(chosen for *_, chosen, _ in candidates), "choice: no candidate is chosen; expected at least one")


def choice_shown(choice: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of a choice: the rows of its table, how many more there are, and the figure.

    The chosen settings are numbered, the best first: by that number the table, the key and the curves name them.

    Args:
        choice: see `check_choice`; not empty.

    Returns:
        rows (each with number, text, and the values of the candidate), left_out, strong (number -> text, of the
        settings whose lines are strong), figure (see `elr.audit.charts.curves`; None where there is no point to draw).

    Example:
        >>> same = {"agreement": 0.5, "balanced_agreement": 0.5, "standard_error": 0.01}
        >>> shown = choice_shown({
        ...     "text": "", "settings": [{"text": "lam 0", "curve": [[1, 0.3], [2, 0.4]]},
        ...                              {"text": "lam 3", "curve": [[1, 0.3], [2, 0.5]]}],
        ...     "candidates": [same | {"setting": 0, "epoch": 2, "score": 0.4, "behind": 0.1, "chosen": False},
        ...                    same | {"setting": 1, "epoch": 2, "score": 0.5, "behind": 0.0, "chosen": True}]})
        >>> [(row["number"], row["text"]) for row in shown["rows"]], shown["strong"], len(shown["figure"]["faint"])
        ([('1', 'lam 3'), ('', 'lam 0')], {'1': 'lam 3'}, 1)
    """
    settings = choice["settings"]
    ranked = sorted(choice["candidates"], key=lambda each: (-each["score"], not each["chosen"]))
    chosen = [each for each in ranked if each["chosen"]]
    numbers = {place: str(k) for k, place in enumerate(dict.fromkeys(each["setting"] for each in chosen), 1)}
    others = [each for each in ranked if not each["chosen"]][: max(0, MOST_LISTED - len(chosen))]
    listed = sorted([*chosen, *others], key=ranked.index)
    rows = [
        {**each, "text": settings[each["setting"]]["text"], "number": numbers.get(each["setting"], "")}
        for each in listed
    ]
    lines: dict[int, Points] = {
        place: [(float(epoch), number_of(score)) for epoch, score in setting["curve"]]
        for place, setting in enumerate(settings)
    }
    kept: dict[str, Points] = {number: [] for number in numbers.values()}
    for each in chosen:
        kept[numbers[each["setting"]]].append((float(each["epoch"]), float(each["score"])))
    return {
        "rows": rows,
        "left_out": len(ranked) - len(rows),
        "strong": {number: settings[place]["text"] for place, number in numbers.items()},
        "figure": curves(
            {number: lines[place] for place, number in numbers.items()},
            faint=[points for place, points in lines.items() if place not in numbers],
            kept=kept,
        ),
    }


def _number(value: object) -> float:
    number = number_of(value)
    require(number is not None, f"choice: {value!r} where a number is expected")
    assert number is not None, "as required"
    return number
