"""What lies where a run is to go."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from elr.audit.report import check_reading
from elr.errors import ArgumentError, ArtifactError, CheckpointError, OutputError
from elr.files import RUN_FILE, TUNING_FILE, differences, free_folder, is_partial, read_json, writing
from elr.locks import locked
from elr.targets.config import TargetsConfig

_PARTS = ("config", "method", "training", "network", "augmentation", "targets", "preprocessing", "data")
_TOLD: dict[str, Any] = {  # of the results, what is no number
    "out": str,
    "noise_rate": (int, float, type(None)),
    "noise_rate_interval": list,
    "warnings": list,
    "remarks": list,
    "early_learning": dict,
    "tuning": dict,
    "choice": dict,
}
_NUMBERS = (int, float, type(None))
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
        folder: that is there. Where the system or its file system has no locks on folders, nothing is held.
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
    if not hasattr(os, "O_DIRECTORY"):  # a system that opens no folders
        yield
        return
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


def read_begun(folder: Path) -> dict[str, Any]:
    """The run.json of a run that has begun, whether it is finished or not.

    Raises:
        ArtifactError: there is none, or it is not one that elr wrote.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, RUN_FILE).write_text('{"status": "running", "data": []}')
        ...     try:
        ...         read_begun(Path(folder))
        ...     except ArtifactError as error:
        ...         print(str(error).partition("is damaged: ")[2].partition(", data")[0])
        expected config, method, training, network, augmentation, targets, preprocessing
    """
    found = read_json(folder / RUN_FILE)
    odd = [name for name in _PARTS if not isinstance(found.get(name), dict)]
    if not odd:
        about = found["data"]
        odd += [] if isinstance(about.get("streamed"), bool) else ["data.streamed"]
        odd += [] if _are_texts(found.get("remarks")) else ["remarks"]
        odd += [] if _are_texts(about.get("remarks")) else ["data.remarks"]
        odd += [] if _can(lambda: check_reading(about["reading"])) else ["data.reading"]
        odd += [] if _can(lambda: TargetsConfig(**found["targets"])) else ["targets"]
    odd += [] if found.get("status") in ("running", "complete") else ["status"]
    odd += _odd_results(found) if found.get("status") == "complete" else []
    if odd:
        raise ArtifactError(
            f"{folder / RUN_FILE} is damaged: expected {', '.join(odd)} as `elr fit` writes it; {another(folder)}"
        )
    return found


def _can(read: Callable[[], object]) -> bool:
    try:
        read()
    except (ArgumentError, AttributeError, KeyError, TypeError):
        return False
    return True


def _odd_results(run: Mapping[str, Any]) -> list[str]:
    """What of a finished run is of another type than it is told as."""
    results = run.get("results")
    if not isinstance(results, dict):
        return ["results"]
    odd = []
    for name, value in results.items():
        kind = _TOLD.get(name, (int, float))
        if not isinstance(value, kind) or isinstance(value, bool):
            odd.append(f"results.{name}")
    interval, warned = results.get("noise_rate_interval"), results.get("warnings")
    if not isinstance(interval, list) or len(interval) != 2 or not all(type(each) in _NUMBERS for each in interval):
        odd.append("results.noise_rate_interval")
    if not isinstance(warned, list) or not all(_has_text(each) for each in warned):
        odd.append("results.warnings")
    told = [results.get("early_learning"), *(results[name] for name in ("tuning", "choice") if name in results)]
    odd += [] if all(map(_has_text, told)) else ["results.early_learning, tuning or choice"]
    odd += [] if isinstance(run.get("versions"), dict) else ["versions"]
    odd += [name for name in ("command", "created") if not isinstance(run.get(name), str)]
    return odd


def _has_text(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("text"), str)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def opened(out: Path, description: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """The run.json already in the folder of a run, if any; refuses folders that hold anything but this very run.

    Args:
        out: the folder.
        description: what is to be run, see `changes`.
        resume: whether a run that is there is to go on.

    Raises:
        OutputError: it holds something else, or a run that is not to go on.
        CheckpointError: it holds a run of another configuration.
        ArtifactError: its run.json is damaged.

    Example:
        >>> opened(Path("no-such-run"), {}, resume=False) is None
        True
    """
    names = contents(out)
    if not names or ("tuning" in description and all(map(is_tuning, names))):
        return None
    if RUN_FILE not in names:
        raise something_else(out, names)
    found = read_begun(out)
    if not resume:
        finish = "" if found["status"] == "complete" else ", or --resume to finish that one"
        raise OutputError(f"{out} already holds a run: {another(out)}{finish}")
    changed = changes(found, description)
    if changed:
        its_own = f" ({found['command']})" if found.get("command") else ""
        raise CheckpointError(
            f"{out} holds a run of another configuration: {'; '.join(changed[:4])}; repeat its own command"
            f"{its_own}, or {another(out)}"
        )
    return found


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
