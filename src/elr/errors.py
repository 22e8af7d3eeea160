"""The exceptions of elr, as a tree: catch `ELRError` for everything a caller can mend.

Each message says what was found, what was expected and what to do next. The one that many places need word for word,
of a package that is not installed, is made here: `optional`.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

Raised = TypeVar("Raised", bound=BaseException)
LineOf = Callable[[int], tuple[str, int, str] | None]
"""Where a row stands in a text file: its name, the number of the line from 1, and what is odd about that line, if
anything is; None where rows have no lines."""
_SHOWN = 5
_LACKS_MEMORY = ("can't allocate memory", "out of memory", "not enough memory", "bad_alloc", "cannot allocate memory")
_LACKS_MEMORY += ("can't start new thread", "failed to launch worker thread")  # each needs a stack of its own
_LACKS_MEMORY += ("storage size calculation overflowed",)  # more bytes than torch can count


class ELRError(Exception):
    """Base of every error that elr raises on purpose.

    Example:
        >>> try:
        ...     raise DataError("no such file: x.csv; expected a table, check its name")
        ... except ELRError as error:
        ...     print(error)
        no such file: x.csv; expected a table, check its name
    """


class ArgumentError(ELRError, ValueError):
    """An argument or setting lies outside what the function accepts.

    Example:
        >>> from elr.networks.architectures import Linear
        >>> Linear(num_features=0, num_classes=3)
        Traceback (most recent call last):
        elr.errors.ArgumentError: num_features is 0, expected an integer of at least 1: pass one.
    """


class DataError(ELRError, ValueError):
    """The data cannot be used as it is: missing, unreadable, or labels that say nothing.

    Example:
        >>> from pathlib import Path
        >>> from elr.datasets.readers.text_lists import lines
        >>> lines(Path("no such list"))
        Traceback (most recent call last):
        elr.errors.DataError: no such list cannot be read (No such file or directory): expected a file ...
    """


class RowError(DataError):
    """Some rows of the data cannot be used, of which the message names the first.

    Args:
        before: the message up to the first row.
        rows: their numbers, from 0.
        after: the message from there.

    Example:
        >>> error = RowError("y is missing in ", [2, 5], ": label it")
        >>> print(error)
        y is missing in row 2: label it; rows count from 0; then 5
        >>> print(error.located(lambda row: ("pets.csv", row + 2, "")))
        y is missing in line 4 of pets.csv (row 2): label it; rows count from 0; then line 7
    """

    def __init__(self, before: str, rows: Sequence[int] = (), after: str = "") -> None:
        super().__init__(before, rows, after)
        self.before = before
        self.rows = [int(row) for row in rows]
        self.after = after

    def __str__(self) -> str:
        return self._told([f"row {self.rows[0]}", *map(str, self.rows[1:_SHOWN])]) if self.rows else self.before

    def at(self, rows: Sequence[int]) -> "RowError":
        """The same, of data of which the rows are some of others, by their numbers there."""
        return RowError(self.before, [rows[row] for row in self.rows], self.after)

    def located(self, line_of: LineOf) -> DataError:
        """The same with the lines of a file, where it has such."""
        lines = [line for line in map(line_of, self.rows[:_SHOWN]) if line is not None]
        if not lines or len(lines) < len(self.rows[:_SHOWN]):
            return self
        file, number, note = lines[0]
        of = "" if file in self.before + self.after else f" of {file}"
        places = [f"line {number}{of} (row {self.rows[0]}{', ' * bool(note)}{note})"]
        for name, number, note in lines[1:]:
            places.append(f"line {number}" + f" of {name}" * (name != file) + f" ({note})" * bool(note))
            file = name
        return DataError(self._told(places))

    def _told(self, places: Sequence[str]) -> str:
        then = f"; then {', '.join(places[1:])}" if len(places) > 1 else ""
        more = ", ..." if len(self.rows) > _SHOWN else ""
        return f"{self.before}{places[0]}{self.after}; rows count from 0{then}{more}"


class RowIndexError(ELRError, IndexError):
    """A row number lies outside the training set.

    Example:
        >>> import torch
        >>> from elr.targets.dense import DenseTargets
        >>> DenseTargets(5, 3).read(torch.tensor([5]))
        Traceback (most recent call last):
        elr.errors.RowIndexError: ...
    """


class OutputError(ELRError):
    """A result cannot be written where it was asked for.

    Example:
        >>> issubclass(OutputError, ELRError), issubclass(OutputError, ValueError)  # the caller's arguments were right
        (True, False)
    """


class CheckpointError(ELRError):
    """A checkpoint is missing, damaged, or belongs to another configuration.

    Example:
        >>> try:
        ...     raise CheckpointError("config.lam was 3.0, now 7.0: keep the settings, or take a new --out")
        ... except ELRError as error:
        ...     print(type(error).__name__)
        CheckpointError
    """


class ArtifactError(ELRError):
    """The folder of a run lacks a file, or a file in it cannot be trusted or read.

    Example:
        >>> try:
        ...     raise ArtifactError("elr-out has no run.json: expected the folder of a run of `elr fit`")
        ... except ELRError as error:
        ...     print(type(error).__name__)
        ArtifactError
    """


class TrainingError(ELRError, RuntimeError):
    """Training cannot go on: it diverged.

    Example:
        >>> issubclass(TrainingError, RuntimeError)  # as PyTorch's own failures in a step are
        True
    """


class DataWarning(UserWarning):
    """Data were read, and results are likely to be wrong unless what the message says is looked at.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warnings.warn("column 'sex': no value was known in training", DataWarning, stacklevel=1)
        >>> [each.category.__name__ for each in caught]
        ['DataWarning']
    """


def of_all_ranks(error: Raised) -> Raised:
    """The same, marked as one that all processes that train together raise at once: the first one says it.

    Example:
        >>> is_of_all_ranks(of_all_ranks(DataError("rank 1: no such file: x.csv")))
        True
    """
    error.of_all_ranks = True  # type: ignore[attr-defined]
    return error


def is_of_all_ranks(error: BaseException) -> bool:
    """Whether `of_all_ranks` has marked it.

    Example:
        >>> is_of_all_ranks(DataError("no such file: x.csv"))
        False
    """
    return getattr(error, "of_all_ranks", False)


def lack_of_memory(error: BaseException | None) -> str | None:
    """The words of whoever got no memory, if that is why something failed: NumPy, Arrow, PyTorch or the system.

    Args:
        error: as it was caught; those that it came from are looked at too.

    Example:
        >>> lack_of_memory(MemoryError("Unable to allocate 74.5 GiB"))
        'Unable to allocate 74.5 GiB'
        >>> lack_of_memory(ValueError("no such column"))
    """
    looked_at: list[BaseException] = []
    while error is not None and error not in looked_at:  # an error can be its own cause
        looked_at.append(error)
        said = " ".join(str(error).split())
        outside = isinstance(error, RuntimeError | OSError) or type(error).__module__ == "pyarrow.lib"
        told = outside and any(word in said.lower() for word in _LACKS_MEMORY)
        if isinstance(error, MemoryError) or told:
            return said.partition(" Exception raised from")[0] or "no more of it is to be had"
        error = error.__cause__
    return None


def optional(module: str, purpose: str, *, extra: str) -> Any:
    """A module of a package that only some jobs need, and that an extra of elr brings.

    Args:
        module: its name, dotted.
        purpose: what needs it, as a message says it.
        extra: the extra that brings the package.

    Returns:
        The module.

    Raises:
        ArgumentError: the package is not installed; with the command that installs it.

    Example:
        >>> optional("nowhere.to_be_found", "a figure", extra="figures")
        Traceback (most recent call last):
        elr.errors.ArgumentError: a figure needs nowhere, which is not installed: pip install 'elr[figures]'
    """
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # it is there, and lacks something itself
        raise ArgumentError(
            f"{purpose} needs {package.replace('_', '-')}, which is not installed: pip install 'elr[{extra}]'"
        ) from error
