"""What lies where a run is to go."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from elr.audit.report import check_reading
from elr.data.kinds.catalog import KINDS
from elr.data.preprocessing import Augmentation
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, ArtifactError, CheckpointError, OutputError
from elr.files import RUN_FILE, TUNING_FILE, differences, free_folder, is_partial, read_json, writing
from elr.locks import locked
from elr.methods.catalog import method_from_json
from elr.networks.spec import NetworkSpec
from elr.run_values import odd_value
from elr.targets.config import TargetsConfig
from elr.training.config import TrainingConfig

_BUILT: dict[str, Callable[[Any], object]] = {  # the settings, held to the classes that they are of
    "method": method_from_json,
    "network": NetworkSpec.from_json,
    "training": lambda values: TrainingConfig(**values),
    "augmentation": lambda values: Augmentation(**values),
    "targets": lambda values: TargetsConfig(**values),
    "data.options": lambda values: ReadOptions(**values),
    "data.reading": check_reading,
}
_OF_THE_DATA = ("data.sha256 ", "data.num_examples ", "data.remarks ")  # themselves, and not how they are asked for
_HOW_COMPUTED = {"cuda_graphs", "max_memory"}  # the same, whatever they are
_ASKED = ("noise", "test")  # of the data
_FLAGS = {"settings": "--set", "classes": "--class", "recipe": "the recipe"}  # options that the command calls otherwise
_TOLD, _LONGEST = 10, 160  # differences, and characters of one
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
        ...     _ = Path(folder, RUN_FILE).write_text('{"status": "running", "command": []}')
        ...     try:
        ...         read_begun(Path(folder))
        ...     except ArtifactError as error:
        ...         print(str(error).partition("is damaged: ")[2].partition(";")[0])
        command is [], expected text
    """
    found = read_json(folder / RUN_FILE)
    odd = odd_value(found, whole=True) or _misfit(found)
    if odd:
        raise ArtifactError(f"{folder / RUN_FILE} is damaged: {odd}; {another(folder)}")
    return found


def _misfit(run: Mapping[str, Any]) -> str:
    """What of the settings of a run cannot be, in words."""
    built: dict[str, Any] = {}
    for name, build in _BUILT.items():
        try:
            built[name] = build(run["data"][name.partition(".")[2]] if "." in name else run[name])
        except (ArgumentError, KeyError, TypeError, ValueError) as error:  # out of range, missing, or of another type
            return f"{name}: {error if isinstance(error, ArgumentError) else repr(error)}"
    try:
        built["method"].check_generations(built["training"].generations)
    except ArgumentError as error:
        return f"method: {error}"
    kind = run["preprocessing"]["kind"]
    return "" if kind in KINDS else f"preprocessing.kind is {kind!r}, expected one of {', '.join(KINDS)}"


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
    if changed and all(each.startswith(_OF_THE_DATA) for each in changed):
        raise CheckpointError(
            f"the data have changed since the run in {out} began ({changed[0]}): bring them back as they were, or "
            f"{another(out)}"
        )
    if changed:
        its_own = f" ({found['command']})" if found.get("command") else ""
        told = _asked_otherwise(found, description) or [_short(each) for each in changed]
        more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        raise CheckpointError(
            f"{out} holds a run of another configuration: {'; '.join(told[:_TOLD])}{more}; repeat its own command"
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
        names = present.keys() - _HOW_COMPUTED
        if part == "data":  # what is said of reading hangs on how images are held, and on what the index knows
            names -= {"reading", "label_type", *({"source", "test", "remarks", "streamed"} if same_data else ())}
        changed += differences(_only(stored, names), _only(present, names), of=part)
    changed += differences(_only(found, _ALONE), _only(description, _ALONE))
    if "tuning" in found and "tuning" not in description:
        changed.append("settings were chosen by a search (--tune), now they were not")
    return changed


def _asked_otherwise(found: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """Which options are not what they were, as the command has them; what follows from them is not told."""
    flags = bool(found.get("command"))
    pairs = [(found.get("config", {}), description.get("config", {}))]
    stored, present = found.get("data", {}), description["data"]
    pairs.append((stored.get("options", {}), present.get("options", {})))
    if "recipe" not in description.get("config", {}):  # which has its own noise and test data
        moved = {"test"} if stored.get("sha256") == present.get("sha256") else set()  # the same data elsewhere
        before, now = ({name: part.get(name) for name in _ASKED if name not in moved} for part in (stored, present))
        pairs.append((before, now))
    told = []
    for before, now in pairs:
        for name in now:
            if before.get(name) != now[name] and name not in _HOW_COMPUTED:
                flag = _FLAGS.get(name, f"--{name.replace('_', '-')}") if flags else name
                told.append(f"{flag} was {_value(before.get(name))}, now {_value(now[name])}")
    return told


def _value(value: object) -> str:
    """A value of an option, as a person gives it."""
    if value in (None, [], {}, ""):
        return "not given"
    if isinstance(value, dict):
        return _short(", ".join(f"{name}={each}" for name, each in value.items()))
    if isinstance(value, list):
        return _short(", ".join(map(str, value)))
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _only(settings: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name in names}
