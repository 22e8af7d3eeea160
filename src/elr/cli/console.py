"""What the command line says to people and programs: words and progress on stderr, JSON on stdout."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from elr.errors import DataError, ELRError, is_of_all_ranks, lack_of_memory
from elr.run_values import when_measured

_AGREEMENTS = {  # what says without trusted labels how good a single network is, the best witness first
    "out_of_fold_agreement": "the given labels are predicted by networks that never saw them",  # of older runs
    "validation_agreement": "the given labels of rows held out are predicted",
    "agreement_with_given_labels": "the given labels, which it was trained on, are predicted",
}

_LESS = (
    "ask for less at once (--max-memory streams images and keeps targets on disk; fewer rows, columns or networks), or "
    "free some; a run that had begun goes on with --resume"
)

if TYPE_CHECKING:
    from elr.audit.audited_run import AuditedRun
    from elr.data.inspection import Inspection
    from elr.runs.fit import Outcome
    from elr.runs.run import Fitted


def show_reading(found: Inspection, *, in_full: bool = False) -> None:
    """What was read, before anything is trained, in about a dozen lines; or in full.

    Example:
        >>> from contextlib import redirect_stderr
        >>> from elr.data.inspection import Inspection
        >>> classes = [{"name": "cat", "count": 3, "share": 0.75}, {"name": "dog", "count": 1, "share": 0.25}]
        >>> found = Inspection(
        ...     source="p.npz", kind="features", num_examples=4, labels_from="label column 'y'", classes=classes
        ... )
        >>> with redirect_stderr(sys.stdout):
        ...     show_reading(found)
        Read p.npz: features, 4 rows
        2 classes in label column 'y': cat 3 (75.0 %), dog 1 (25.0 %)
    """
    for line in found.lines(None) if in_full else found.lines():
        say(without_controls(line))


def summarize(outcome: Outcome) -> None:
    """What `elr fit` found: what is to be known of it, and at last five lines.

    Example:
        >>> from contextlib import redirect_stderr
        >>> from pathlib import Path
        >>> from types import SimpleNamespace
        >>> found = {"noise_rate": 0.1, "noise_rate_interval": (0.08, 0.12), "num_examples": 500, "num_label_issues": 9}
        >>> found |= {"warnings": [], "early_learning": {"text": "It came first."}, "test_accuracy_last": 0.9}
        >>> run = {"data": {"remarks": ["said before training"]}, "remarks": []}
        >>> fitted = SimpleNamespace(out=Path("pets"), results=found, run=run, history=[{}])
        >>> with redirect_stderr(sys.stdout):
        ...     summarize(SimpleNamespace(baseline=None, fitted=fitted))
        It came first.
        <BLANKLINE>
        Found:    about 10.0% of 500 labels look wrong (95 % interval 8.0% to 12.0%): 9 rows to look at
        How good: 90.0% of the test data right, after the last epoch
        Suspects: pets/issues.csv
        Report:   pets/report.html
        Next:     elr audit pets
    """
    if outcome.baseline is not None:
        say(_table(outcome))
    fitted = outcome.fitted
    _say_details(fitted, fitted.run["remarks"])
    _say_at_last(fitted)


def summarize_run(fitted: Fitted) -> None:
    """What a published experiment found: what is to be known of it, and at last five lines.

    Example:
        >>> from contextlib import redirect_stderr
        >>> from pathlib import Path
        >>> from types import SimpleNamespace
        >>> found = {"noise_rate": 0.1, "noise_rate_interval": (0.08, 0.12), "num_examples": 500, "num_label_issues": 9}
        >>> fitted = SimpleNamespace(
        ...     out=Path("cifar10-0"),
        ...     results=found | {"early_learning": {"text": "It came first."}, "warnings": [{"text": "No 'cat' ..."}]},
        ...     run={"data": {"remarks": ["3 rows without a label were left out"]}, "remarks": []},
        ...     history=[{"agreement_with_given_labels": 0.625}],
        ... )
        >>> with redirect_stderr(sys.stdout):
        ...     summarize_run(fitted)
        warning: No 'cat' ...
        It came first.
        note: 3 rows without a label were left out
        <BLANKLINE>
        Found:    about 10.0% ...
        How good: 62.5% of the given labels, which it was trained on, are predicted; ...
        Suspects: cifar10-0/issues.csv
        Report:   cifar10-0/report.html
        Next:     elr audit cifar10-0
    """
    _say_details(fitted, [*fitted.run["data"]["remarks"], *fitted.run["remarks"]])
    _say_at_last(fitted)


def _say_details(fitted: Fitted, remarks: list[str]) -> None:
    results = fitted.results
    _warn(results)
    for chosen in ("tuning", "choice"):
        if chosen in results:
            say(results[chosen]["text"])
    say(results["early_learning"]["text"])
    annotators = fitted.out / "annotators.csv"
    if annotators.exists():
        say(f"Annotators, the most often contradicted first: {annotators}")
    for remark in remarks:
        say(without_controls(f"note: {remark}"))


def _say_at_last(fitted: Fitted) -> None:
    from elr.files import ISSUES_FILE, REPORT_FILE

    found, share = verdict(fitted.results), fitted.results.get("expected_precision")
    if share is not None and "out_of_fold_agreement" in fitted.results:  # others are too sure
        found += f", of which about {share:.0%} are expected to be wrong"
    say(
        f"\nFound:    {found[0].lower()}{found[1:]}\nHow good: {how_good(fitted)}\n"
        f"Suspects: {fitted.out / ISSUES_FILE}\nReport:   {fitted.out / REPORT_FILE}\n"
        f"Next:     {shlex.join(['elr', 'audit', str(fitted.out)])}"
    )


def how_good(fitted: Fitted) -> str:
    """What can be said of the accuracy, in a sentence: of trusted labels where there are any.

    Example:
        >>> from types import SimpleNamespace
        >>> how_good(SimpleNamespace(results={"test_accuracy_last": 0.9}, history=[{}]))
        '90.0% of the test data right, after the last epoch'
        >>> how_good(SimpleNamespace(results={"out_of_fold_agreement": 0.75}, history=[{}]))
        '75.0% of the given labels are predicted by those of the chosen networks that never saw them; ...'
    """
    last, results = fitted.history[-1] if fitted.history else {}, fitted.results
    if "test_accuracy_last" in results:
        return f"{results['test_accuracy_last']:.1%} of the test data right, {when_measured(results)}"
    if "out_of_fold_agreement" in results:
        said = "of the given labels are predicted by those of the chosen networks that never saw them"
        return f"{results['out_of_fold_agreement']:.1%} {said}; --test measures it on trusted labels"
    for measure, words in _AGREEMENTS.items():
        if last.get(measure) is not None:
            return f"{last[measure]:.1%} of {words}; --test measures it on trusted labels"
    return "not measured: --test measures it on trusted labels"


def summarize_audit(audited: AuditedRun, top: int) -> None:
    """What an audit found: how much, where most, how sure; the worst rows on stdout.

    Example:
        >>> import pandas as pd
        >>> from contextlib import redirect_stderr
        >>> from pathlib import Path
        >>> from types import SimpleNamespace
        >>> found = {"noise_rate": 0.5, "noise_rate_interval": (0.2, 0.8), "num_examples": 4, "num_label_issues": 2}
        >>> audited = SimpleNamespace(
        ...     folder=Path("elr-out"),
        ...     to_json=lambda top: found
        ...     | {"warnings": [], "confusions": [], "expected_precision": {"2": 0.75}, "out_of_fold": True},
        ...     suspects=lambda top: pd.DataFrame({"row": [3], "given_label": ["cat"], "is_label_issue": [True]}),
        ... )
        >>> with redirect_stderr(sys.stdout):
        ...     summarize_audit(audited, 1)
        About 50.0% of 4 labels look wrong (95 % interval 20.0% to 80.0%): 2 rows to look at
        Of the 2 most suspect labels about 75.0% are expected to be wrong
         row given_label
           3         cat
        1 more in elr-out/issues.csv
    """
    import pandas as pd

    from elr.files import ISSUES_FILE

    everything = audited.to_json(0)
    _warn(everything)
    say(verdict(everything))
    if pairs := everything["confusions"][:3]:
        said = (f"{pair['given']!r} should be {pair['clean']!r} ({_rows(pair['num_rows'])})" for pair in pairs)
        say(without_controls(f"Most often: {', '.join(said)}"))
    for cut, share in everything["expected_precision"].items():
        if everything["out_of_fold"]:
            say(f"Of the {cut} most suspect labels about {share:.1%} are expected to be wrong")
        else:
            say(f"Of the {cut} most suspect labels the model expects {share:.1%} to be wrong; it is rather too sure")
    worst = audited.suspects(top)
    if len(worst):
        with pd.option_context("display.max_colwidth", 60, "display.width", 160):
            print(without_controls(worst.drop(columns="is_label_issue").to_string(index=False)))
    if len(worst) < everything["num_label_issues"]:
        say(f"{everything['num_label_issues'] - len(worst)} more in {audited.folder / ISSUES_FILE}")


def verdict(results: dict[str, Any]) -> str:
    """How many labels look wrong, in a sentence.

    Example:
        >>> found = {"noise_rate": 0.1, "noise_rate_interval": (0.08, 0.12), "num_examples": 500}
        >>> verdict(found | {"num_label_issues": 50})
        'About 10.0% of 500 labels look wrong (95 % interval 8.0% to 12.0%): 50 rows to look at'
    """
    if results["noise_rate"] is None or math.isnan(results["noise_rate"]):  # null in a run.json that was read again
        listed = _rows_to_look_at(results) if results["num_label_issues"] else "no row is called a suspect"
        return f"How many of {results['num_examples']} labels are wrong cannot be said: {listed}"
    low, high = results["noise_rate_interval"]
    return (
        f"About {results['noise_rate']:.1%} of {results['num_examples']} labels look wrong "
        f"(95 % interval {low:.1%} to {high:.1%}): {_rows_to_look_at(results)}"
    )


def _rows_to_look_at(results: dict[str, Any]) -> str:
    return f"{_rows(results['num_label_issues'])} to look at"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _warn(results: dict[str, Any]) -> None:
    for alarm in results["warnings"]:
        say(without_controls(f"warning: {alarm['text']}"))


def _table(outcome: Outcome) -> str:
    from elr.runs.reporting import COMPARED, comparison

    rows = comparison([each for each in (outcome.baseline, outcome.fitted) if each is not None])
    shown = [key for key in COMPARED if any(key in row for row in rows)]
    width = max(map(len, shown))
    wide = max(16, *(len(row["method"]) + 2 for row in rows))
    lines = [" " * width + "".join(f"{row['method']:>{wide}}" for row in rows)]
    for key in shown:
        cells = ["-" if row.get(key) is None else f"{row[key]:.4g}" for row in rows]
        lines.append(f"{key:<{width}}" + "".join(f"{cell:>{wide}}" for cell in cells))
    return "\n".join(lines)


def without_controls(text: str) -> str:
    r"""Text from data, with what would steer the terminal made visible.

    Example:
        >>> without_controls("a title\x1b[2J")  # this would clear the screen
        'a title\ufffd[2J'
    """
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def print_json(content: dict[str, Any]) -> None:
    """One object on stdout, not-a-number as null.

    Example:
        >>> print_json({"accuracy": 0.5, "loss": float("nan")})
        {"accuracy": 0.5, "loss": null}
    """
    from elr.files import without_nan

    if speaks():
        print(json.dumps(without_nan(content), allow_nan=False))


def say(text: str) -> None:
    """Words for people, on stderr; what came from data in them cannot steer the terminal.

    Example:
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(sys.stdout):
        ...     say("Results go to elr-out")
        Results go to elr-out
    """
    if speaks():
        print(without_controls(text), file=sys.stderr, flush=True)


@contextmanager
def errors(as_json: bool, *, resume_with: str | None = None, by_itself: bool = False) -> Iterator[None]:
    """Say what went wrong in one line, and end with the status that belongs to it; see `speaks` for who says it.

    `resume_with` is the command that goes on after an interruption: with --resume, or `by_itself`.

    Example:
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(sys.stdout):
        ...     try:
        ...         with errors(as_json=True):
        ...             raise ELRError("no such folder: x")
        ...     except typer.Exit as end:
        ...         end.exit_code
        {"error": {"type": "ELRError", "message": "no such folder: x"}}
        error: no such folder: x
        2
    """
    try:
        with _termination_heard():
            yield
    except typer.Exit:
        raise
    except (ELRError, MemoryError, OSError, RuntimeError) as error:
        told = isinstance(error, DataError) and "memory" in str(error)  # what is too large, and what to do
        lacking = None if told else lack_of_memory(error)
        if lacking is None and not isinstance(error, ELRError):
            _say_lost_rank(error, as_json)
            raise
        said = str(error) if lacking is None else f"not enough memory: {lacking}; {_LESS}"
        if as_json:
            print_json({"error": {"type": type(error).__name__ if lacking is None else "MemoryError", "message": said}})
        _say_error(said, error)
        raise typer.Exit(2 if lacking is None else 1) from error
    except ImportError as error:
        said = f"{error}: a package is missing or broken; `elr doctor --imports` says which"
        if as_json and "torch" in sys.modules:
            print_json({"error": {"type": type(error).__name__, "message": said}})
        _say_error(said, error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as interrupt:
        again = f"; to go on: {resume_with}{'' if by_itself else ' --resume'}" if resume_with else ""
        if as_json:
            print_json({"error": {"type": "KeyboardInterrupt", "message": f"interrupted{again}"}})
        say(f"interrupted{again}")
        raise typer.Exit(143 if isinstance(interrupt, _Terminated) else 130) from interrupt


def _say_error(said: str, error: BaseException) -> None:
    """An error, once: the first rank says those that all have, any other one its own, which nobody else knows."""
    known = is_of_all_ranks(error)
    if speaks():
        say(f"error: {said}")
    elif not known:
        print(without_controls(f"error: rank {os.environ['RANK']}: {said}"), file=sys.stderr, flush=True)
    if known:  # torchrun ends the others with the first that goes: it must have spoken by then
        from elr.training.engine import leave_process_group

        with suppress(RuntimeError):
            leave_process_group()


def _say_lost_rank(error: BaseException, as_json: bool) -> None:
    """End with words, where the fault is that of another process of the group."""
    if "torch" not in sys.modules:
        return
    from elr.training.engine import is_lost_rank

    if is_lost_rank(error):
        said = "another rank has ended: see what it says; a run that had begun goes on with --resume"
        if as_json:
            print_json({"error": {"type": "TrainingError", "message": said}})
        say(f"error: {said}")
        raise typer.Exit(1) from error


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers and service managers send it: to be answered as Ctrl-C is."""


@contextmanager
def _termination_heard() -> Iterator[None]:
    """Within it, SIGTERM unwinds the program, so that nothing half-written stays; where nobody else listens to it."""

    def stop(*_: object) -> None:
        raise _Terminated

    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if not mine:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def speaks() -> bool:
    """Whether this process speaks for its group: the first one under torchrun, and any that is alone.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, RANK="1"):
        ...     speaks()
        False
    """
    return os.environ.get("RANK", "0") == "0"
