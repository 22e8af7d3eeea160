"""JSON lines: a table with an object in each line, its keys the columns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elr.data.dialects.encodings import read_text
from elr.data.formats.format import Changes, SpelledLabels
from elr.data.formats.table import ParsedTable, TableFile
from elr.data.records import TABLE, ReadOptions, Records
from elr.errors import DataError, RowError
from elr.names import printable

_BLANK = b"\xef\xbb\xbf \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
_LARGEST = 10**308  # as numbers with a fraction go
_EXACT = 2**53  # up to which a float holds every whole number


class JsonLines(TableFile, SpelledLabels):
    """A table as JSON, an object a line in UTF-8; blank lines count for nothing, a key that a line lacks is missing.

    A file that is one array of objects, as .json files often are, is read alike. Values keep their types, as in
    Parquet: 12 is a number and "12" is text. The standard library reads them, since readers that guess the type of a
    whole column round integers above 2^53 and turn text that looks like a date.

    Args:
        suffixes: of such files.

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

    def __init__(self, suffixes: tuple[str, ...] = (".jsonl", ".ndjson", ".json")) -> None:
        self.suffixes = suffixes

    def recognizes(self, data: object) -> bool:
        return isinstance(data, str | Path) and Path(data).name.lower().removesuffix(".gz").endswith(self.suffixes)

    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        del as_written  # values have types
        text = read_text(path, options.encoding)
        objects = _objects(text.content, path)
        rows = [_object(each, line, path) for _, line, each in objects]
        if not rows:
            raise DataError(f"{path} is empty: expected a JSON object in each line")
        if len(rows) == 1:
            _refuse_whole_table(rows[0], path)
        columns = dict.fromkeys(key for row in rows for key in row)
        labels = {options.label, options.clean_label, *options.annotators, "label" if options.annotations else None}
        for name in as_text:
            if name in columns and name not in labels:  # of labels, all spellings are one class
                _refuse_two_of_one_spelling([row.get(name) for row in rows], name, path)
        try:
            cells = {name: typed_column([row.get(name) for row in rows], name, str(path)) for name in columns}
        except RowError as error:
            raise error.located(lambda row: (str(path), objects[row][1], "")) from error
        frame = pd.DataFrame(cells, range(len(rows)))
        lines = text.content.count(b"\n") + bool(text.content and not text.content.endswith(b"\n"))
        facts = {"lines": lines, "rows": len(rows), "encoding": text.encoding}
        if not _is_array(text.content):
            facts["blank_lines"] = lines - len(rows)
        return ParsedTable(frame=frame, facts=facts, remarks=text.remarks)

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        path = Path(data)
        if not training and path.is_file() and not path.read_bytes().strip(_BLANK):
            return Records(kind=TABLE, rows=np.arange(0))  # nothing to predict
        return super().read(path, options, training=training, annotations=annotations)

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """Only the labels of changed rows are written anew, as other rows spell them; all else stays as it is."""
        self.copy_labels(source, target, options, changes)

    def spelled(self, source: Path, options: ReadOptions, rows: Sequence[int]) -> dict[int, bytes]:
        objects = _objects(read_text(source, options.encoding).content, source)
        texts = {row: objects[row][2] for row in rows}
        return {row: text[_place(text, options.label or "")].encode("utf-8") for row, text in texts.items()}

    def write_spelled(self, source: Path, target: Path, options: ReadOptions, labels: Mapping[int, bytes]) -> None:
        text = read_text(source, options.encoding)
        objects = _objects(text.content, source)
        pieces, done = [], 0
        for row, label in sorted(labels.items()):
            start, _, old = objects[row]
            place = _place(old, options.label or "")
            first, last = (start + len(old[:end].encode("utf-8")) for end in (place.start, place.stop))
            pieces += [text.content[done:first], label]
            done = last
        target.write_bytes(text.encode(b"".join([*pieces, text.content[done:]])))

    def line_of(self, source: Path, options: ReadOptions, row: int) -> tuple[str, int, str]:
        return printable(source), _objects(read_text(source, options.encoding).content, source)[row][1], ""

    def joined(self, frames: Sequence[pd.DataFrame], place: str) -> pd.DataFrame:
        given = {name: [value for frame in frames for value in frame[name].tolist()] for name in frames[0].columns}
        cells = {name: [None if value != value else value for value in column] for name, column in given.items()}
        return pd.DataFrame({name: typed_column(column, name, place) for name, column in cells.items()})


def _refuse_whole_table(row: dict[str, Any], path: Path) -> None:
    """Refuse one object that holds a whole table, as pandas writes by default."""
    by_column = len(row) > 1 and all(isinstance(value, dict) for value in row.values())
    if by_column or {"columns", "data"} <= row.keys():
        raise DataError(
            f"{path} holds a whole table in one object, as pandas' to_json writes it: expected an object for each row; "
            "write it with to_json(..., orient='records', lines=True)"
        )


def _is_array(content: bytes) -> bool:
    return content[:1000].lstrip().startswith(b"[")


def _objects(content: bytes, path: Path) -> list[tuple[int, int, str]]:
    """The text of each object, with the byte where it begins and the number of its line from 1.

    They stand in lines, of which only a line feed ends one, as text may hold others; or all in one array.
    """
    if _is_array(content):
        return _array_items(content.decode("utf-8"), path)
    objects, start = [], 0
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip(b" \t\r"):
            objects.append((start, number, line.decode("utf-8")))
        start += len(line) + 1
    return objects


def _array_items(text: str, path: Path) -> list[tuple[int, int, str]]:
    """The text of each item of an array."""
    decoder, items = json.JSONDecoder(), []
    position, line, counted, offset = _after(text, _after(text, 0) + 1), 1, 0, 0
    try:
        while text[position] != "]":
            _, end = decoder.raw_decode(text, position)
            line += text.count("\n", counted, position)
            offset += len(text[counted:position].encode("utf-8"))
            counted = position
            items.append((offset, line, text[position:end]))
            position = _after(text, end)
            if text[position] == ",":
                position = _after(text, position + 1)
            elif text[position] != "]":
                raise ValueError(f"Expecting ',' or ']': char {position}")
        if _after(text, position + 1) < len(text):
            raise ValueError(f"Extra data: char {position + 1}")
    except (ValueError, IndexError, RecursionError) as error:
        raise DataError(
            f"{path} begins as an array of JSON and is damaged after line {line} ({error}): expected an array of "
            "objects, or an object in each line"
        ) from error
    return items


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
        hint = ""
        if line == 1 and path.suffix.lower() == ".json":
            hint = ", or one array of objects in the file (in pandas: to_json(..., orient='records'))"
        what = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
        raise DataError(f"{place} is damaged ({what}): expected one whole JSON object in each line{hint}") from error
    if not isinstance(content, dict):
        raise DataError(f"{place} is {text.strip()[:40]}: expected a JSON object, such as {{'x': 1.5, 'y': 'cat'}}")
    return content


def typed_column(values: list[Any], name: str, place: str) -> pd.Series:
    """Values of one column under the type that they share; whole numbers stay whole where some are missing.

    Args:
        values: of all rows, None where there is none.
        name: of the column, for messages.
        place: likewise, the file.

    Raises:
        DataError: a number that no computer's number can be.

    Example:
        >>> typed_column([1, None, 2**60 + 1], "x", "t.jsonl").tolist()
        [1, None, 1152921504606846977]
    """
    huge = next((row for row, value in enumerate(values) if type(value) is int and abs(value) > _LARGEST), None)
    if huge is not None:
        raise RowError(
            f"column {name!r} of {place} has a whole number of {len(str(abs(values[huge])))} digits in ",
            [huge],
            ": expected numbers below 1e308; write it as text if it is a code",
        )
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
