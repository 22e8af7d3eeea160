"""The folder of a run: written whole or not at all, file by file, and read without executing anything."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from elr.errors import ArtifactError, OutputError

RUN_FILE = "run.json"
MODEL_FILE = "model.safetensors"
EVIDENCE_FILE = "evidence.parquet"
BACKBONE_FILE = "backbone.safetensors"
PREPROCESSING_FILE = "preprocessing.skops"
METRICS_FILE = "metrics.jsonl"
ANNOTATORS_FILE = "annotators.csv"
ISSUES_FILE = "issues.csv"
REPORT_FILE = "report.html"
TUNING_FILE = "tuning.sqlite"
REPORT_DATA_FILE = "report.json"  # all that the page shows

_TRUSTED = ["numpy.dtype"]  # plain data, which older versions of skops do not list themselves
_TORCH_WRITER = ("PytorchStreamWriter", "unexpected pos", "file write failed")
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EFBIG: "the file is too large"}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write below `path` into an OutputError that says what to do."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # the latter two are how safetensors and torch.save fail
        if isinstance(error, RuntimeError) and not any(word in str(error) for word in _TORCH_WRITER):
            raise
        number = error.errno if isinstance(error, OSError) else None
        named = [code for code in _FULL if os.strerror(code) in str(error)]
        reason = _FULL.get(number or (named[0] if named else 0), str(error))
        raise OutputError(
            f"cannot write {path}: {reason}; make room or choose another place, then run again (with --resume to go on "
            "from the last checkpoint)"
        ) from error


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all: `write` fills a temporary neighbor, which then takes the name.

    Raises:
        OutputError: the disk is full, the folder is not writable, ...
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with writing(path):
            write(partial)
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


def is_partial(name: str) -> bool:
    """Whether a file or folder of this name is what a killed run of ours had not finished writing."""
    return name == "checkpoint.partial" or (name.startswith(".") and name.endswith(".partial"))


def contents(folder: Path) -> list[str]:
    """The names in the folder of a run, but for what a killed run had not finished writing; [] where there is none.

    Raises:
        OutputError: it is no folder, or cannot be looked at.
    """
    with writing(folder):
        if not folder.exists():
            return []
        if not folder.is_dir():
            raise OutputError(f"{folder} exists and is not a folder: choose another --out")
        return sorted(path.name for path in folder.iterdir() if not is_partial(path.name))


def something_else(folder: Path, names: Sequence[str]) -> OutputError:
    """The error of a folder that holds these names, and no run."""
    return OutputError(f"{folder} exists and holds something else ({', '.join(names[:3])}): choose another --out")


def is_tuning(name: str) -> bool:
    """Whether it is the file of a search for settings, or what SQLite keeps beside it while it writes."""
    return name.startswith(TUNING_FILE)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all."""
    write_file(path, lambda partial: partial.write_text(text, encoding="utf-8", errors="backslashreplace"))


def append_line(path: Path, line: str) -> None:
    """Add one line to a file, and hand it to the operating system before going on."""
    with writing(path), path.open("a", encoding="utf-8") as handle:
        handle.write(line + "\n")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as JSON; numbers that JSON does not have (NaN, infinity) become null."""
    write_text(path, json.dumps(without_nan(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """The same plain value with None for every number that is not finite."""
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
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error.strerror}): expected the folder of a run of elr") from error
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is damaged: expected a JSON object, found {type(content).__name__}")
    return content


def write_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write objects as JSON, one a line."""
    write_text(path, "".join(json_line(record) + "\n" for record in records))


def json_line(record: Mapping[str, Any]) -> str:
    """An object as JSON in one line, numbers that are not finite as null."""
    return json.dumps(without_nan(dict(record)), allow_nan=False)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read objects, one a line.

    Raises:
        ArtifactError: no such file, or damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): the run is incomplete or damaged") from error


def read_run(folder: Path) -> dict[str, Any]:
    """The run.json of a finished run.

    Raises:
        ArtifactError: no run there, or one that did not finish.
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
    return run


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_file(path, lambda partial: save_file(contiguous, partial))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors from safetensors.

    Raises:
        ArtifactError: no such file, or damaged.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): the run is incomplete or damaged") from error


def write_preprocessing(path: Path, preprocessing: object) -> None:
    """Write a scikit-learn transformer in the skops format."""
    from skops import io as skops_io  # half a second, which only some commands need to spend

    write_file(path, lambda partial: skops_io.dump(preprocessing, partial))


def read_preprocessing(path: Path) -> Any:
    """Read a scikit-learn transformer; nothing but scikit-learn's and NumPy's own types is built.

    Raises:
        ArtifactError: no such file, damaged, or with types that could execute code.
    """
    from skops import io as skops_io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops_io.load(path, trusted=_TRUSTED)
    except UntrustedTypesFoundException as error:
        raise ArtifactError(f"{path} holds types that elr never writes ({error}): do not load it") from error
    except Exception as error:  # a damaged archive fails in many ways
        raise ArtifactError(f"{path} cannot be read ({error}): the run is incomplete or damaged") from error


def printable(path: Path | str) -> str:
    r"""A path as text that can be printed and written, bytes that are no UTF-8 as \xNN.

    Example:
        >>> printable("caf\udce9/cat.png")
        'caf\\xe9/cat.png'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
