"""Names of image files in a column of a table: which column has them, and where the files lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from elr.data.pictures.decoding import IMAGE_SUFFIXES

_LOOKED_AT = 200


def image_column(frame: pd.DataFrame, folder: Path) -> str | None:
    """The one column whose cells all end as names of images do, and most of which are files; None if there is none.

    Args:
        frame: the columns that may be learned from.
        folder: where the table lies.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("1.png", "2.png"):
        ...         Path(folder, name).touch()
        ...     image_column(pd.DataFrame({"file": ["1.png", "2.png"], "note": ["a", "b"]}), Path(folder))
        'file'
    """
    found = [str(name) for name in frame.columns if _are_names(frame[name])]
    if len(found) != 1 or not len(frame):
        return None
    names = frame[found[0]]
    return found[0] if 2 * _there(image_folder(folder, names), names) >= min(len(names), _LOOKED_AT) else None


def image_folder(folder: Path, names: pd.Series) -> Path:
    """The folder that most names start from: that of the table, one in it, or the working directory.

    Args:
        folder: where the table lies.
        names: of files.

    Example:
        >>> image_folder(Path("no-such-folder"), pd.Series(["1.png"]))
        PosixPath('no-such-folder')
    """
    best, most = folder, _there(folder, names)
    if most == min(len(names), _LOOKED_AT):
        return best
    for other in _others(folder):
        count = _there(other, names)
        if count > most:
            best, most = other, count
    return best


def _others(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    yield Path.cwd()


def _there(folder: Path, names: pd.Series) -> int:
    """How many of the first names are files below a folder."""
    return sum((folder / str(name)).is_file() for name in names.iloc[:_LOOKED_AT].tolist())


def _are_names(column: pd.Series) -> bool:
    head = column.iloc[:_LOOKED_AT].tolist()
    if not all(isinstance(name, str) and name.lower().endswith(IMAGE_SUFFIXES) for name in head):
        return False
    return all(isinstance(name, str) and name.lower().endswith(IMAGE_SUFFIXES) for name in column.tolist())
