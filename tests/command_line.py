"""The command line as its users call it, and a table to call it on."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
from typer.testing import CliRunner

from elr.cli.main import app

ELR = [sys.executable, "-m", "elr"]


def elr(*arguments, cwd=None, **settings):
    command = [*ELR, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if "preexec_fn" in settings:  # under limits that whatever counts covered lines could not keep to
        environment = {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, **settings)


def inside(*arguments):
    """The same without a process of its own, for what ends before it begins."""
    return CliRunner().invoke(app, [*map(str, arguments)])


def done(*arguments, **settings):
    """The JSON object of a command that must succeed."""
    result = elr(*arguments, "--json", **settings)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1
    return json.loads(result.stdout)


def flowers(count=240, noise=0.2, seed=0):
    """A table of mixed columns with wrong labels in `kind` and right ones in `truth`."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=count)
    given = truth.copy()
    wrong = rng.choice(count, int(noise * count), replace=False)
    given[wrong] = (given[wrong] + rng.integers(1, 3, size=len(wrong))) % 3
    names = np.array(["rose", "tulip", "lily"])
    frame = pd.DataFrame(
        {
            "key": [f"flower-{row}" for row in range(count)],
            "height": truth * 4.0 + rng.normal(size=count),
            "width": rng.normal(size=count) - truth * 3,
            "color": np.array(["red", "blue", "white"], dtype=object)[(truth + (rng.random(count) < 0.2)) % 3],
            "kind": names[given],
            "truth": names[truth],
        }
    )
    frame.loc[::17, "height"] = np.nan
    frame.loc[::19, "color"] = None
    return frame


FIT = ("--label", "kind", "--clean-label", "truth", "--id", "key", "--epochs", "60")
