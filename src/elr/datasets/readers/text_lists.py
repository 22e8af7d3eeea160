"""Lists in text files, as published data sets have them: read as bytes into arrays, not into a million strings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from elr.errors import DataError
from elr.files import printable

_MARK = b"\xef\xbb\xbf"  # with which some editors begin UTF-8
_SHOWN = 100  # bytes of a line that a message quotes


def lines(path: Path) -> pa.LargeBinaryArray:
    """The lines of a file, with their ends, as one array over its bytes: they need not be UTF-8.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        content = path.read_bytes().removeprefix(_MARK)
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read ({error.strerror}): mend or replace the file") from error
    ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == ord("\n")) + 1
    if content and (not len(ends) or ends[-1] < len(content)):
        ends = np.append(ends, len(content))
    offsets = pa.py_buffer(np.concatenate([[0], ends]).astype(np.int64))
    return pa.Array.from_buffers(pa.large_binary(), len(ends), [None, offsets, pa.py_buffer(content)])


def matched(
    path: Path, pattern: str, expected: str, *, header: str | None = None
) -> tuple[pa.StructArray, NDArray[np.int64]]:
    """What the named groups of a pattern find in each line of a file that is not blank.

    Args:
        path: the file.
        pattern: RE2, over bytes; it has to allow for the end of the line.
        expected: what a line looks like, for people.
        header: with what a first line begins that is no data.

    Returns:
        the groups, as large_binary fields; and which lines they are from, counted from 0.

    Raises:
        DataError: the file cannot be read, has no lines but blank ones, or one that the pattern does not match.
    """
    content = lines(path)
    first = 1 if header is not None and len(content) and content[0].as_py().startswith(header.encode()) else 0
    content = content.slice(first)
    fields = pc.extract_regex(content, pattern)
    if fields.null_count:
        other = pc.and_(pc.is_null(fields), pc.match_substring_regex(content, r"\S"))
        wrong = np.flatnonzero(other.to_numpy(zero_copy_only=False))
        if len(wrong):
            found = f"is {shown(content[int(wrong[0])].as_py())}"
            raise wrong_line(path, first + int(wrong[0]), found, expected)
    at = np.flatnonzero(pc.is_valid(fields).to_numpy(zero_copy_only=False))
    if not len(at):
        raise DataError(f"{printable(path)} is empty: expected lines such as {expected}; get the file again")
    return (fields.drop_null() if fields.null_count else fields), at + first


def once(names: pa.Array, path: Path) -> pa.Array:
    """The same names, (N,), if none comes twice: rows are told apart by them.

    Raises:
        DataError: one does.
    """
    if len(pc.unique(names)) < len(names):
        counts = pc.value_counts(names)
        twice = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1))
        raise DataError(
            f"{printable(path)} names {len(twice):,} files more than once, such as {shown(twice[0].as_py())}: expected "
            "each once; rows are told apart by their names"
        )
    return names


def whole_numbers(digits: pa.Array) -> NDArray[np.int64]:
    """Digits as numbers.

    Example:
        >>> whole_numbers(pa.array([b"7", b"-1"])).tolist()
        [7, -1]
    """
    return digits.cast(pa.large_string()).cast(pa.int64()).to_numpy()


def wrong_line(path: Path, row: int, found: str, expected: str) -> DataError:
    """The error of a line that is not what it should be; `row` counts from 0."""
    return DataError(f"line {row + 1:,} of {printable(path)} {found}: expected {expected}; get the file again")


def shown(value: bytes) -> str:
    r"""Bytes of a file for a message.

    Example:
        >>> shown(b"caf\xe9.jpg 0\n")
        "'caf\\\\xe9.jpg 0'"
    """
    return repr(printable(os.fsdecode(value[:_SHOWN].strip())))
