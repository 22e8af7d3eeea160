"""Lists in text files, as published data sets have them: read as bytes into arrays, not into a million strings."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from elr.errors import DataError
from elr.names import printable

_MARK = b"\xef\xbb\xbf"  # with which some editors begin UTF-8
_SHOWN = 100  # bytes of a line that a message quotes


def content(path: Path, size: int = -1) -> bytes:
    r"""What a file holds, all of it or its first `size` bytes.

    Raises:
        DataError: it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = Path(root) / "a.txt"
        ...     _ = path.write_bytes(b"caf\xe9 0")
        ...     content(path), content(path, 3)
        (b'caf\xe9 0', b'caf')
    """
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(
            f"{printable(path)} cannot be read ({reason}): expected a file that may be read; get it again, or mend its "
            "permissions"
        ) from error


def lines(path: Path) -> pa.LargeBinaryArray:
    r"""The lines of a file, with their ends, as one array over its bytes: they need not be UTF-8.

    Raises:
        DataError: the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = Path(root) / "list.txt"
        ...     _ = path.write_bytes(b"a.jpg\ncaf\xe9.jpg")
        ...     lines(path).to_pylist()
        [b'a.jpg\n', b'caf\xe9.jpg']
    """
    text = content(path).removeprefix(_MARK)
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord("\n")) + 1
    if text and (not len(ends) or ends[-1] < len(text)):
        ends = np.append(ends, len(text))
    offsets = pa.py_buffer(np.concatenate([[0], ends]).astype(np.int64))
    return pa.Array.from_buffers(pa.large_binary(), len(ends), [None, offsets, pa.py_buffer(text)])


def matched(
    path: Path, pattern: str, expected: str, *, header: str | None = None
) -> tuple[pa.StructArray, NDArray[np.int64]]:
    r"""What the named groups of a pattern find in each line of a file that is not blank.

    Args:
        path: the file.
        pattern: RE2, over bytes; it has to allow for the end of the line.
        expected: what a line looks like, for people.
        header: with what a first line begins that is no data.

    Returns:
        the groups, as large_binary fields; and which lines they are from, counted from 0.

    Raises:
        DataError: the file cannot be read, has no lines but blank ones, or one that the pattern does not match.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = Path(root) / "list.txt"
        ...     _ = path.write_bytes(b"name\na.jpg\n\nb.jpg\n")
        ...     fields, at = matched(path, r"^(?P<name>\S+)\s*$", "a name", header="name")
        >>> fields.field("name").to_pylist(), at
        ([b'a.jpg', b'b.jpg'], array([1, 3]))
    """
    listed = lines(path)
    first = 1 if header is not None and len(listed) and listed[0].as_py().startswith(header.encode()) else 0
    listed = listed.slice(first)
    fields = pc.extract_regex(listed, pattern)
    if fields.null_count:
        other = pc.and_(pc.is_null(fields), pc.match_substring_regex(listed, r"\S"))
        wrong = np.flatnonzero(other.to_numpy(zero_copy_only=False))
        if len(wrong):
            found = f"is {shown(listed[int(wrong[0])].as_py())}"
            raise wrong_line(path, first + int(wrong[0]), found, expected)
    at = np.flatnonzero(pc.is_valid(fields).to_numpy(zero_copy_only=False))
    if not len(at):
        raise DataError(f"{printable(path)} is empty: expected lines such as {expected}; get the file again")
    return (fields.drop_null() if fields.null_count else fields), at + first


def labeled(path: Path, pattern: str, expected: str, *, num_classes: int) -> tuple[pa.Array, NDArray[np.int64]]:
    r"""Names, (N,) bytes, and class numbers, (N,), of the lines of a list.

    Args:
        path: the file.
        pattern: of a line, with the groups "name" and "label", the latter of digits; see `matched`.
        expected: what a line looks like, for people.
        num_classes: C, which labels are below.

    Raises:
        DataError: see `matched`; or a label that is no class.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     path = Path(root) / "list.txt"
        ...     _ = path.write_bytes(b"a.jpg 0\nb.jpg 2\n")
        ...     labeled(path, r"^(?P<name>\S+) (?P<label>\d+)\s*$", "NAME LABEL", num_classes=3)[1]
        array([0, 2])
    """
    fields, at = matched(path, pattern, expected)
    labels = whole_numbers(pc.struct_field(fields, "label"))
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        row = int(outside[0])
        raise wrong_line(path, int(at[row]), f"has the label {labels[row]}", f"0 to {num_classes - 1}")
    return pc.struct_field(fields, "name"), labels


def once(names: pa.Array, path: Path) -> pa.Array:
    """The same names, (N,), if none comes twice: rows are told apart by them.

    Raises:
        DataError: one does.

    Example:
        >>> once(pa.array([b"a", b"b", b"a"]), Path("list.txt"))
        Traceback (most recent call last):
        elr.errors.DataError: list.txt names 1 files more than once, such as 'a': expected each once; ...
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
    """The error of a line that is not what it should be; `row` counts from 0.

    Example:
        >>> raise wrong_line(Path("list.txt"), 2, "has the label 14", "0 to 13")
        Traceback (most recent call last):
        elr.errors.DataError: line 3 of list.txt has the label 14: expected 0 to 13; get the file again
    """
    return DataError(f"line {row + 1:,} of {printable(path)} {found}: expected {expected}; get the file again")


def shown(value: bytes) -> str:
    r"""Bytes of a file for a message.

    Example:
        >>> shown(b"caf\xe9.jpg 0\n")
        "'caf\\\\xe9.jpg 0'"
    """
    return repr(printable(os.fsdecode(value[:_SHOWN].strip())))
