"""The exceptions of elr, as a tree: catch `ELRError` for everything a caller can mend.

Each message says what was found, what was expected and what to do next. The one that many places need word for word,
of a package that is not installed, is made here: `optional`.
"""

from importlib import import_module
from typing import Any


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
