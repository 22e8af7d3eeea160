"""Where the results of a command go, and what repeats it."""

from pathlib import Path

import pytest

from elr.cli.options import destination, free_folder


@pytest.fixture
def called(monkeypatch):
    return lambda *arguments: monkeypatch.setattr("sys.argv", ["/usr/bin/elr", *arguments])


def test_a_name_that_is_taken_gets_the_next_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for expected in ("elr-out", "elr-out-2", "elr-out-3"):
        found = free_folder("elr-out")
        assert found == Path(expected)
        found.mkdir()


def test_the_command_is_as_it_was_given_with_the_folder_that_was_chosen(called):
    called("fit", "my data.csv", "--lam", "3")
    assert destination(None, Path("elr-out")) == (Path("elr-out"), "elr fit 'my data.csv' --lam 3 --out elr-out")


def test_it_does_not_resume_and_names_a_folder_once(called):
    called("fit", "x.csv", "--out", "here", "--resume")
    assert destination(Path("here"), Path("elr-out")) == (Path("here"), "elr fit x.csv --out here")
