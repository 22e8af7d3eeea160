"""What lies where a run is to go."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from elr.errors import OutputError
from elr.files import TUNING_FILE, differences, free_folder, is_partial, writing
from elr.locks import locked

_ALONE = ("whiten", "probe_period")  # settings that belong to no part of a plan


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


@contextmanager
def alone_in(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Have the folder of a run to oneself: two processes would write one another's checkpoints.

    Args:
        folder: that is there. Where its file system has no locks, nothing is held.
        wait: until others have ended, where that takes a moment.

    Raises:
        OutputError: another process has it, or it cannot be looked at.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, alone_in(Path(folder)):
        ...     try:
        ...         with alone_in(Path(folder)):
        ...             pass
        ...     except OutputError as error:
        ...         print(str(error).replace(folder, "run"))
        another process is at work in run: wait until it has ended, or choose another --out, such as run-2
    """
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not locked(descriptor, wait=wait):
            raise OutputError(f"another process is at work in {folder}: wait until it has ended, or {another(folder)}")
        yield
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Delete what runs that were killed as they began left in a folder; other half-written files go when written anew.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, f".{'0' * 32}.partial").touch()
        ...     remove_unfinished(Path(folder))
        ...     list(Path(folder).iterdir())
        []
    """
    for partial in folder.glob(f".{'[0-9a-f]' * 32}.partial"):
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def is_tuning(name: str) -> bool:
    """Whether it is the file of a search for settings, or what SQLite keeps beside it while it writes.

    Example:
        >>> is_tuning("tuning.sqlite-journal"), is_tuning("run.json")
        (True, False)
    """
    return name.startswith(TUNING_FILE)


def changes(found: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """What of a run is not as it was, in words. Where data come from may change, if they are the same.

    Args:
        found: the run.json of the run.
        description: what is to be run now, in the same form.

    Example:
        >>> lam = [{"data": {"sha256": "7"}, "method": {"name": "elr", "lam": lam}} for lam in (3.0, 7.0)]
        >>> changes(*lam)
        ['method.lam was 3.0, now 7.0']
    """
    same_data = found.get("data", {}).get("sha256") == description["data"]["sha256"]
    changed = []
    for part in ("config", "method", "training", "network", "augmentation", "targets", "data", "tuning"):
        present, stored = description.get(part, {}), found.get(part, {})
        names = present.keys() - {"cuda_graphs", "max_memory"}  # how the same is computed
        if part == "data":  # what is said of reading hangs on how images are held, and on what the index knows
            names -= {"reading", *({"source", "test", "remarks", "streamed"} if same_data else ())}
        changed += differences(_only(stored, names), _only(present, names), of=part)
    changed += differences(_only(found, _ALONE), _only(description, _ALONE))
    if "tuning" in found and "tuning" not in description:
        changed.append("settings were chosen by a search (--tune), now they were not")
    return changed


def _only(settings: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in names}
