"""How far work is: on a terminal and without one."""

import io
from types import SimpleNamespace

import pytest

from elr.cli.progress import Pace, draws, progress_bar


def progress(epoch, **record):
    return SimpleNamespace(epoch=epoch, epochs=20, step=epoch, total=20, record=record)


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


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    time = SimpleNamespace(now=0.0)
    monkeypatch.setattr("elr.cli.progress.time", SimpleNamespace(monotonic=lambda: time.now))
    return time


def test_lines_say_how_long_it_takes_and_come_each_minute_of_a_long_epoch(capsys, clock):
    with progress_bar() as show:
        for step in range(0, 41):
            clock.now = 50.0 * step
            show("elr", SimpleNamespace(epoch=step // 40, epochs=10, step=step, total=400, record={}))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "elr: epoch 0/10, about 5.5 h left"
    assert lines[-1] == "elr: epoch 1/10, about 5.0 h left"
    assert len(lines) == 20


@pytest.mark.parametrize(
    ("passed", "done", "words"),
    [
        (0.5, 50, ""),
        (30, 50, ", about 30 s left"),
        (30, 20, ", about 2 min left"),
        (6000, 50, ", about 1.7 h left"),
        (30, 0, ""),
        (30, 100, ""),
    ],
)
def test_what_is_left_goes_by_what_was_done(clock, passed, done, words):
    pace = Pace()
    clock.now = passed
    assert pace.left(done, 100) == words


def test_what_was_done_before_says_nothing(clock):
    pace = Pace(done=90)
    clock.now = 10
    assert pace.left(95, 100) == ", about 10 s left"


@pytest.mark.parametrize(
    ("term", "rank", "expected"), [("xterm", "0", True), ("dumb", "0", False), ("xterm", "1", False)]
)
def test_bars_are_for_terminals_that_can_draw(monkeypatch, term, rank, expected):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("RANK", rank)
    assert draws() == expected


def test_of_many_processes_the_first_shows_how_far_they_are(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with progress_bar() as show:
        show("elr", progress(10))
    assert capsys.readouterr() == ("", "")
