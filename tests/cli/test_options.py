"""Where the results of a command go, and what repeats it."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from elr.cli.options import destination, named_after, new_folder
from elr.errors import ArgumentError


@pytest.fixture
def called(monkeypatch):
    return lambda *arguments: monkeypatch.setattr("sys.argv", ["/usr/bin/elr", *arguments])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("customers.csv", "customers"),
        ("far/away/customers.v2.parquet", "customers.v2"),
        ("votes.csv.gz", "votes"),
        ("a b; rm -rf (1).csv", "a-b-rm-rf-1"),
        ("-x--.csv", "x"),
        ("fleurs d'été.csv", "fleurs-d-été"),
        ("花.csv", "花"),
        ("!.csv", "data"),
        ("\x1b[2J.csv", "2J"),
        ("plain", "plain-run"),
        ("x" * 300 + ".csv", "x" * 100),
        ("é" * 99 + ".csv", "é" * 50),
        ("bad\udc80.csv", "bad"),
        (None, "digits"),
    ],
)
def test_a_run_is_called_as_its_data(data, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert named_after(data) == Path(expected)


def test_the_run_of_a_folder_is_not_taken_for_data_nor_put_among_them(tmp_path, monkeypatch):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert named_after("photos") == named_after("photos/") == named_after("./photos") == Path("photos-run")
    monkeypatch.chdir(tmp_path / "photos")
    assert named_after(".") == Path("../photos-run")
    monkeypatch.chdir(tmp_path / "photos" / "cat")
    assert named_after("..") == Path("../../photos-run")


def test_folders_that_begin_at_once_are_different(tmp_path):
    with ThreadPoolExecutor(8) as pool, ExitStack() as stack:
        found = list(pool.map(lambda _: stack.enter_context(new_folder(tmp_path / "pets"))[0].name, range(8)))
        assert sorted(found) == ["pets", *(f"pets-{number}" for number in range(2, 9))]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_something_is_stays(tmp_path):
    with new_folder(tmp_path / "pets") as (folder, _):
        (folder / "run.json").write_text("{}")
    with new_folder(tmp_path / "pets") as (second, _):
        assert second == tmp_path / "pets-2"


def test_the_folder_that_was_asked_for_is_left_to_the_command(tmp_path, called):
    called("theory", "--out", "x")
    with new_folder(tmp_path / "pets", tmp_path / "x") as (folder, command):
        assert (folder, command) == (tmp_path / "x", "elr theory --out x")
    assert list(tmp_path.iterdir()) == []


def test_processes_of_a_group_find_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    (tmp_path / "pets").mkdir()
    for _ in range(2):
        with new_folder(tmp_path / "pets") as (folder, _):
            assert folder == tmp_path / "pets-2"


def test_going_on_needs_the_folder_and_the_last_unfinished_one_is_named(tmp_path):
    def refused():
        with pytest.raises(ArgumentError) as caught, new_folder(tmp_path / "pets", resume=True):
            pass
        return str(caught.value)

    assert refused() == "--resume needs the --out of the run to go on with"
    for seconds, (name, status) in enumerate([("pets", "running"), ("pets-2", "running"), ("pets-3", "complete")]):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "run.json"
        path.write_text(json.dumps({"status": status}))
        os.utime(path, (seconds, seconds))
    (tmp_path / "pets-4").mkdir()
    assert refused().endswith(f"to go on with: --out {tmp_path / 'pets-2'} was not finished")
    for name, source in (("mine", "data/pets.csv"), ("others", "birds.csv")):
        (tmp_path / name).mkdir()
        told = {"status": "running", "data": {"source": source}}
        (tmp_path / name / "run.json").write_text(json.dumps(told))
        os.utime(tmp_path / name / "run.json", (2e9, 2e9))
    assert refused().endswith(f"to go on with: --out {tmp_path / 'mine'} was not finished")  # its own --out


def test_the_command_is_as_it_was_given_with_the_folder_that_was_chosen(called):
    called("fit", "my data.csv", "--lam", "3")
    assert destination(None, Path("elr-out")) == (Path("elr-out"), "elr fit 'my data.csv' --lam 3 --out elr-out")


def test_it_does_not_resume_and_names_a_folder_once(called):
    called("fit", "x.csv", "--out", "here", "--resume")
    assert destination(Path("here"), Path("elr-out")) == (Path("here"), "elr fit x.csv --out here")
