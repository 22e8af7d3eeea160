"""What run.json holds: of which type each of its values is, in which range, and which belong together.

What is a setting (method, network, training, augmentation, targets, options) is held to its own class where it is
built; here is all that would be told or compared as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_SHOWN = 80
_MOST = 2**53  # the largest count that a float still holds
_Kind = tuple[Callable[[Any], bool], str]


def _all(value: Any, *kinds: type) -> bool:
    """A list of these types alone."""
    return isinstance(value, list) and all(type(each) in kinds for each in value)


def _by_name(value: Any, *kinds: type) -> bool:
    return isinstance(value, dict) and all(type(each) in kinds for each in value.values())


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _has_text(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("text"), str)


def _are_ends(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return value == [None, None] or (all(map(_is_share, value)) and value[0] <= value[1])


def _are_names(value: Any) -> bool:
    return _all(value, str, int) and len(set(value)) == len(value) >= 2


def _are_spellings(value: Any) -> bool:
    return isinstance(value, dict) and all(_by_name(each, int) for each in value.values())


def _or_null(kind: _Kind) -> _Kind:
    return (lambda value: value is None or kind[0](value)), f"{kind[1]} or null"


_TEXT: _Kind = (lambda value: isinstance(value, str), "text")
_TRUTH: _Kind = (lambda value: isinstance(value, bool), "true or false")
_OBJECT: _Kind = (lambda value: isinstance(value, dict), "an object")
_TEXTS: _Kind = (lambda value: _all(value, str), "a list of texts")
_COUNT: _Kind = (lambda value: type(value) is int and 0 <= value <= _MOST, "a count")
_AT_LEAST_1: _Kind = (lambda value: type(value) is int and 1 <= value <= _MOST, "a count of at least 1")
_NUMBER: _Kind = (_is_number, "a number")
_SHARE: _Kind = (_is_share, "a share in [0, 1]")
_TOLD: _Kind = (_has_text, "an object with a text")

_WHOLE: dict[str, _Kind] = {
    "command": _TEXT,
    "created": _TEXT,
    "elr_version": _TEXT,
    **dict.fromkeys(("config", "method", "network", "training", "augmentation", "targets"), _OBJECT),
    "whiten": _TRUTH,
    "probe_period": _AT_LEAST_1,
    "remarks": _TEXTS,
    "preprocessing": _OBJECT,
    "preprocessing.kind": _TEXT,
    "preprocessing.class_names": (_are_names, "the names of at least two classes, each once"),
    "preprocessing.spellings": (_are_spellings, "the spellings of classes and how often each occurs"),
    "preprocessing.columns": _or_null((lambda value: _by_name(value, str), "the kind of each column")),
    "preprocessing.image_format": _or_null(_OBJECT),
    "data": _OBJECT,
    "data.source": _TEXT,
    "data.options": _OBJECT,
    "data.noise": _or_null(_TEXT),
    "data.test": _or_null(_TEXT),
    "data.sha256": _TEXT,
    "data.num_examples": _AT_LEAST_1,
    "data.streamed": _TRUTH,
    "data.remarks": _TEXTS,
    "data.reading": _OBJECT,
    "versions": (lambda value: _by_name(value, str, int), "the version of each package"),
    "num_processes": _AT_LEAST_1,
}
_FINISHED: dict[str, _Kind] = {
    "results": _OBJECT,
    "results.num_examples": _AT_LEAST_1,
    "results.num_classes": _AT_LEAST_1,
    "results.num_label_issues": _COUNT,
    "results.noise_rate": _or_null(_SHARE),
    "results.noise_rate_interval": (_are_ends, "its two ends in [0, 1], the lower one first"),
    "results.seconds": _NUMBER,
    "results.warnings": (lambda value: isinstance(value, list) and all(map(_has_text, value)), "a list of warnings"),
    "results.remarks": _TEXTS,
    "results.early_learning": _TOLD,
    "choice": _OBJECT,
}
_MAYBE: dict[str, _Kind] = {  # what only some runs have
    "config.max_memory": _or_null(_COUNT),
    "tuning": _TOLD,
    "results.out": _TEXT,
    "results.tuning": _TOLD,
    "results.choice": _TOLD,
    "results.expected_precision": _or_null(_SHARE),
    "choice.text": _TEXT,
}
_ALIKE = (
    ("results.num_examples", "data.num_examples", lambda value: value),
    ("results.num_classes", "preprocessing.class_names", len),
)


def when_measured(results: Mapping[str, Any]) -> str:
    """Of which networks an accuracy is, in words: those of the last epoch, or those that were chosen, whatever epoch.

    Args:
        results: of a run.

    Example:
        >>> when_measured({}), when_measured({"choice": {"text": "Settings: lam 3", "chosen": []}})
        ('after the last epoch', 'by the chosen networks together')
    """
    return "by the chosen networks together" if "choice" in results else "after the last epoch"


def odd_value(run: Mapping[str, Any], *, whole: bool = False) -> str:
    """What a run.json holds that no run wrote, in words: the first such value; "" where there is none.

    Args:
        run: the run.json, of a run under way or a finished one.
        whole: whether nothing may be missing; else what is there is looked at.

    Example:
        >>> odd_value({"status": "running", "remarks": [7]})
        'remarks is [7], expected a list of texts'
        >>> odd_value({"results": {"num_examples": 9}, "data": {"num_examples": 8}})
        'results.num_examples is 9, and data.num_examples 8'
    """
    if run.get("status", "running") not in ("running", "complete"):
        return _said("status", run["status"], "running or complete")
    for name, kind, needed in _kinds(run):
        there, value = _found(run, name)
        if not there and needed and whole:
            return f"it has no {name}"
        if there and not kind[0](value):
            return _said(name, value, kind[1])
    return _apart(run)


def _kinds(run: Mapping[str, Any]) -> Iterator[tuple[str, _Kind, bool]]:
    """The name of each value, its kind, and whether it has to be there."""
    needed = {**_WHOLE, **(_FINISHED if run.get("status") == "complete" else {})}
    known = {**_WHOLE, **_FINISHED, **_MAYBE}
    yield from ((name, kind, name in needed) for name, kind in known.items())
    results = run.get("results")
    measures = [f"results.{name}" for name in results] if isinstance(results, dict) else []
    yield from ((name, _or_null(_NUMBER), False) for name in measures if name not in known)


def _found(run: Mapping[str, Any], name: str) -> tuple[bool, Any]:
    """Whether there is a value of this name, and which; the first point parts an object from what it holds."""
    outer, _, inner = name.partition(".")
    if not inner:
        return outer in run, run.get(outer)
    part = run.get(outer)
    return isinstance(part, dict) and inner in part, part.get(inner) if isinstance(part, dict) else None


def _apart(run: Mapping[str, Any]) -> str:
    """Numbers that cannot be of the same run."""
    for name, other, of in _ALIKE:
        (there, value), (here, own) = _found(run, name), _found(run, other)
        if there and here and value != of(own):
            return f"{name} is {value}, and {other} {_short(own)}"
    results = run.get("results") or {}
    if results.get("num_label_issues", 0) > results.get("num_examples", _MOST):
        return f"results.num_label_issues is {results['num_label_issues']} of {results['num_examples']} examples"
    rate, ends = results.get("noise_rate"), results.get("noise_rate_interval", [0.0, 1.0])
    if rate is not None and ends == [None, None]:
        return f"results.noise_rate is {rate}, and results.noise_rate_interval has no ends"
    return ""


def _said(name: str, value: Any, expected: str) -> str:
    return f"{name} is {_short(value)}, expected {expected}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
