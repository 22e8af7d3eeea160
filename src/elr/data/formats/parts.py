"""A folder of the parts of one table, as Spark, Hive and the Hugging Face hub write them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa

from elr.data.formats.format import Changes, SpelledLabels, TypedColumns
from elr.data.formats.table import ParsedTable, TableFile
from elr.data.labels.columns import some
from elr.data.pictures.decoding import IMAGE_SUFFIXES
from elr.data.records import ReadOptions, Records
from elr.errors import DataError
from elr.names import printable

_MOST_SEEN = 1000  # files that are looked at to tell what a folder holds
_STALE = {"_metadata", "_common_metadata"}  # they describe the parts as they were
_NULL = "__HIVE_DEFAULT_PARTITION__"
_NUMBERING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+")
_SUMMED = ("lines", "blank_lines", "quoted_line_breaks", "lines_before_rows")


class PartsFolder(TableFile):
    """A folder of Parquet, Feather, CSV, TSV or JSON-lines files that are parts of one table, in order of their names.

    Subfolders are taken for partitions if they are called KEY=VALUE, which makes a column of the key. Files whose names
    begin with _ or a dot are none of the table.

    Args:
        forms: of the parts: each is a `SpelledLabels` or a `TypedColumns` too.

    Example:
        >>> import tempfile
        >>> from elr.data.formats.catalog import FORMATS
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for number, label in enumerate(["cat", "dog"]):
        ...         frame = pd.DataFrame({"x": [number], "y": [label]})
        ...         frame.to_parquet(Path(root, f"part-{number}.parquet"))
        ...     FORMATS["parts"].labels(Path(root), ReadOptions(label="y"))
        ['cat', 'dog']
    """

    def __init__(self, forms: Sequence[TableFile]) -> None:
        self.forms = tuple(forms)

    def recognizes(self, data: object) -> bool:
        if not (isinstance(data, str | Path) and Path(data).is_dir()):
            return False
        found = False
        for number, path in enumerate(_walk(Path(data))):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                return False
            found = found or self._form(path) is not None
            if number > _MOST_SEEN:
                break
        return found

    def memory_needed(self, path: Path) -> int:
        paths, form = self.parts(path)
        return sum(map(form.memory_needed, paths))

    def table(
        self,
        path: Path,
        options: ReadOptions = ReadOptions(),  # noqa: B008  # it is frozen
        *,
        as_text: Sequence[str] = (),
        as_written: bool | None = None,
    ) -> ParsedTable:
        _, form = self.parts(path)
        as_written = form.as_written if as_written is None else as_written
        return self.parse(path, options, as_text=as_text, as_written=as_written)

    def parse(self, path: Path, options: ReadOptions, *, as_text: Sequence[str], as_written: bool) -> ParsedTable:
        paths, form = self.parts(path)
        parsed: list[ParsedTable] = []
        if isinstance(form, TypedColumns):
            frame, counts = _typed(path, paths, form)
        else:
            parsed = [form.table(each, options, as_text=as_text, as_written=as_written) for each in paths]
            counts = [len(each.frame) for each in parsed]
            assert isinstance(form, SpelledLabels)
            columns = list(dict.fromkeys(name for each in parsed for name in each.frame.columns))
            for each, one in zip(paths, parsed, strict=True):
                if form.as_written:  # else a row may lack what it has no value of
                    _check_columns(path, paths[0], each, list(parsed[0].frame.columns), list(one.frame.columns))
            frame = form.joined([each.frame.reindex(columns=columns) for each in parsed], printable(path))
        frame = _with_keys(frame, path, paths, counts)
        facts: dict[str, Any] = dict(parsed[0].facts) if parsed else {}
        facts |= {name: sum(each.facts[name] for each in parsed) for name in _SUMMED if name in facts}
        facts |= {"rows": len(frame), "parts": {_name(each, path): n for each, n in zip(paths, counts, strict=True)}}
        shown = ", ".join(f"{_name(each, path)} ({n})" for each, n in zip(paths[:3], counts, strict=False))
        more = f", and {len(paths) - 3} more" if len(paths) > 3 else ""
        remark = f"{printable(path)} is read as one table of {len(paths)} files in order of their names (rows): {shown}"
        told = [each for one in parsed for each in one.remarks]
        return ParsedTable(frame=frame, facts=facts, remarks=[remark + more, *told])

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        paths, form = self.parts(Path(data))
        pictures = form.image_columns(paths[0], options) if isinstance(form, TypedColumns) else []
        if len(pictures) > 1:
            raise DataError(
                f"{printable(data)} has {len(pictures)} columns of images ({some(pictures)}): --ignore all but one"
            )
        if pictures and isinstance(form, TypedColumns):
            _check_alike(Path(data), paths, form)
            return form.read_images(
                paths, pictures[0], options, place=printable(data), training=training, annotations=annotations
            )
        return super().read(data, options, training=training, annotations=annotations)

    def line_of(self, source: Path, options: ReadOptions, row: int) -> tuple[str, int, str] | None:
        paths, form = self.parts(source)
        if isinstance(form, TypedColumns):
            return None
        for path in paths:
            count = len(form.frame(path, options))
            if row < count:
                return form.line_of(path, options, row)
            row -= count
        return None

    def parts(self, root: Path) -> tuple[list[Path], TableFile]:
        """The files of a table in a folder, in order of their names, and their format.

        Raises:
            DataError: files of several formats, several tables, or folders that are no partitions.
        """
        if not root.is_dir():
            raise DataError(f"no such folder: {printable(root)}")
        forms = {path: form for path in _walk(root) if (form := self._form(path)) is not None}
        if not forms:
            raise DataError(f"{printable(root)} holds no files of a table: expected {some(sorted(self._suffixes()))}")
        paths = _check_parts(root, forms)
        return paths, forms[paths[0]]

    def _form(self, path: Path) -> TableFile | None:
        return next((form for form in self.forms if form.recognizes(path)), None)

    def _suffixes(self) -> list[str]:
        return [suffix for form in self.forms for suffix in form.suffixes]

    def label_column(self, source: Path, options: ReadOptions) -> pd.DataFrame:
        paths, form = self.parts(source)
        if isinstance(form, TypedColumns) and form.image_columns(paths[0], options):  # which need not be read
            return pd.concat([form.label_column(each, options) for each in paths], ignore_index=True)
        return super().label_column(source, options)

    def pictures(self, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]) -> list[str] | None:
        """Those of the parts, of which only the ones that hold some of the rows are looked into."""
        paths, form = self.parts(source)
        if not (isinstance(form, TypedColumns) and form.image_columns(paths[0], options)):
            return super().pictures(source, options, rows, ids)
        found: dict[int, str] = {}
        start, last = 0, max(rows, default=-1)
        for path in paths:
            if start > last:
                break
            stop = start + len(form.label_column(path, options))
            here = [row for row in rows if start <= row < stop]
            urls = form.pictures(path, options, [row - start for row in here], []) if here else []
            found |= dict(zip(here, urls or (), strict=True))
            start = stop
        if start <= last:
            raise DataError(f"{printable(source)} has fewer rows than the run: name the data of this run with --data")
        return [found[row] for row in rows]

    def class_names(self, source: Path, label: str) -> list[str] | None:
        paths, form = self.parts(source)
        return form.class_names(paths[0], label)

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """A folder of the same parts; in each only labels change, as the format of the parts writes them."""
        paths, form = self.parts(source)
        label = options.label or ""
        if any(label in _keys(each, source) for each in paths):
            raise DataError(
                f"the labels of {printable(source)} are the names of its folders ({label}=...): rows cannot be moved "
                "between files; write the table into one file, and train again"
            )
        copies = {each: target / each.relative_to(source) for each in paths}
        for each in _walk(source, everything=True):
            new = target / each.relative_to(source)
            new.parent.mkdir(parents=True, exist_ok=True)
            if each not in copies and each.suffix != ".crc" and each.name not in _STALE:
                shutil.copyfile(each, new)
        if isinstance(form, TypedColumns):
            _write_typed(form, copies, label, changes)
        else:
            _write_spelled(form, copies, options, changes)


def _check_parts(root: Path, forms: Mapping[Path, TableFile]) -> list[Path]:
    """The files of a table in order of their names; or a DataError, if they are those of several."""
    place = printable(root)
    paths = sorted(forms, key=lambda path: path.relative_to(root).as_posix())
    first = paths[0]
    other = next((path for path in paths if forms[path] is not forms[first]), None)
    if other is not None:
        raise DataError(
            f"{place} holds tables of several formats ({_name(first, root)}, {_name(other, root)}): give one of them"
        )
    folders = sorted({part for path in paths for part in path.relative_to(root).parts[:-1] if "=" not in part})
    if folders:
        raise DataError(
            f"{place} holds tables in subfolders ({some(folders)}), which are no partitions (KEY=VALUE): give one of "
            f"them, such as {place}/{folders[0]}, another as --test"
        )
    kinds = {_NUMBERING.sub("#", path.name.lower()): path for path in reversed(paths)}
    if len(kinds) > 1:
        names = sorted(path.name for path in kinds.values())
        raise DataError(
            f"{place} holds several tables ({some(names)}): give one of them, or put the parts of one (names that "
            "differ in a number) into a folder of their own"
        )
    return paths


def _walk(root: Path, *, everything: bool = False) -> Iterator[Path]:
    """The files of a folder; without those that begin with _ or a dot, unless everything is asked for."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if everything or not name.startswith(("_", ".")))
        for name in sorted(names):
            if everything or not name.startswith(("_", ".")):
                yield Path(folder, name)


def _name(path: Path, root: Path) -> str:
    return printable(path.relative_to(root))


def _typed(root: Path, paths: list[Path], form: TypedColumns) -> tuple[pd.DataFrame, list[int]]:
    """One data frame of files with types, and the rows of each."""
    tables = [_read_typed(each, form) for each in paths]
    for path, table in zip(paths, tables, strict=True):
        _check_columns(root, paths[0], path, tables[0].column_names, table.column_names)
        for field in tables[0].schema:
            kind = table.schema.field(field.name).type
            if kind != field.type and not (pa.types.is_null(kind) or pa.types.is_null(field.type)):
                raise DataError(
                    f"column {field.name!r} is {field.type} in {_name(paths[0], root)} and {kind} in "
                    f"{_name(path, root)} of {printable(root)}: expected one type in all parts"
                )
    tables = [table.select(tables[0].column_names) for table in tables]
    whole = pa.concat_tables(tables, promote_options="default")
    return form.typed_frame(whole, printable(root)).reset_index(drop=True), [len(table) for table in tables]


def _read_typed(path: Path, form: TypedColumns) -> pa.Table:
    try:
        return form.arrow_table(path)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise DataError(
            f"{printable(path)} cannot be read ({' '.join(str(error).split())}): mend or replace it"
        ) from error


def _check_columns(root: Path, first: Path, path: Path, expected: Sequence[str], found: Sequence[str]) -> None:
    gone = [name for name in expected if name not in found] or [name for name in found if name not in expected]
    if gone:
        has, lacks = (first, path) if gone[0] in expected else (path, first)
        raise DataError(
            f"{_name(has, root)} of {printable(root)} has a column {gone[0]!r}, {_name(lacks, root)} has none: "
            "expected the same columns in all parts"
        )


def _check_alike(root: Path, paths: Sequence[Path], form: TypedColumns) -> None:
    """Refuse files of images that differ in their columns, or that lie in partitions."""
    for path in paths:
        _check_columns(root, paths[0], path, form.column_names(paths[0]), form.column_names(path))
        if _keys(path, root):
            raise DataError(
                f"{printable(root)} holds images in partitions, such as {_name(path, root)}: expected all of them in "
                "one folder; give one of its folders, or put the files together by links"
            )


def _keys(path: Path, root: Path) -> dict[str, str | None]:
    """What the names of folders say about the rows of a file."""
    pairs = (part.partition("=") for part in path.relative_to(root).parts[:-1])
    return {unquote(key): None if value == _NULL else unquote(value) for key, _, value in pairs}


def _with_keys(frame: pd.DataFrame, root: Path, paths: list[Path], counts: list[int]) -> pd.DataFrame:
    """The columns that folders stand for, as whole numbers if all are that."""
    known = [_keys(path, root) for path in paths]
    for name in dict.fromkeys(key for each in known for key in each):
        if name in frame.columns:
            continue
        values = [each.get(name) for each, count in zip(known, counts, strict=True) for _ in range(count)]
        whole = all(value is not None and re.fullmatch(r"-?(0|[1-9]\d{0,17})", value) for value in values)
        frame = frame.assign(**{name: [int(value or 0) for value in values] if whole else values})
    return frame


def _write_typed(form: TypedColumns, copies: dict[Path, Path], label: str, changes: Changes) -> None:
    columns = [form.arrow_column(path, label) for path in copies]
    whole = pa.chunked_array([chunk for column in columns for chunk in column.chunks])
    corrected, start = form.corrected(whole, changes), 0
    for (source, target), column in zip(copies.items(), columns, strict=True):
        form.write_column(source, target, label, corrected.slice(start, len(column)))
        start += len(column)


def _write_spelled(form: Any, copies: dict[Path, Path], options: ReadOptions, changes: Changes) -> None:
    starts, start = {}, 0
    for path in copies:
        starts[path], start = start, start + len(form.frame(path, options, as_text=[options.label or ""]))
    wanted, spelled = set(changes.values()), {}
    ends = [*starts.values(), start][1:]
    for (path, begin), end in zip(starts.items(), ends, strict=True):
        rows = [row - begin for row in wanted if begin <= row < end]
        spelled |= {begin + row: text for row, text in form.spelled(path, options, rows).items()}
    for (path, begin), end in zip(starts.items(), ends, strict=True):
        new = {row - begin: spelled[right] for row, right in changes.items() if begin <= row < end}
        form.write_spelled(path, copies[path], options, new)
