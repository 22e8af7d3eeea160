"""The folder of a run: written whole or not at all, file by file, and read without executing anything."""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from elr.errors import ArtifactError, OutputError
from elr.names import plain_name, printable
from elr.run_values import odd_value

RUN_FILE = "run.json"
MODEL_FILE = "model.safetensors"
EVIDENCE_FILE = "evidence.parquet"
EXPLANATIONS_FILE = "explanations.parquet"
BACKBONE_FILE = "backbone.safetensors"
PREPROCESSING_FILE = "preprocessing.skops"
METRICS_FILE = "metrics.jsonl"
ANNOTATORS_FILE = "annotators.csv"
ISSUES_FILE = "issues.csv"
REPORT_FILE = "report.html"
TUNING_FILE = "tuning.sqlite"
INDEX_FILE = "index.parquet"  # of images that are streamed from disk
REPORT_DATA_FILE = "report.json"  # all that the page shows

_TORCH_WRITER = ("PytorchStreamWriter", "unexpected pos", "file write failed", "Parent directory", "basic_ios::clear")
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file is too large"}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write below `path` into an OutputError that says what to do.

    Example:
        >>> with writing(Path("a.csv")):  # doctest: +ELLIPSIS
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        elr.errors.OutputError: cannot write a.csv: the disk is full; make room or choose another place, ...
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # the latter two are how safetensors and torch.save fail
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in _TORCH_WRITER):
            raise
        raise OutputError(
            f"cannot write {path}: {why_unwritten(error, path)}; make room or choose another place, then run again "
            "(with --resume to go on from the last checkpoint)"
        ) from error


def why_unwritten(error: Exception, path: Path | None = None) -> str:
    """Why something could not be written, in the words that messages have for it; torch.save does not say: room does.

    Example:
        >>> why_unwritten(OSError(errno.ENOSPC, "No space left on device"))
        'the disk is full'
    """
    number = error.errno if isinstance(error, OSError) else None
    named = [code for code in _FULL if os.strerror(code) in str(error)]
    if isinstance(error, RuntimeError) and path is not None:
        place = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
        named += [errno.ENOSPC] * (os.statvfs(place).f_bavail == 0)
    said = error.strerror if isinstance(error, OSError) else None  # without its number and the path
    return _FULL.get(number or (named[0] if named else 0), said or str(error))


def on_disk(shape: tuple[int, ...], dtype: DTypeLike, folder: str | None = None) -> np.memmap:
    """An array to fill, in a file without a name.

    The operating system reads the file as it is needed, and removes it when the process ends, however it ends.

    Args:
        shape: of the array.
        dtype: of the array.
        folder: in which the file lies, or in the nearest folder above that is there already. Default: the folder for
            temporary files (TMPDIR).

    Raises:
        OutputError: the disk is full.

    Example:
        >>> room = on_disk((2, 3), np.float32)
        >>> room[1] = 7
        >>> room.sum()
        np.float32(21.0)
    """
    place = Path(folder or tempfile.gettempdir()).absolute()
    while not place.is_dir():
        place = place.parent
    with writing(place), tempfile.TemporaryFile(prefix=".elr-", dir=place) as file:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        os.posix_fallocate(file.fileno(), 0, size)  # a full disk is found now, not by a signal later
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all: `write` fills a temporary neighbor, which then takes the name.

    Raises:
        OutputError: the disk is full, the folder is not writable, ...

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_file(Path(folder) / "a.txt", lambda partial: partial.write_text(partial.name))
        ...     (Path(folder) / "a.txt").read_text()
        '.a.txt.partial'
    """
    partial = path.with_name(f".{printable(path.name)}.partial")
    try:
        with writing(path):
            if partial.is_symlink():  # what it leads to is not ours
                partial.unlink()
            with plain_name(partial) as named:
                write(named)
            with partial.open("rb") as handle:
                os.fsync(handle.fileno())
            partial.chmod(0o666 & ~_umask())  # libraries differ; a new file is what the user's umask says
            partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def check_new(path: Path, *suffixes: str, instead: str = "name") -> None:
    """Refuse to write a file of another kind, or over one that is there.

    Args:
        path: to be written.
        suffixes: what it may end in, such as ".csv".
        instead: what to choose another one of, for the message.

    Raises:
        OutputError: such a path.

    Example:
        >>> check_new(Path("predictions.xlsx"), ".csv", ".parquet")
        Traceback (most recent call last):
        elr.errors.OutputError: predictions.xlsx ends in '.xlsx': expected .csv or .parquet
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{path} ends in {path.suffix!r}: expected {' or '.join(suffixes)}")
    with writing(path):
        if path.exists():
            raise OutputError(f"{path} exists already: choose another {instead}, or remove it")


def free_folder(wanted: str | Path) -> Path:
    """A folder of that name that does not exist yet, with a number behind it where the name is taken.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     os.mkdir(f"{root}/pets")
        ...     free_folder(f"{root}/pets").name, free_folder(f"{root}/other").name
        ('pets-2', 'other')
    """
    folder, number = Path(wanted), 1
    while os.path.lexists(folder):
        number += 1
        folder = Path(f"{wanted}-{number}")
    return folder


def take_folder(wanted: str | Path) -> Path:
    """Make a folder of that name, or of the next number: of two processes that ask at once, each gets its own.

    Raises:
        OutputError: no folder can be made there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     [take_folder(f"{root}/pets").name for _ in range(3)]
        ['pets', 'pets-2', 'pets-3']
    """
    while True:
        folder = free_folder(wanted)
        with writing(folder), suppress(FileExistsError):
            folder.mkdir()
            return folder


def is_partial(name: str) -> bool:
    """Whether a file or folder of this name is what a killed run of ours had not finished writing.

    Example:
        >>> is_partial(".model.safetensors.partial"), is_partial("model.safetensors")
        (True, False)
    """
    return name == "checkpoint.partial" or (name.startswith(".") and name.endswith(".partial"))


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all.

    Example:
        >>> write_text(Path("no-such-folder") / "a.txt", "text")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.OutputError: cannot write no-such-folder/a.txt: No such file or directory; ...
    """
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON; numbers that JSON does not have (NaN, infinity) become null.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_json(Path(folder) / "a.json", {"loss": math.nan})
        ...     read_json(Path(folder) / "a.json")
        {'loss': None}
    """
    write_text(path, _as_json(content))


def _as_json(content: dict[str, Any]) -> str:
    return json.dumps(without_nan(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_first(path: Path, content: dict[str, Any]) -> bool:
    """Write an object as JSON unless the file is there; of several processes that do so at once, one succeeds.

    Returns:
        Whether it was this one.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first, second = (write_first(Path(folder) / "a.json", {"by": number}) for number in (1, 2))
        ...     first, second, read_json(Path(folder) / "a.json")
        (True, False, {'by': 1})
    """
    partial = path.with_name(f".{uuid.uuid4().hex}.partial")
    text = _as_json(content)
    try:
        with writing(path):
            _fill(partial, text)
            try:
                os.link(partial, path)
            except OSError:  # it is there, or the file system has no links
                _fill(path, text)
    except OutputError as error:
        if isinstance(error.__cause__, FileExistsError):
            return False
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return True


def _fill(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", errors="backslashreplace") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def without_nan(value: Any) -> Any:
    """The same plain value with None for every number that is not finite.

    Example:
        >>> without_nan({"loss": math.inf, "seen": (1, 2.5)})
        {'loss': None, 'seen': [1, 2.5]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return value


def differences(stored: Mapping[str, Any], present: Mapping[str, Any], *, of: str = "") -> list[str]:
    """In words, which settings are not what they were.

    Args:
        stored: the settings as they were.
        present: the settings as they are.
        of: what they belong to, set before each name with a point.

    Example:
        >>> differences({"lam": 3.0, "seed": 0}, {"lam": 1.0, "seed": 0}, of="method")
        ['method.lam was 3.0, now 1.0']
    """
    prefix = f"{of}." if of else ""
    return [
        f"{prefix}{name} was {stored.get(name)!r}, now {present.get(name)!r}"
        for name in {**stored, **present}
        if stored.get(name) != present.get(name)
    ]


def read_json(path: Path) -> dict[str, Any]:
    """Read an object.

    Raises:
        ArtifactError: no such file, or not a JSON object.

    Example:
        >>> read_json(Path("no-such-run") / "run.json")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run/run.json cannot be read (No such file or directory): expected the ...
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): expected the folder of a run of elr") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged: it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is damaged: expected a JSON object, found {type(content).__name__}")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def read_run(folder: Path) -> dict[str, Any]:
    """The run.json of a finished run.

    Raises:
        ArtifactError: no run there, one that did not finish, or one that no run wrote (`elr.run_values.odd_value`).

    Example:
        >>> read_run(Path("no-such-run"))
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    try:
        is_folder = folder.is_dir()
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be looked at ({error.strerror}): expected the folder of a run") from error
    if not is_folder:
        raise ArtifactError(f"{folder} is not a folder: expected the --out of a run of `elr fit`")
    run = read_json(folder / RUN_FILE)
    if run.get("status") != "complete":
        raise ArtifactError(
            f"the run in {folder} is not complete: finish it with --resume; its command was: {run.get('command')}"
        )
    if odd := odd_value(run):
        raise ArtifactError(f"{folder / RUN_FILE} is damaged: {odd}; run `elr fit` again")
    return run


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_tensors(Path(folder) / "a.safetensors", {"weight": torch.ones(2, 2).T})
        ...     read_tensors(Path(folder) / "a.safetensors")["weight"].shape
        torch.Size([2, 2])
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_file(path, lambda partial: save_file(contiguous, partial))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors from safetensors.

    Raises:
        ArtifactError: no such file, or damaged.

    Example:
        >>> read_tensors(Path("no-such-run") / "model.safetensors")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run/model.safetensors cannot be read (...): the run is incomplete or damaged
    """
    try:
        with plain_name(path) as named:
            return load_file(named)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): the run is incomplete or damaged") from error
