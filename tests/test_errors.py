"""The tree of exceptions: one base, and the built-in errors that callers would expect beside it."""

import inspect
import pickle
import sys

import pyarrow as pa
import pytest

from elr import errors
from elr.errors import ArgumentError, DataError, ELRError, RowError, lack_of_memory, optional

BUILT_IN = {
    "ArgumentError": ValueError,
    "DataError": ValueError,
    "RowError": ValueError,
    "RowIndexError": IndexError,
    "TrainingError": RuntimeError,
    "OutputError": Exception,
    "CheckpointError": Exception,
    "ArtifactError": Exception,
}


def test_the_tree_is_pinned():
    classes = inspect.getmembers(errors, inspect.isclass)
    found = {name for name, kind in classes if kind.__module__ == errors.__name__}
    assert found == {"ELRError", "DataWarning", *BUILT_IN}


@pytest.mark.parametrize(("name", "built_in"), BUILT_IN.items())
def test_each_is_caught_as_what_it_is(name, built_in):
    kind = getattr(errors, name)
    assert issubclass(kind, ELRError)
    assert issubclass(kind, built_in)
    assert str(kind("found, expected, do this")) == "found, expected, do this"


def test_a_package_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    for name in ("sentence_transformers", "sentence_transformers.models"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ArgumentError, match=r"^--encoder needs sentence-transformers, .*: pip install 'elr\[text\]'$"):
        optional("sentence_transformers.models", "--encoder", extra="text")


def test_a_package_that_lacks_something_itself_says_so(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        optional("half_there", "a figure", extra="figures")


ERROR = RowError("y of t is missing in ", range(3, 10), ": label it")


def test_rows_are_told_by_their_numbers_where_they_have_no_lines():
    told = "y of t is missing in row 3: label it; rows count from 0; then 4, 5, 6, 7, ..."
    assert str(ERROR) == str(ERROR.located(lambda row: None)) == str(pickle.loads(pickle.dumps(ERROR))) == told
    assert str(ERROR.at([10 * row for row in range(10)])).startswith("y of t is missing in row 30: label it")


def test_rows_are_told_by_their_lines_where_they_have_such():
    found = ERROR.located(lambda row: ("a.csv" if row < 5 else "b.csv", row + 2, "odd" if row % 3 == 0 else ""))
    assert str(found) == (
        "y of t is missing in line 5 of a.csv (row 3, odd): label it; rows count from 0; then line 6, line 7 of b.csv, "
        "line 8 (odd), line 9, ..."
    )
    assert type(found) is DataError
    named = RowError("y of a.csv is missing in ", [1]).located(lambda row: ("a.csv", row + 2, ""))
    assert str(named) == "y of a.csv is missing in line 3 (row 1); rows count from 0"


def test_a_lack_of_memory_is_found_behind_other_errors():
    refused = DataError("cannot be read")
    refused.__cause__ = MemoryError()
    assert lack_of_memory(refused) == "no more of it is to be had"
    assert lack_of_memory(OSError(12, "Cannot allocate memory")) == "[Errno 12] Cannot allocate memory"
    told = RuntimeError("DefaultCPUAllocator: can't allocate memory Exception raised from alloc\nframe #0")
    assert lack_of_memory(told) == "DefaultCPUAllocator: can't allocate memory"
    assert lack_of_memory(RuntimeError("Storage size calculation overflowed with sizes=[8796093022208, 2]")) is not None
    assert lack_of_memory(RuntimeError("a bug")) is None


def test_an_error_that_is_its_own_cause_is_looked_at_once():
    error = DataError("no such column")
    error.__cause__ = error
    assert lack_of_memory(error) is None


def test_arrow_that_gets_no_thread_lacks_memory_and_an_arrow_error_of_the_data_does_not():
    told = pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable")
    assert lack_of_memory(told).startswith("Unknown error: Failed")
    assert lack_of_memory(pa.ArrowInvalid("CSV parse error: Expected 3 columns, got 2")) is None
