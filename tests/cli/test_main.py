"""The command line as a whole: help, examples, and how quickly it answers."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from command_line import inside
from elr.cli.main import app, main


def test_help_answers_without_torch():
    code = (
        "import sys; sys.argv = ['elr', '--help']; from elr.cli.main import app\ntry: app()\nexcept SystemExit: pass\n"
    )
    check = "print(*(name in sys.modules for name in ('torch', 'numpy', 'pandas')))"
    shown = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True).stdout
    assert "predict" in shown
    assert shown.strip().endswith("False False False")


def commands(group=None, path=()):
    """Every command with the words that call it."""
    group = group or get_command(app)
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_the_commands_are_pinned():
    assert [" ".join(words) for words, _ in commands()] == [
        *(
            "fit",
            "inspect",
            "predict",
            "audit",
            "explain",
            "report",
            "clean",
            "run",
            "bench",
            "theory",
            "export",
            "doctor",
        ),
        *("data list", "data about", "data check", "data download"),
    ]


@pytest.mark.parametrize(
    ("words", "command"), list(commands()), ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_each_command_documents_a_call_that_it_takes(words, command):
    """Examples are shown by --help; as doctests they would need the data that they name."""
    calls = re.findall(r"Example:\n\s+elr (.*)", command.callback.__doc__)
    assert len(calls) == 1
    arguments = shlex.split(calls[0])
    assert tuple(arguments[: len(words)]) == words
    context = command.make_context(words[-1], arguments[len(words) :])  # reads options and arguments, and calls nothing
    assert context.params


def test_the_version_is_printed():
    assert inside("--version").stdout == f"elr {version('elr')}\n"


def test_a_word_that_is_no_command_ends_with_status_2():
    assert inside("fti").exit_code == 2


def test_a_misspelled_word_is_answered_with_the_nearest():
    assert "Did you mean 'audit'?" in inside("audt").stderr
    assert "--label" in inside("fit", "x.csv", "--lable", "y").stderr


def test_help_is_grouped_and_ends_with_the_exit_codes():
    shown = inside("--help").stdout
    places = [shown.index(f" {group} ─") for group in ("Your own data", "Review", "Research", "Tools")]
    assert places == sorted(places)
    assert "130 interrupted" in shown[places[-1] :]
    options = inside("fit", "--help").stdout
    assert all(f" {group} ─" in options for group in ("Data", "Training", "Search", "Output", "Devices"))


@pytest.mark.parametrize(
    ("variables", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_colors_are_as_the_environment_says(variables, colored):
    kept = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "GITHUB_ACTIONS")
    }
    environment = kept | {"TERM": "xterm-256color"} | variables
    shown = subprocess.run(
        [sys.executable, "-m", "elr", "--help"], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert bool(re.search(r"\x1b\[(\d+;)*3\d", shown)) == colored


def test_a_shell_completes_methods():
    environment = os.environ | {
        "_ELR_COMPLETE": "complete_bash",
        "COMP_WORDS": "elr fit --method elr",
        "COMP_CWORD": "3",
    }
    code = "from elr.cli.main import app; app(prog_name='elr')"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    ).stdout
    assert shown.split() == ["elr", "elr_plus"]


def test_an_interruption_before_a_command_begins_is_a_word(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("elr.cli.main.app", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (130, "interrupted\n")


def test_ctrl_c_after_all_is_done_is_too_late_to_be_told():
    code = (
        "import atexit, os, signal, sys; from elr.cli.main import main; sys.argv = ['elr', '--version']\n"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT)); main()"  # as what torch registers
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("elr ")


def test_what_an_interruption_left_half_made_is_no_traceback():
    """As a zip file does whose making was broken off: it has not yet what its end looks for."""
    code = (
        "from elr.cli import main\nfrom elr.cli.console import errors\n"
        "class Half:\n    def __init__(self): raise KeyboardInterrupt\n    def __del__(self): self.absent\n"
        "@main.app.command()\ndef broken():\n    with errors(False): Half()\n"
        "main.main()"
    )
    ended = subprocess.run([sys.executable, "-c", code, "broken"], capture_output=True, text=True, check=False)
    assert ended.returncode == 130
    assert ended.stderr == "interrupted\n"


_OF_SEVERAL = """
import atexit, sys, time
from elr.cli import main
class Stuck:  # as threads of torch's may be where the interpreter is taken down
    def __del__(self): time.sleep(100)
sys.modules["stuck"] = Stuck()
atexit.register(print, "tidied up")
@main.app.command()
def end(how: str):
    print("said")
    if how == "unforeseen": raise RuntimeError("unforeseen")
    if how == "interrupted": raise KeyboardInterrupt
    if how == "words": sys.exit("some words")
    if how != "done": sys.exit(int(how))
main.main()
"""


@pytest.mark.parametrize(
    ("how", "code", "told"),
    [
        ("done", 0, ""),
        ("2", 2, ""),
        ("words", 1, "some words"),
        ("interrupted", 130, ""),
        ("unforeseen", 1, "RuntimeError: unforeseen"),
    ],
)
def test_one_of_several_processes_ends_whatever_would_keep_the_interpreter(how, code, told):
    environment = os.environ | {"WORLD_SIZE": "2"}
    command = [sys.executable, "-c", _OF_SEVERAL, "end", how]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert (ended.returncode, ended.stdout) == (code, "said\ntidied up\n")
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr or how == "unforeseen"


@pytest.mark.parametrize("variables", [{}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": ""}])
def test_a_process_of_its_own_ends_as_python_does(variables):
    environment = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"} | variables
    code = _OF_SEVERAL.replace("time.sleep(100)", 'print("taken down", flush=True)')
    command = [sys.executable, "-c", code, "end", "done"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "said\ntidied up\ntaken down\n")
