"""The exceptions of elr, as a tree: catch `ELRError` for everything a caller can mend.

Each message says what was found, what was expected and what to do next.
"""


class ELRError(Exception):
    """Base of every error that elr raises on purpose."""


class ArgumentError(ELRError, ValueError):
    """An argument or setting lies outside what the function accepts."""


class DataError(ELRError, ValueError):
    """The data cannot be used as it is: missing, unreadable, or labels that say nothing."""


class RowIndexError(ELRError, IndexError):
    """A row number lies outside the training set."""


class OutputError(ELRError):
    """A result cannot be written where it was asked for."""


class CheckpointError(ELRError):
    """A checkpoint is missing, damaged, or belongs to another configuration."""


class ArtifactError(ELRError):
    """The folder of a run lacks a file, or a file in it cannot be trusted or read."""


class TrainingError(ELRError, RuntimeError):
    """Training cannot go on: it diverged."""
