"""JSON lines: a table with an object in each line, its keys the columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elr.data.formats.format import Changes
from elr.data.formats.table import ParsedTable, TableFile
from elr.data.records import TABLE, ReadOptions, Records
from elr.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EXACT = 2**53  # up to which a float holds every whole number


class JsonLines(TableFile):
    """A table as JSON, an object a line in UTF-8; blank lines count for nothing, a key that a line lacks is missing.

    Values keep their types, as in Parquet: 12 is a number and "12" is text. The standard library reads them, since
    readers that guess the type of a whole column round integers above 2^53 and turn text that looks like a date.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     old, new = Path(folder, "t.jsonl"), Path(folder, "new.jsonl")
        ...     _ = old.write_text('{"x": 1.50, "y": "cat"}\\n{"y":"dog", "x":2}\\n')
        ...     print(JsonLines().frame(old))
        ...     JsonLines().write_corrected(old, new, ReadOptions(label="y"), {0: 1})
        ...     print(new.read_text(), end="")
             x    y
        0  1.5  cat
        1  2.0  dog
        {"x": 1.50, "y": "dog"}
        {"y":"dog", "x":2}
    """

    suffixes = (".jsonl", ".ndjson")

    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        del as_written  # values have types
        rows = [_object(text, line, path) for line, text in _lines(path)]
        if not rows:
            raise DataError(f"{path} is empty: expected a JSON object in each line")
        columns = dict.fromkeys(key for row in rows for key in row)
        labels = {options.label, options.clean_label, *options.annotators, "label" if options.annotations else None}
        for name in as_text:
            if name in columns and name not in labels:  # of labels, all spellings are one class
                _refuse_two_of_one_spelling([row.get(name) for row in rows], name, path)
        frame = pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in columns}, range(len(rows)))
        return ParsedTable(frame=frame)

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        path = Path(data)
        if not training and path.is_file() and next(_lines(path), None) is None:
            return Records(kind=TABLE, rows=np.arange(0))  # nothing to predict
        return super().read(path, options, training=training, annotations=annotations)

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """Only the labels of changed rows are written anew, as other rows spell them; all else stays as it is."""
        label, wanted = options.label or "", set(changes.values())
        texts = (text for _, text in _lines(source))
        spellings = {row: text[_place(text, label)] for row, text in enumerate(texts) if row in wanted}
        with source.open("rb") as lines, target.open("wb") as out:
            row = 0
            for content in lines:
                blank = not content.removeprefix(_BYTE_ORDER_MARK).strip()
                if row in changes and not blank:
                    text = content.decode("utf-8")
                    place = _place(text, label)
                    content = (text[: place.start] + spellings[changes[row]] + text[place.stop :]).encode("utf-8")
                row += not blank
                out.write(content)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1; only a line feed ends one, as text may hold others."""
    with path.open("rb") as lines:
        for number, content in enumerate(lines, 1):
            text = (content.removeprefix(_BYTE_ORDER_MARK) if number == 1 else content).decode("utf-8")
            if text.strip(" \t\r\n"):
                yield number, text


def _object(text: str, line: int, path: Path) -> dict[str, Any]:
    """The object in a line, of which nothing is guessed or dropped."""
    place = f"line {line} of {path}"

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{place} has the key {twice!r} twice: expected each key once")
        return content

    def refuse(word: str) -> Any:
        raise DataError(f"{place} has {word}, which is not JSON: expected a number, or null where there is none")

    try:
        content = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
        if "\\u" in text:
            json.dumps(content, ensure_ascii=False).encode("utf-8")  # half of a pair of surrogates is no character
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is damaged ({error}): expected one whole JSON object in each line") from error
    if not isinstance(content, dict):
        raise DataError(f"{place} is {text.strip()[:40]}: expected a JSON object, such as {{'x': 1.5, 'y': 'cat'}}")
    return content


def _column(values: list[Any]) -> pd.Series:
    """Values of one column under the type that they share; whole numbers stay whole where some are missing."""
    column = pd.Series(values, dtype=object)
    gaps = any(value is None for value in values) and any(type(value) is int for value in values)
    rounded = any(type(value) is int and abs(value) > _EXACT for value in values)  # beside fractions
    return column if gaps or rounded else column.infer_objects()


def _refuse_two_of_one_spelling(values: list[Any], name: str, path: Path) -> None:
    """Refuse names such as 1 beside "1": they would become one."""
    kinds: dict[str, type] = {}
    for value in values:
        if value is not None and kinds.setdefault(str(value), type(value)) is not type(value):
            raise DataError(
                f"column {name!r} of {path} has {json.dumps(str(value))} as text and as another value: write all of "
                "them as text, or none"
            )


def _place(text: str, key: str) -> slice:
    """Where the value of a key stands in a line that holds an object with it."""
    decoder = json.JSONDecoder()
    position = text.index("{") + 1
    while True:
        name, position = decoder.raw_decode(text, _after(text, position))
        start = _after(text, _after(text, position) + 1)  # behind the colon
        _, position = decoder.raw_decode(text, start)
        if name == key:
            return slice(start, position)
        position = _after(text, position) + 1  # behind the comma


def _after(text: str, position: int) -> int:
    """The next position that is no white space."""
    found = _SPACE.match(text, position)
    assert found is not None
    return found.end()
