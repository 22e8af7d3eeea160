"""Suspect labels as the report embeds them: checked, clipped, and as many as its room in bytes allows."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from elr.errors import ArgumentError

MAX_THUMBNAIL_BYTES = 256 * 1024  # of one file
THUMBNAIL_ROOM = 2_500_000  # bytes of the page for all pictures, as base64
MAX_CELL = 300  # characters of one cell or text; the data have the rest
MAX_NAME = 300  # characters of a class that are shown where it is decided on
MAX_ID = 200  # characters
_TRIES = 8  # places at which names that are alike so far are looked at
FORMATS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg"}
# Control characters, lone surrogates (from undecodable file names), and overrides that would reorder the page.
UNPRINTABLE = re.compile("[\0-\b\v\f\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
# What could end the script element that holds the JSON, or must not stand in a page as it is.
_UNSAFE = re.compile(f"[<>&\u2028\u2029]|{UNPRINTABLE.pattern}")


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """One example whose given label the evidence contradicts.

    Args:
        row: row of the training set, from 0.
        id: the data's own name for it (file name, key), or None.
        given_label: class name in the data, maybe wrong.
        predicted_label: class name that the model suggests.
        label_quality: in [0, 1], low = suspect.
        thumbnail: the bytes of a small PNG or JPEG file (at most 256 KiB), or None; makes a card, not a table row.
        fields: table cells to show beside it, column name -> text.
        why: what explains it, as `elr.audit.explanation.reading.Explanation.in_short` has it, or None.

    Raises:
        ArgumentError: a negative row, a label_quality outside [0, 1], a thumbnail that is no PNG or JPEG, or too large.

    Example:
        >>> Suspect(row=7, id="a.png", given_label="cat", predicted_label="dog", label_quality=1.5)
        Traceback (most recent call last):
        elr.errors.ArgumentError: label_quality is 1.5; expected a number in [0, 1], so 0.4 for 40 %
    """

    row: int
    id: str | None
    given_label: str
    predicted_label: str
    label_quality: float
    thumbnail: bytes | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        require(self.row >= 0, f"row is {self.row}; rows are counted from 0")
        require_rate("label_quality", self.label_quality)
        if self.thumbnail is not None:
            known = any(self.thumbnail.startswith(magic) for magic in FORMATS)
            found = f"{len(self.thumbnail):,} bytes that begin with {self.thumbnail[:4]!r}"
            require(known, f"thumbnail of row {self.row} is {found}; give the bytes of a PNG or JPEG file")
            small = len(self.thumbnail) <= MAX_THUMBNAIL_BYTES
            require(small, f"thumbnail of row {self.row} is {found}; at most {MAX_THUMBNAIL_BYTES:,} fit: shrink it")


def require(condition: bool, message: str) -> None:
    """Raise an ArgumentError unless the condition holds.

    Example:
        >>> require(2 > 3, "2 is not above 3; give a larger number")
        Traceback (most recent call last):
        elr.errors.ArgumentError: 2 is not above 3; give a larger number
    """
    if not condition:
        raise ArgumentError(message)


def require_rate(name: str, value: float) -> None:
    """Raise an ArgumentError unless the value is in [0, 1].

    Example:
        >>> require_rate("noise_rate", 40)
        Traceback (most recent call last):
        elr.errors.ArgumentError: noise_rate is 40; expected a number in [0, 1], so 0.4 for 40 %
    """
    require(0 <= value <= 1, f"{name} is {value}; expected a number in [0, 1], so 0.4 for 40 %")


def clip(text: object, limit: int) -> str:
    """First `limit` characters, the last of them an ellipsis where something was cut.

    Example:
        >>> clip("a long name", 7), clip("short", 7)
        ('a long…', 'short')
    """
    whole = str(text)
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"


def brief(text: object, limit: int) -> str:
    """The beginning and the end of a long name of a row: a path ends in the name of its file.

    Example:
        >>> brief("a folder of a long name/cat.png", 15), brief("cat.png", 15)
        ('a f…ame/cat.png', 'cat.png')
    """
    whole, head = str(text), limit // 5
    return whole if len(whole) <= limit else f"{whole[:head]}…{whole[head + 1 - limit :]}"


def told_apart(names: Sequence[str], limit: int) -> dict[str, str]:
    """Names of classes in at most `limit` characters each, no two alike: cut in the middle, or up to where they differ.

    Args:
        names: all of them, also the short ones, which stay as they are.
        limit: at least 12.

    Returns:
        Name -> what stands for it.

    Example:
        >>> told_apart(["Tools and hardware: hammers", "Tools and hardware: saws", "Toys"], 16).values()
        dict_values(['Tools an…hammers', 'Tools an…e: saws', 'Toys'])
        >>> told_apart(["a" * 20 + "1" + "b" * 20, "a" * 20 + "2" + "b" * 20], 16).values()
        dict_values(['aaaa…aa1bbbbbbb…', 'aaaa…aa2bbbbbbb…'])
    """
    whole = list(dict.fromkeys(names))
    short = {name: name for name in whole if len(name) <= limit}
    taken = set(short.values())
    found = _cut([name for name in whole if name not in short], limit)
    for number, name in enumerate(whole):
        if name in short:
            continue
        text = found[name]
        if text in taken:  # cut alike for all that was tried: the number of the class says which
            mark = f"… ({number})"
            text = name[: limit - len(mark)] + mark
        short[name] = text
        taken.add(text)
    return {name: short[name] for name in whole}


def _cut(names: Sequence[str], limit: int) -> dict[str, str]:
    """Names that are too long, cut; those that are alike then are cut where they differ."""
    found = {name: _in_the_middle(name, limit) for name in names}
    for _ in range(_TRIES):
        groups: dict[str, list[str]] = {}
        for name, text in found.items():
            groups.setdefault(text, []).append(name)
        alike = [group for group in groups.values() if len(group) > 1]
        changed = {
            name: _around(name, place, limit) for group in alike for place in [_parting(group)] for name in group
        }
        if not changed:
            break
        found |= changed
    return found


def _parting(names: Sequence[str]) -> int:
    """The first place at which names differ."""
    first, last = min(names), max(names)  # all others lie between these
    return next((place for place, (one, two) in enumerate(zip(first, last, strict=False)) if one != two), len(first))


def _in_the_middle(name: str, limit: int) -> str:
    tail = (limit - 1) // 2
    return f"{name[: limit - 1 - tail]}…{name[-tail:]}"


def _around(name: str, place: int, limit: int) -> str:
    """The beginning of a name, and what stands around a place in it."""
    head = name[: limit // 4]
    start = min(max(len(head), place - 2), max(len(head), len(name) - (limit - len(head) - 1)))
    room = limit - len(head) - 1
    rest = name[start:]
    return f"{head}…{rest if len(rest) <= room else rest[: room - 1] + '…'}"


def embedded(
    suspects: Sequence[Suspect], *, class_names: Sequence[str], key: Sequence[object], room: int, run: str = ""
) -> str:
    r"""The JSON that the page's script reads: all suspects if they fit, the worst with pictures, then cells, then whys.

    Class names stand in full, since decisions are exported with them; ids and cells are clipped.

    Args:
        suspects: the worst first.
        class_names: C names, in the order of the classes.
        key: what tells this run from others; a digest of it names the decisions that a browser keeps.
        room: bytes that the JSON may have.
        run: the name of the run, which exported decisions bear.

    Returns:
        An object with key, run, classes (C), names (theirs and any others that suspects have), short (place in names ->
        what is shown for a name that is too long for a card), columns, and rows:
        [row, id, given, predicted, quality, picture, cells, why], where given and predicted are places in names, a
        picture is base64, and why is as in `Suspect`; 0 or nothing where one of these did not fit. Safe inside a script
        element: `<`, `>`, `&`, line separators and all that reorders text are escaped.

    Example:
        >>> worst = Suspect(row=7, id=None, given_label="</script>", predicted_label="b", label_quality=0.25)
        >>> text = embedded([worst], class_names=["</script>", "b"], key=["a run"], room=1000)
        >>> "<" in text, json.loads(text)["rows"]
        (False, [[7, None, 0, 1, 0.25]])
    """
    places = {name: place for place, name in reversed(list(enumerate(class_names)))}
    names = list(class_names)
    for suspect in suspects:
        for name in (suspect.given_label, suspect.predicted_label):
            if name not in places:
                places[name] = len(names)
                names.append(name)
    columns = list(dict.fromkeys(name for suspect in suspects for name in suspect.fields))
    about: dict[str, Any] = {
        "key": hashlib.sha256(repr(list(key)).encode("utf-8", "backslashreplace")).hexdigest()[:20],
        "run": run,
    }
    told = told_apart(names, MAX_NAME)
    short = {str(place): told[name] for place, name in enumerate(names) if told[name] != name}
    about |= {"classes": len(class_names), "names": names, "short": short}
    head = safe_json(about | {"columns": [clip(c, 100) for c in columns]})
    left = room - _size(head) - 20
    rows = []
    for suspect in suspects:
        id_ = None if suspect.id is None else brief(suspect.id, MAX_ID)
        given, predicted = places[suspect.given_label], places[suspect.predicted_label]
        row = safe_json([suspect.row, id_, given, predicted, round(suspect.label_quality, 4)])[:-1]
        left -= _size(row) + 8  # bracket and commas, and zeros for no picture and no cells
        if left < 0:
            break
        rows.append(row)
    pieces = ((_pictures(suspects), THUMBNAIL_ROOM), (_cells(suspects, columns), room), (_whys(suspects), room))
    for attach, most in pieces:
        left = _attach(rows, attach, room=min(left, most), left=left)
    return f'{head[:-1]},"rows":[{",".join(_closed(row) for row in rows)}]}}'


def _attach(rows: list[str], pieces: Iterator[str], *, room: int, left: int) -> int:
    """Append a piece to each row until the room is used up; returns what is left."""
    for place, piece in zip(range(len(rows)), pieces, strict=False):
        size = _size(piece)
        fits = size <= room
        rows[place] += f",{piece if fits else 0}"
        room, left = (room - size, left - size) if fits else (0, left)
    return left


def _pictures(suspects: Sequence[Suspect]) -> Iterator[str]:
    for suspect in suspects:
        yield "0" if suspect.thumbnail is None else f'"{base64.b64encode(suspect.thumbnail).decode("ascii")}"'


def _cells(suspects: Sequence[Suspect], columns: Sequence[str]) -> Iterator[str]:
    for suspect in suspects:
        cells = [clip(suspect.fields.get(name, ""), MAX_CELL) for name in columns]
        yield safe_json(cells) if any(cells) else "0"


def _whys(suspects: Sequence[Suspect]) -> Iterator[str]:
    for suspect in suspects:
        yield safe_json(suspect.why) if suspect.why else "0"


def _closed(row: str) -> str:
    return row.removesuffix(",0").removesuffix(",0").removesuffix(",0") + "]"


def safe_json(value: object) -> str:
    r"""JSON that may stand inside a script element of a page.

    Example:
        >>> print(safe_json(["</script>&"]))
        ["\u003c/script\u003e\u0026"]
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))
