"""The image files below a folder, as an Arrow array of their names: millions of them in a few bytes more than these."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from elr.data.pictures.decoding import IMAGE_SUFFIXES
from elr.errors import DataError
from elr.names import printable

_AT_ONCE = 1 << 16
_CONVERTED = (b".avif", b".dcm", b".heic", b".heif", b".jp2", b".jxl", b".svg")  # images that are not read
_SUFFIXES = tuple(suffix.encode() for suffix in IMAGE_SUFFIXES)


def image_names(root: Path) -> tuple[Any, list[str]]:
    """All image files below a folder, links followed, hidden files and folders left out.

    Returns:
        (N,) Arrow array of bytes, their names relative to `root`, "/" between the parts, in order folder by folder;
        and remarks on what else lies there.

    Raises:
        DataError: there are none, or a folder cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.png", "a/2.png", "a/1.JPG", "notes.md"):
        ...         Path(folder, name).parent.mkdir(exist_ok=True)
        ...         Path(folder, name).touch()
        ...     names, remarks = image_names(Path(folder))
        >>> names.to_pylist(), len(remarks)
        ([b'a/1.JPG', b'a/2.png', b'b.png'], 1)
    """
    chunks, names, others, first, pictured = [], [], 0, b"", b""
    for name, is_image in _walked(os.fsencode(root)):
        if is_image:
            names.append(name)
            if len(names) == _AT_ONCE:
                chunks.append(pa.array(names, pa.large_binary()))
                names = []
        else:
            others += 1
            first = min(first or name, name)
            if name.lower().endswith(_CONVERTED):
                pictured = min(pictured or name, name)
    chunks.append(pa.array(names, pa.large_binary()))
    found = pa.concat_arrays(chunks)
    if not len(found):
        found_instead = _instead(others, first, pictured)
        raise DataError(
            f"no images in {printable(root)}: expected files ending in {', '.join(IMAGE_SUFFIXES)}{found_instead}"
        )
    remarks = []
    if others:
        remarks.append(
            f"{others} files left out whose names do not end in {', '.join(IMAGE_SUFFIXES)}, such as "
            f"{printable(os.fsdecode(first))}"
        )
    by_parts = pc.replace_substring(found, pattern=b"/", replacement=b"\0")  # "a/1" before "a-b/1"
    return found.take(pc.array_sort_indices(by_parts)), remarks


def _instead(others: int, first: bytes, pictured: bytes) -> str:
    """What lies in a folder without images: so many files, the first of all, the first of those that show one."""
    if not others:
        return ""
    advice = f"; convert {printable(Path(os.fsdecode(pictured)).suffix.lower())} to one of these" if pictured else ""
    return f", found {others} others, such as {printable(os.fsdecode(pictured or first))}{advice}"


def _walked(root: bytes) -> Iterator[tuple[bytes, bool]]:
    """Names of files, and whether they are images; a folder that links lead to counts once, by its own name."""
    visited, pending = set(), [b""]
    while pending:
        below = pending.pop()
        folder = os.path.join(root, below)  # noqa: PTH118
        real = os.path.realpath(folder)
        if real in visited:  # a link can lead back up
            continue
        visited.add(real)
        subfolders = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(b"."):
                        continue
                    name = os.path.join(below, entry.name)  # noqa: PTH118
                    if _is_folder(entry):
                        subfolders += [(entry.is_symlink(), name)] if entry.name != b"__MACOSX" else []
                    elif not entry.name.lower().endswith(_SUFFIXES):
                        yield name, False
                    elif entry.is_symlink() or entry.is_file():  # no pipes; a dead link is an unreadable image
                        yield name, True
        except OSError as error:
            raise DataError(f"folder {printable(os.fsdecode(folder))} cannot be read: {error.strerror}") from error
        pending += [name for _, name in sorted(subfolders, reverse=True)]  # links last, or a class had the link's name


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link that leads to itself is as dead as one that leads nowhere
            return False
        raise
