"""Names of files: as they can be printed, as libraries can open them, and those that are alike."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

_LOOKED_AT = 10_000  # names in a folder
_ALIKE = 0.75  # of two names: as difflib has it


def printable(path: Path | str) -> str:
    r"""A path as text that can be printed and written, bytes that are no UTF-8 as \xNN.

    Example:
        >>> printable("caf\udce9/cat.png")
        'caf\\xe9/cat.png'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@contextmanager
def plain_name(path: Path) -> Iterator[Path]:
    """A name of a file that every library can open: its own, or by way of a link where that is not UTF-8.

    Arrow, safetensors and pandas refuse the bytes that Linux allows in the names of files and folders.

    Example:
        >>> with plain_name(Path("data.parquet")) as named:
        ...     named
        PosixPath('data.parquet')
    """
    if printable(path) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="elr-name-") as folder:
        named = Path(folder, "link") / path.name if printable(path.name) == path.name else Path(folder, "link")
        Path(folder, "link").symlink_to(path.absolute() if named.name == "link" else path.parent.absolute())
        yield named


def similar_name(path: Path) -> str:
    """For the message that a file is not there: the name in its folder that is most like it, as a question.

    Empty folders are passed over, such as one that was made for results.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "flowers.csv").write_text("")
        ...     similar_name(Path(folder, "flower.csv")), similar_name(Path(folder, "birds.csv"))
        (" (did you mean 'flowers.csv'?)", '')
    """
    try:
        there = islice(path.parent.iterdir(), _LOOKED_AT)
        names = {each.name.casefold(): each.name for each in there if not each.is_dir() or any(each.iterdir())}
    except (OSError, ValueError):
        return ""
    near = difflib.get_close_matches(path.name.casefold(), names, n=1, cutoff=_ALIKE)
    return f" (did you mean {printable(names[near[0]])!r}?)" if near else ""
