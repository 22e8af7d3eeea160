"""The tree of exceptions: one base, and the built-in errors that callers would expect beside it."""

import inspect

import pytest

from elr import errors
from elr.errors import ELRError

BUILT_IN = {
    "ArgumentError": ValueError,
    "DataError": ValueError,
    "RowIndexError": IndexError,
    "TrainingError": RuntimeError,
    "OutputError": Exception,
    "CheckpointError": Exception,
    "ArtifactError": Exception,
}


def test_the_tree_is_pinned():
    found = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    assert found == {"ELRError", "DataWarning", *BUILT_IN}


@pytest.mark.parametrize(("name", "built_in"), BUILT_IN.items())
def test_each_is_caught_as_what_it_is(name, built_in):
    kind = getattr(errors, name)
    assert issubclass(kind, ELRError)
    assert issubclass(kind, built_in)
    assert str(kind("found, expected, do this")) == "found, expected, do this"
