"""Classes that are most likely one, written in several ways: nothing is merged, it is said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from elr.data.labels.spelling import Label

_SHOWN = 5
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")
_JOINT = re.compile(r"(?<=[^\W\d_])[\s_-]+(?=[^\W\d_])")  # between two letters
_AROUND = " \t\"'\u2018\u2019\u201c\u201d`"
_BEHIND = ".,;:"
_NUMBER = re.compile(r"(?P<sign>[+-]?)(?P<whole>[0-9]{1,15})([.,](?P<behind>[0-9]{1,15}))?", re.ASCII)
_LETTERS = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0430\u0435\u043e\u0440\u0441\u0443\u0445"
    "\u0406\u0456\u0408\u0458\u0405\u0455\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7\u03bf",
    "ABEKMHOPCTXaeopcyxIiJjSsABEHIKMNOPTXo",
)
"""Cyrillic and Greek letters that look as Latin ones do."""
_SHORT = {"y": "yes", "n": "no", "t": "true", "m": "male", "pos": "positive", "neg": "negative", "neu": "neutral"}
_SHORT_F = {"true": "false", "male": "female"}  # what "f" is short for, beside which class
_TRUE, _FALSE = {"true", "yes", "1", "on"}, {"false", "no", "0", "off"}


def lookalikes(names: Iterable[Label]) -> list[str]:
    """A remark on each group of classes that seem to be one: Cat and cat, non-toxic and non_toxic, Y and Yes, 1 and 01.

    Args:
        names: of all classes.

    Example:
        >>> for remark in lookalikes(["Yes", "yes", "no"]):
        ...     print(remark)
        classes 'Yes', 'yes' look like one in several spellings, and were taken for different ones: mend the labels ...
        >>> lookalikes(["A", "A+", "A-", "1-2", "12"])
        []
    """
    keys = {name: _key(str(name)) for name in names}
    there = set(keys.values())
    longer = {short: word for short, word in _SHORT.items() if word in there}
    longer |= dict([("f", word) for other, word in _SHORT_F.items() if {word, other} <= there][:1])
    keys = {name: longer.get(key, key) for name, key in keys.items()}
    truths = {key: str(key in _TRUE) for key in keys.values() if key in _TRUE | _FALSE}
    if len(truths) > 2 and len(truths) == len(set(keys.values())):
        keys = {name: truths[key] for name, key in keys.items()}
    groups: dict[str, list[str]] = {}
    for name, key in keys.items():
        groups.setdefault(key, []).append(_shown(str(name)))
    several = [group for group in groups.values() if len(group) > 1]
    said = [
        f"classes {', '.join(group)} look like one in several spellings, and were taken for different ones: mend the "
        "labels if they are one"
        for group in several[:_SHOWN]
    ]
    return said + [f"the like for {len(several) - _SHOWN} more"] * (len(several) > _SHOWN)


def _key(name: str) -> str:
    """What names have in common that people take for one."""
    text = unicodedata.normalize("NFKC", name).translate(_LETTERS).casefold()
    text = _DASHES.sub("-", text).strip(_AROUND)
    text = _JOINT.sub("", " ".join(text.split()))
    text = text.rstrip(_BEHIND) or text
    number = _NUMBER.fullmatch(text)
    if not number:
        return text
    behind = (number["behind"] or "").strip("0") and number["behind"]  # 1,0 is 1, but 1.10 need not be 1.1
    return f"{number['sign'].strip('+')}{int(number['whole'])}" + (f".{behind}" if behind else "")


def _shown(name: str) -> str:
    """A name with the codes of letters that look as Latin ones do, and of dashes that are none of the keyboard's."""
    odd = "".join(ascii(letter)[1:-1] if _odd(letter) else letter for letter in name)
    return repr(name) if odd == name else f"{name!r} ({odd})"


def _odd(letter: str) -> bool:
    return letter.translate(_LETTERS) != letter or bool(_DASHES.match(letter))
