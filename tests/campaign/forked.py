"""Commands of elr forked from a process that has everything loaded, so that most of their time is their own work."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from campaign.trials import HANG, FaultFound

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "CUDA_VISIBLE_DEVICES": ""}
_FORKS = """
import importlib, json, os, pkgutil, signal, sys
import elr, skops.io, optuna, jinja2
for found in pkgutil.walk_packages(elr.__path__, "elr."):
    if not found.name.startswith(("elr.integrations", "elr.__main__")):
        importlib.import_module(found.name)
from elr.cli.main import main
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit(0)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.chdir(asked["folder"])
said = os.open(asked["words"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
nothing = os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0), os.dup2(said, 1), os.dup2(said, 2)
sys.argv = ["elr", *asked["command"]]
try:
    main()
except KeyboardInterrupt:  # before its first line
    sys.exit(130)
"""


@cache
def _forks() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _FORKS],
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(process.terminate)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", "elr cannot be loaded"
    return process


def forked(
    command: list[str],
    folder: Path,
    *,
    until: Callable[[], bool] = lambda: False,
    by: signal.Signals = signal.SIGKILL,
    seconds: float = 300.0,
) -> tuple[int, str]:
    """A command, with a signal to it and all that it began once something holds; its exit status and words."""
    forks, words = _forks(), folder / "words.txt"
    assert forks.stdin is not None
    assert forks.stdout is not None
    forks.stdin.write(json.dumps({"folder": str(folder), "command": command, "words": str(words)}) + "\n")
    forks.stdin.flush()
    child, started, sent = int(forks.stdout.readline()), time.monotonic(), False
    while _runs(child):
        if not sent and until():
            with suppress(ProcessLookupError):  # it has not yet a group of its own, or has just ended
                os.killpg(child, by)
                sent = True
        if time.monotonic() - started > seconds:
            os.kill(child, signal.SIGKILL)
            forks.stdout.readline()
            raise FaultFound(HANG, f"elr {' '.join(command)} had not ended after {seconds:.0f} s (signal sent: {sent})")
        time.sleep(0.0005)
    code = int(forks.stdout.readline())
    said = words.read_text(encoding="utf-8", errors="replace") if words.exists() else ""
    words.unlink(missing_ok=True)
    return code, said


def _runs(child: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        stat = Path(f"/proc/{child}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
