"""Arguments of wrong types, refused in words: what was found, what was expected; plain values for what NumPy has.

The annotations say what is expected. What they say of arrays and tensors is left to whoever takes them.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from types import GenericAlias
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from elr.errors import ArgumentError

_Function = TypeVar("_Function", bound=Callable[..., Any])
_WORDS = {"bool": "True or False", "int": "an integer", "float": "a number", "str": "text", "Path": "a path"}
_ITEMS = {"tuple[int, ...]": "int", "tuple[str, ...]": "str", "tuple[float, ...]": "float"}


def checked_array(values: Any, name: str, kinds: str) -> NDArray[Any]:
    """An array of numbers.

    Args:
        values: what NumPy takes for one.
        name: what messages call it.
        kinds: NumPy's letters of what is allowed: "iu" are integers, "iuf" numbers, with "b" truth values too.

    Raises:
        ArgumentError: rows that differ in length, masked values, or anything else than these.

    Example:
        >>> checked_array([1, 2], "labels", "iu")
        array([1, 2])
        >>> checked_array("x", "labels", "iu")
        Traceback (most recent call last):
        elr.errors.ArgumentError: labels has dtype <U1; expected integers; convert it first
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        masked = np.ma.getmaskarray(values)
        raise ArgumentError(
            f"{name} has {int(masked.sum())} masked values, first in row {np.argwhere(masked)[0][0]}; expected a value "
            "everywhere; fill them (.filled(...)) or leave these rows out"
        )
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError(f"{name} is no array ({error}); expected equally long rows; pass a NumPy array") from error
    if array.size and array.dtype.kind not in kinds:
        expected = "numbers" if "f" in kinds else "integers"
        raise ArgumentError(f"{name} has dtype {array.dtype}; expected {expected}; convert it first")
    return array


def check_types(config: Any, *only: str) -> None:
    """Hold the values of a dataclass to its annotations, for `__post_init__`; those of NumPy become plain ones.

    Args:
        config: the dataclass.
        only: the fields to look at. Default: all.

    Raises:
        ArgumentError: a value of another type.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Dose:
        ...     amount: float
        ...
        ...     __post_init__ = check_types
        >>> Dose(np.float64(0.5))
        Dose(amount=0.5)
        >>> Dose("much")
        Traceback (most recent call last):
        elr.errors.ArgumentError: amount is 'much': expected a number
    """
    for each in fields(config):
        if only and each.name not in only:
            continue
        value = getattr(config, each.name)
        annotation = each.type if isinstance(each.type, str) else getattr(each.type, "__name__", "")
        names = vars(sys.modules[type(config).__module__])
        plain = checked_value(each.name, value, annotation, names)
        if plain is not value:
            object.__setattr__(config, each.name, plain)


def check_ranges(config: Any, ranges: Mapping[str, tuple[object, str]]) -> None:
    """Refuse the first value of a dataclass that is out of its range, for `__post_init__`.

    Args:
        config: the dataclass.
        ranges: by field, whether its value is in range, and what is expected.

    Raises:
        ArgumentError: the field, its value, and what is expected.

    Example:
        >>> from types import SimpleNamespace
        >>> check_ranges(SimpleNamespace(rate=1.5), {"rate": (False, "a share in [0, 1]")})
        Traceback (most recent call last):
        elr.errors.ArgumentError: rate is 1.5: expected a share in [0, 1]
    """
    for name, (holds, expected) in ranges.items():
        if not holds:
            raise ArgumentError(f"{name} is {getattr(config, name)!r}: expected {expected}")


def checked(function: _Function) -> _Function:
    """A function whose arguments are held to its annotations before it is called.

    Example:
        >>> @checked
        ... def halved(count: int) -> float:
        ...     return count / 2
        >>> halved(np.int32(3))
        1.5
        >>> halved(None)
        Traceback (most recent call last):
        elr.errors.ArgumentError: count is None: expected an integer
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__qualname__}(): {error}") from None
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            single = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if single and isinstance(parameter.annotation, str):
                bound.arguments[name] = checked_value(name, value, parameter.annotation, function.__globals__)
        return function(*bound.args, **bound.kwargs)

    return call  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def checked_value(name: str, value: Any, annotation: str, names: Mapping[str, Any]) -> Any:
    """The value if it is of a type that the annotation names, a plain one for one of NumPy or a path.

    Args:
        name: what messages call it.
        value: of any type.
        annotation: as it is written in the source, such as "int | None".
        names: what the words of the annotation mean; those that mean nothing here are left alone.

    Raises:
        ArgumentError: none of these types.

    Example:
        >>> checked_value("hidden", 64, "tuple[int, ...]", {})
        (64,)
        >>> checked_value("seed", 3.7, "int | None", {})
        Traceback (most recent call last):
        elr.errors.ArgumentError: seed is 3.7: expected an integer or None
    """
    options = _split(annotation)
    plain = value.item() if isinstance(value, np.generic) else value
    unknown = False
    for option in options:
        if option in _ITEMS:
            found = _items(name, plain, _ITEMS[option], names, annotation)
            if found is not None:
                return found
        else:
            known, fits = _fits(plain, option, names)
            if fits:
                return os.fspath(plain) if option == "str" else plain
            unknown |= not known
    if unknown:
        return value
    raise _refused(name, value, options)


def refuse_unlike(present: Any, stored: Any, name: str) -> None:
    """Refuse a state whose values are of other types than those that the same part has now.

    Numbers of a tensor may have another width: some parts widen them when they need it.

    Args:
        present: of the part that is to go on.
        stored: from a file.
        name: of the part, for the message.

    Raises:
        ValueError: names the value.

    Example:
        >>> refuse_unlike({"epoch": 0, "kept": []}, {"epoch": 3, "kept": [0.5]}, "state")
        >>> refuse_unlike({"epoch": 0}, {"epoch": "3"}, "state")
        Traceback (most recent call last):
        ValueError: state.epoch is str, expected int
    """
    import torch  # seconds, which most of what is checked here need not wait for
    from torch import Tensor

    if present is None:
        return
    kinds = {bool: bool, int: (int, float), float: (int, float), list: (list, tuple), tuple: (list, tuple)}
    kind = next((each for each in (Tensor, dict) if isinstance(present, each)), kinds.get(type(present), type(present)))
    if not isinstance(stored, kind) or type(stored) is bool is not type(present):
        raise ValueError(f"{name} is {type(stored).__name__}, expected {type(present).__name__}")
    if isinstance(present, Tensor):
        types = {present.dtype, stored.dtype}
        widths = {torch.int16, torch.int32, torch.int64}, {torch.float32, torch.float64}
        alike = len(types) == 1 or any(types <= each for each in widths)
        if not alike or present.shape != stored.shape:
            raise ValueError(
                f"{name} is {stored.dtype} {tuple(stored.shape)}, expected {present.dtype} {tuple(present.shape)}"
            )
    elif isinstance(present, dict):
        if apart := sorted(map(str, present.keys() ^ stored.keys())):
            raise ValueError(f"{name} has {', '.join(apart)} on one side only")
        for key, value in present.items():
            refuse_unlike(value, stored[key], f"{name}.{key}")
    elif isinstance(present, list | tuple) and len(present) == len(stored):
        for place, value in enumerate(present):
            refuse_unlike(value, stored[place], f"{name}.{place}")


def _refused(name: str, value: Any, options: list[str]) -> ArgumentError:
    shown = " ".join(repr(value).split())
    expected = " or ".join(_WORDS.get(option, option) for option in options)
    return ArgumentError(f"{name} is {shown if len(shown) <= 200 else shown[:200] + '...'}: expected {expected}")


def _items(name: str, value: Any, item: str, names: Mapping[str, Any], annotation: str) -> tuple[Any, ...] | None:
    if item != "str" and isinstance(value, int | float) and not isinstance(value, bool):
        value = (value,)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, str | bytes | Mapping | set | frozenset) or not isinstance(value, Iterable):
        return None
    try:
        return tuple(checked_value(name, each, item, names) for each in value)
    except TypeError:  # it says that it can be gone through, and cannot
        raise _refused(name, value, _split(annotation)) from None


def _fits(value: Any, option: str, names: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether this type can be judged, and whether the value is of it."""
    if option == "None":
        return True, value is None
    if option in ("int", "float"):
        kinds = (int,) if option == "int" else (int, float)
        return True, isinstance(value, kinds) and not isinstance(value, bool)
    if option == "bool":
        return True, isinstance(value, bool)
    if option == "str":
        return True, isinstance(value, str | os.PathLike)
    outer = option.split("[")[0]
    if outer == "Any":
        return True, True
    if outer == "Mapping":
        return True, isinstance(value, Mapping)
    if outer == "Callable":
        return True, callable(value)
    if outer == "Sequence":
        ordered = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        return True, ordered and not isinstance(value, str | bytes | Mapping)
    if outer == "tuple":
        items = [item.strip() for item in option[len("tuple[") : -1].split(",")]
        return True, isinstance(value, tuple | list) and len(value) == len(items) and all(
            _fits(each.item() if isinstance(each, np.generic) else each, item, names)[1]
            for each, item in zip(value, items, strict=True)
        )
    meaning: Any = names.get(outer.split(".")[0])
    for word in outer.split(".")[1:]:
        meaning = getattr(meaning, word, None)
    known = isinstance(meaning, type) and not isinstance(meaning, GenericAlias)  # which Python 3.10 takes for a type
    return known, known and isinstance(value, meaning)


def _split(annotation: str) -> list[str]:
    """The alternatives of an annotation, at its top level."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(annotation):
        depth += (letter == "[") - (letter == "]")
        if letter == "|" and not depth:
            parts.append(annotation[start:place].strip())
            start = place + 1
    return [*parts, annotation[start:].strip()]
