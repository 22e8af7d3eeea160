import json

import numpy as np

import elr
from command_line import elr as command


def test_the_model_is_written_and_the_check_is_said(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    elr.fit((rows, np.arange(40) % 2), out=tmp_path / "run", config=elr.FitConfig(epochs=1, members=1))
    result = command("export", tmp_path / "run", "--torch-export", tmp_path / "m.pt2", "--json")
    assert result.returncode == 0, result.stderr
    [written] = json.loads(result.stdout)["files"]
    assert written["path"] == str(tmp_path / "m.pt2")
    assert written["inputs"][0]["name"] == "features"
    assert "checked on 8 rows (made at random" in result.stderr
    assert "the model standardizes them itself" in result.stderr
    again = command("export", tmp_path / "run", "--torch-export", tmp_path / "m.pt2")
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists already" in again.stderr
    assert command("export", tmp_path / "run").returncode == 2
