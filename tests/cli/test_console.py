"""What the command line says: where, in which words, and with which status it ends."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
import typer

from elr.cli.console import errors, how_good, print_json, say, summarize, summarize_run, verdict, without_controls
from elr.errors import DataError, of_all_ranks

RESULTS = {
    "noise_rate": 0.25,
    "noise_rate_interval": [0.2, 0.3],
    "num_examples": 200,
    "num_label_issues": 50,
    "early_learning": {"text": "Learning was early."},
    "warnings": [],
}


def test_words_go_to_stderr_and_objects_to_stdout(capsys):
    say("words")
    print_json({"rate": float("nan")})
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"rate": None}, "words\n")


def test_of_many_processes_the_first_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    say("words")
    print_json({})
    assert capsys.readouterr() == ("", "")


def test_an_error_that_only_another_process_has_is_said_by_that_one(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(typer.Exit) as caught, errors(True):
        raise DataError("no such file: a\x1b[2J")
    assert caught.value.exit_code == 2
    assert capsys.readouterr() == ("", "error: rank 1: no such file: a\ufffd[2J\n")


@pytest.mark.parametrize(("rank", "said"), [("0", "error: rank 1: no such file\n"), ("1", "")])
def test_an_error_that_all_processes_have_is_said_by_the_first(capsys, monkeypatch, rank, said):
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(typer.Exit), errors(False):
        raise of_all_ranks(DataError("rank 1: no such file"))
    assert capsys.readouterr() == ("", said)


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


def test_an_error_that_names_a_file_cannot_steer_the_terminal(capsys):
    with pytest.raises(typer.Exit), errors(False):
        raise DataError("no such file: \x1b]0;title\x07\u202egnp.csv")
    assert capsys.readouterr().err == "error: no such file: \ufffd]0;title\ufffd\ufffdgnp.csv\n"


def test_warnings_come_before_what_they_are_about(capsys, tmp_path):
    found = {"noise_rate": float("nan"), "num_label_issues": 0, "warnings": [{"text": "Nothing was learned:\x1b[2J"}]}
    summarize_run(
        SimpleNamespace(
            out=tmp_path, results=RESULTS | found, run={"data": {"remarks": []}, "remarks": []}, history=[]
        ),
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: Nothing was learned:\ufffd[2J"
    assert "Found:    how many of 200 labels are wrong cannot be said: no row is called a suspect" in lines
    assert verdict(RESULTS | found | {"noise_rate": None}) == verdict(RESULTS | found)  # as run.json has it
    memorized = RESULTS | {"noise_rate": None, "num_label_issues": 1}
    assert verdict(memorized) == "How many of 200 labels are wrong cannot be said: 1 row to look at"


def a_run(out):
    return SimpleNamespace(
        out=out,
        results=RESULTS | {"test_accuracy_last": 0.5},
        run={"data": {"remarks": ["a class is rare"]}, "remarks": ["and a plan"]},
        history=[{}],
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"out_of_fold_agreement": 0.9}, "50 rows to look at, of which about 44% are expected to be wrong"),
        ({}, "50 rows to look at"),  # a single network is too sure of what it saw
    ],
)
def test_how_many_of_the_suspects_are_expected_to_be_wrong_is_told(capsys, tmp_path, found, said):
    run = a_run(tmp_path)
    run.results |= found | {"expected_precision": 0.44}
    summarize_run(run)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("Found:"))
    assert line.endswith(f"): {said}")


AT_LAST = """
Found:    about 25.0% of 200 labels look wrong (95 % interval 20.0% to 30.0%): 50 rows to look at
How good: 50.0% of the test data right, after the last epoch
Suspects: {out}/issues.csv
Report:   {out}/report.html
Next:     elr audit '{out}'"""


def test_a_run_ends_with_five_lines(capsys, tmp_path):
    out = tmp_path / "a name"  # which the command has to quote
    out.mkdir()
    (out / "annotators.csv").touch()
    summarize_run(a_run(out))
    first, _, last = capsys.readouterr().err.partition("\n\n")
    assert first.splitlines() == [
        "Learning was early.",
        f"Annotators, the most often contradicted first: {out / 'annotators.csv'}",
        "note: a class is rare",
        "note: and a plan",
    ]
    assert last.splitlines() == AT_LAST.format(out=out).splitlines()[1:]


def test_what_was_said_before_training_is_not_said_again(capsys, tmp_path):
    summarize(SimpleNamespace(fitted=a_run(tmp_path), baseline=None))
    said = capsys.readouterr().err
    assert "note: and a plan" in said
    assert "a class is rare" not in said


@pytest.mark.parametrize(
    ("results", "last", "words"),
    [
        ({"test_accuracy_last": 0.5, "out_of_fold_agreement": 0.9}, {}, "50.0% of the test data right, after the last"),
        ({"test_accuracy_last": 0.5, "choice": {}}, {}, "50.0% of the test data right, by the chosen networks togeth"),
        (
            {"out_of_fold_agreement": 0.8},
            {"out_of_fold_agreement": 0.9, "agreement_with_given_labels": 1.0},  # of all settings, chosen or not
            "80.0% of the given labels are predicted by those of the chosen networks that never saw them; --test",
        ),
        (
            {},
            {"validation_agreement": 0.8, "agreement_with_given_labels": 1.0},
            "80.0% of the given labels of rows held",
        ),
        (
            {},
            {"out_of_fold_agreement": None, "agreement_with_given_labels": 0.7},
            "70.0% of the given labels, which it was trained on, are predi",
        ),
        ({}, {}, "not measured: --test"),
    ],
)
def test_how_good_is_said_by_the_best_witness_that_there_is(results, last, words):
    assert how_good(SimpleNamespace(results=results, history=[last])).startswith(words)


def test_a_termination_is_an_interruption_with_a_status_of_its_own(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended, errors(as_json=False, resume_with="elr fit x"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.exit_code == 143
    assert capsys.readouterr().err == "interrupted; to go on: elr fit x --resume\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_program_that_listens_to_sigterm_goes_on_doing_so():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with errors(as_json=False):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [1]


def _refused_for_memory():
    try:
        raise MemoryError("Unable to allocate 74.5 GiB")
    except MemoryError as error:
        raise DataError("x.parquet cannot be read") from error


def _refused_by_torch():
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you")


@pytest.mark.parametrize("fail", [_refused_for_memory, _refused_by_torch])
def test_a_lack_of_memory_is_told_with_what_to_do(capsys, fail):
    with pytest.raises(typer.Exit) as caught, errors(True):
        fail()
    assert caught.value.exit_code == 1
    out, err = capsys.readouterr()
    assert err.startswith("error: not enough memory: ")
    assert "--max-memory" in err
    assert err.count("\n") == 1
    assert json.loads(out)["error"]["type"] == "MemoryError"


def test_other_failures_of_the_program_are_not_hidden():
    with pytest.raises(RuntimeError, match="a bug"), errors(False):
        raise RuntimeError("a bug")


@pytest.mark.parametrize("said", ["[pair.cc:561] Connection closed by peer [127.0.0.1]:652", "writev: Broken pipe"])
def test_a_rank_that_has_lost_another_says_so(capsys, monkeypatch, said):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(typer.Exit) as ended, errors(as_json=True):
        raise RuntimeError(said)
    assert ended.value.exit_code == 1
    out, err = capsys.readouterr()
    assert err == "error: another rank has ended: see what it says; a run that had begun goes on with --resume\n"
    assert json.loads(out)["error"]["type"] == "TrainingError"
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(RuntimeError), errors(as_json=False):
        raise RuntimeError(said)
