"""What the command line says: where, in which words, and with which status it ends."""

import io
import json
from types import SimpleNamespace

import pytest
import typer

from elr.cli.console import errors, print_json, progress_bar, say, summarize_run, verdict, without_controls
from elr.errors import DataError

RESULTS = {
    "noise_rate": 0.25,
    "noise_rate_interval": [0.2, 0.3],
    "num_examples": 200,
    "num_label_issues": 50,
    "early_learning": {"text": "Learning was early."},
    "warnings": [],
}


def progress(epoch, **record):
    return SimpleNamespace(epoch=epoch, epochs=20, step=epoch, total=20, record=record)


def test_words_go_to_stderr_and_objects_to_stdout(capsys):
    say("words")
    print_json({"rate": float("nan")})
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"rate": None}, "words\n")


def test_of_many_processes_the_first_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    say("words")
    print_json({})
    with progress_bar() as show:
        show("elr", progress(10))
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_progress_is_a_line_each_tenth(capsys):
    with progress_bar() as show:
        for epoch in range(5):
            show("elr", progress(epoch, agreement_with_given_labels=0.5))
            show("trial 1/3", progress(epoch))
    assert capsys.readouterr().err.splitlines() == [
        "trial 1/3",
        "elr: epoch 1/20, agrees with 50.0% of the given labels",
        "elr: epoch 2/20, agrees with 50.0% of the given labels",
        "elr: epoch 4/20, agrees with 50.0% of the given labels",
    ]


def test_on_a_terminal_all_trials_share_a_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with progress_bar() as show:
        show("trial 1/2", progress(10))
        show("trial 2/2", progress(20))
        show("elr", progress(20))
    at_last = terminal.getvalue().rpartition("trial 2/2")[2]
    assert "elr 20/20" in at_last
    assert "trial 1/2" not in at_last


@pytest.mark.parametrize("as_json", [True, False])
def test_errors_are_one_line_and_status_2(capsys, as_json):
    with pytest.raises(typer.Exit) as caught, errors(as_json):
        raise DataError("no such file")
    assert caught.value.exit_code == 2
    out, err = capsys.readouterr()
    assert err == "error: no such file\n"
    assert out == ('{"error": {"type": "DataError", "message": "no such file"}}\n' if as_json else "")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "interrupted"),
        ({"resume_with": "elr fit x"}, "interrupted; to go on: elr fit x --resume"),
        ({"resume_with": "elr run x", "by_itself": True}, "interrupted; to go on: elr run x"),
    ],
)
def test_an_interruption_says_how_to_go_on(capsys, settings, words):
    with pytest.raises(typer.Exit) as caught, errors(False, **settings):
        raise KeyboardInterrupt
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == f"{words}\n"


def test_other_failures_are_not_hidden():
    with pytest.raises(ZeroDivisionError), errors(False):
        raise ZeroDivisionError


def test_text_of_the_data_cannot_steer_the_terminal():
    assert without_controls("a\x1b[2J\nb\tc") == "a\ufffd[2J\nb\ufffdc"


def test_warnings_come_before_what_they_are_about(capsys, tmp_path):
    found = {"noise_rate": float("nan"), "num_label_issues": 0, "warnings": [{"text": "Nothing was learned:\x1b[2J"}]}
    summarize_run(
        SimpleNamespace(out=tmp_path, results=RESULTS | found, run={"data": {"remarks": []}, "remarks": []}),
        "elr fit x",
    )
    assert capsys.readouterr().err.splitlines()[:2] == [
        "warning: Nothing was learned:\ufffd[2J",
        "How many of 200 labels are wrong cannot be said: no row is called a suspect",
    ]
    assert verdict(RESULTS | {"noise_rate": None}) == verdict(RESULTS | found)  # as run.json has it


def test_a_run_is_summed_up_with_where_things_lie(capsys, tmp_path):
    fitted = SimpleNamespace(
        out=tmp_path,
        results=RESULTS | {"test_accuracy_last": 0.5},
        run={"data": {"remarks": ["a class is rare"]}, "remarks": ["and a plan"]},
    )
    (tmp_path / "annotators.csv").touch()
    summarize_run(fitted, "elr fit x")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "Accuracy on the test data, last epoch: 0.5000",
        verdict(RESULTS),
        "Learning was early.",
        f"Annotators, the most often contradicted first: {tmp_path / 'annotators.csv'}",
        "note: a class is rare",
        "note: and a plan",
        f"Suspects: {tmp_path / 'issues.csv'}",
        f"Report:   {tmp_path / 'report.html'}",
        "Again, with a new --out: elr fit x",
    ]
