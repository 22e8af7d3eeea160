"""What lies where a run is to go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elr.errors import OutputError
from elr.files import TUNING_FILE, free_folder, is_partial, writing


def contents(folder: Path) -> list[str]:
    """The names in the folder of a run, but for what a killed run had not finished writing; [] where there is none.

    Raises:
        OutputError: it is no folder, cannot be looked at, or holds links, through which files elsewhere would be
            written; the folder itself may be one.

    Example:
        >>> contents(Path("no-such-run"))
        []
    """
    with writing(folder):
        if not folder.exists():
            return []
        if not folder.is_dir():
            raise OutputError(f"{folder} exists and is not a folder: {another(folder)}")
        found = sorted(folder.iterdir())
        links = [path for path in found if path.is_symlink()]
        if links:
            raise OutputError(f"{links[0]} is a link: expected files of a run; remove it, or {another(folder)}")
        return [path.name for path in found if not is_partial(path.name)]


def something_else(folder: Path, names: Sequence[str]) -> OutputError:
    """The error of a folder that holds these names, and no run.

    Example:
        >>> print(something_else(Path("photos"), ["cat.jpg", "dog.jpg"]))
        photos exists and holds something else (cat.jpg, dog.jpg): choose another --out, such as photos
    """
    return OutputError(f"{folder} exists and holds something else ({', '.join(names[:3])}): {another(folder)}")


def another(folder: Path) -> str:
    """What to do about a folder that is taken, with the name of one that is free.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as taken:
        ...     another(Path(taken)) == f"choose another --out, such as {taken}-2"
        True
    """
    return f"choose another --out, such as {free_folder(folder)}"


def is_tuning(name: str) -> bool:
    """Whether it is the file of a search for settings, or what SQLite keeps beside it while it writes.

    Example:
        >>> is_tuning("tuning.sqlite-journal"), is_tuning("run.json")
        (True, False)
    """
    return name.startswith(TUNING_FILE)
