"""Anyone's data, as they lie: recognized by one of the formats and read by it; checked, not yet prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from elr.data.formats.catalog import FORMATS
from elr.data.formats.format import FileFormat, Format
from elr.data.formats.image_files.named import named_images
from elr.data.formats.table import TableFile
from elr.data.pictures.image_store import ImageStore
from elr.data.records import ReadOptions, Records
from elr.errors import ArgumentError, DataError, RowError
from elr.names import printable, similar_name

_EXCEL = "; save the sheet as CSV, or read it with pandas.read_excel and pass the data frame"
_OTHERS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods"), _EXCEL),
    **dict.fromkeys((".zip", ".7z", ".rar", ".bz2", ".xz", ".zst"), "; unpack it first"),
    **dict.fromkeys((".sav", ".dta", ".sas7bdat", ".rds"), "; save it as CSV or Parquet"),
}

Data = str | Path | pd.DataFrame | tuple[ArrayLike, ArrayLike | None]


def read_data(data: Data, options: ReadOptions, *, training: bool = True) -> Records:
    """Read data in any format of `FORMATS`.

    Args:
        data: path of a table (.csv, .tsv, .txt, .parquet, .feather, .jsonl, .json), of a folder of parts of one, of a
            folder of images in subfolders by class, of a Parquet file of images in the layout of the Hugging Face hub
            (or a folder of such), of a tar of images as WebDataset has it (or a folder of such shards), of an .npz of
            arrays, or of an .npy; a data frame of pandas or polars, a table of Arrow, or a `datasets.Dataset`; or a
            pair of arrays (inputs, labels), where inputs are (M, D) features or (M, channels, H, W) uint8 images.
        options: see there.
        training: labels are required; else they are read where there are any.

    Raises:
        DataError: whatever makes the data unusable.
        ArgumentError: `data` is none of these.

    Example:
        >>> records = read_data(pd.DataFrame({"x": [1, 2], "y": ["cat", "dog"]}), ReadOptions(label="y"))
        >>> records.kind, len(records), records.labels
        ('table', 2, ['cat', 'dog'])
    """
    form = format_of(data)
    if not training and not form.has_names:  # the names of images stood in a column; these come without
        options = replace(options, image=None)
    path = Path(data) if isinstance(data, str | Path) else None
    line_of = partial(form.line_of, path, options) if isinstance(form, FileFormat) and path is not None else None
    try:
        records = _read(form, data, options, training=training)
    except RowError as error:
        if line_of is None:
            raise
        raise error.located(line_of) from error
    except MemoryError as error:
        reason = " ".join(str(error).split())[:100] or "none is left"
        raise DataError(
            f"{data_name(data)} does not fit into memory ({reason}): take a part of it, or a larger machine"
        ) from error
    if training and options.stream and not isinstance(records.images, ImageStore):
        raise ArgumentError(
            f"stream is asked for, and {data_name(data)} has no image files or shards that could be streamed: leave it "
            "out (--stream)"
        )
    return replace(records, line_of=line_of)


def _read(form: Format, data: Data, options: ReadOptions, *, training: bool) -> Records:
    if not (training and form.has_columns and options.annotations):
        records = named_images(form.read(data, options, training=training), options, **_place(data))
        return records.labeled() if training else records
    path, key = Path(options.annotations), options.id or "row"
    parsed = _table_format(path).table(path, options, as_text=[key, "annotator", "label"])
    records = form.read(data, options, training=True, annotations=parsed.frame)
    records = named_images(records, options, **_place(data)).labeled()
    return replace(
        records,
        remarks=[*parsed.remarks, *records.remarks],
        facts={**records.facts, "annotations": dict(parsed.facts)},
    )


def _place(data: Data) -> dict[str, Any]:
    """Where some data lie, and how messages name them."""
    folder = Path(data).parent if isinstance(data, str | Path) else Path.cwd()
    return {"folder": folder, "place": data_name(data)}


def format_of(data: Data) -> Format:
    """The format that some data have.

    Raises:
        DataError: there is no such file, or none of ours.
        ArgumentError: nothing that could be data.

    Example:
        >>> type(format_of(([[1.0], [2.0]], None))).__name__
        'ArrayPair'
    """
    if isinstance(data, str | Path) and str(data):
        _check_there(Path(data))
        found = file_format(Path(data))
        if found is not None:
            return found
        tables, arrays = (", ".join(_suffixes(has_columns=each)) for each in (True, False))
        raise DataError(
            f"{printable(data)} ends in {Path(data).suffix!r}: expected a table ({tables}), arrays ({arrays}), or a "
            f"folder of images{_advice(Path(data))}"
        )
    found = None if isinstance(data, str) else _recognized(data)
    if found is None:
        what = "an empty path" if isinstance(data, str) else f"a {type(data).__name__}"
        raise ArgumentError(f"data is {what}: expected a path, a data frame, or a pair (inputs, labels or None)")
    return found


def data_name(data: Data) -> str:
    """What run.json and messages call some data, which need not be there.

    Example:
        >>> data_name("pets.csv"), data_name(([[1.0]], None))
        ('pets.csv', 'arrays')
    """
    found = _recognized(data)
    return printable(str(data)) if found is None else found.source(data)


def file_format(path: Path) -> FileFormat | None:
    """The format of a file or folder, which need not be there any more; None where it is none of ours.

    Example:
        >>> type(file_format(Path("pets.JSONL"))).__name__, file_format(Path("pets.docx"))
        ('JsonLines', None)
    """
    files = (each for each in FORMATS.values() if isinstance(each, FileFormat))
    return next((each for each in files if each.recognizes(path)), None)


def file_suffixes() -> list[str]:
    """The suffixes of all files that are read.

    Example:
        >>> ".feather" in file_suffixes(), ".docx" in file_suffixes()
        (True, False)
    """
    return [suffix for each in FORMATS.values() if isinstance(each, FileFormat) for suffix in each.suffixes]


def read_table(
    path: Path, options: ReadOptions | None = None, *, as_text: Sequence[str] = (), as_written: bool = False
) -> pd.DataFrame:
    """Read a file that holds a table.

    Args:
        path: the file; its suffix decides.
        options: separator, decimal, quotes and encoding, where they are to be others than found.
        as_text: columns to read as text whatever they hold, in which only an empty cell is missing ("None" and "NA" are
            names of classes in some data); where values have types, these stay.
        as_written: leave every cell of a CSV or TSV file as text, so that "007" or "12" means the same in each file,
            whatever stands in the other cells; `elr.data.columns` finds the numbers.

    Raises:
        DataError: no such file, another format, or not readable as such.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "t.csv").write_text("code,y\\n007,NA\\n")
        ...     read_table(Path(folder, "t.csv"), as_text=["code"]).to_dict("list")
        {'code': ['007'], 'y': [nan]}
    """
    form = _table_format(path)
    return form.frame(path, options or ReadOptions(), as_text=as_text, as_written=as_written)


def _table_format(path: Path) -> TableFile:
    form = file_format(path)
    if not path.is_file() and not (path.is_dir() and isinstance(form, TableFile)):
        raise DataError(f"no such file: {printable(path)}{similar_name(path)}")
    if not isinstance(form, TableFile):
        tables = ", ".join(_suffixes(has_columns=True))
        raise DataError(f"{path} ends in {path.suffix.lower()!r}: expected a table in {tables}{_advice(path)}")
    return form


def _advice(path: Path) -> str:
    return _OTHERS.get(path.suffix.lower(), "")


def _recognized(data: object) -> Format | None:
    return next((each for each in FORMATS.values() if each.recognizes(data)), None)


def _check_there(path: Path) -> None:
    try:
        there = path.is_dir() or path.is_file()
    except OSError as error:
        raise DataError(f"{printable(path)[:200]} cannot be read: {error.strerror}") from error
    if not there:
        raise DataError(f"no such file: {printable(path)} (looked for from {Path.cwd()}){similar_name(path)}")


def _suffixes(*, has_columns: bool) -> list[str]:
    files = [each for each in FORMATS.values() if isinstance(each, FileFormat) and each.has_columns == has_columns]
    return [suffix for each in files for suffix in each.suffixes]
