import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from elr import files
from elr.errors import ArtifactError, OutputError


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def fail(partial):
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot write .*file\.txt: the disk is full; make room"):
        files.write_file(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_no_folder_no_file(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        files.write_text(tmp_path / "absent" / "file.txt", "text")


def test_json_has_no_nan(tmp_path):
    content = {"a": float("nan"), "b": [1.0, math.inf], "c": {"d": "ü"}}
    files.write_json(tmp_path / "x.json", content)
    assert files.read_json(tmp_path / "x.json") == {"a": None, "b": [1.0, None], "c": {"d": "ü"}}


def test_tensors_and_their_damage(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {"a": torch.arange(6).view(2, 3).T, "b": torch.ones(2, dtype=torch.bfloat16)}
    files.write_tensors(path, tensors)
    again = files.read_tensors(path)
    assert torch.equal(again["a"], tensors["a"])
    assert torch.equal(again["b"], tensors["b"])
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ArtifactError, match="incomplete or damaged"):
        files.read_tensors(path)


def test_new_files_have_the_mode_that_the_umask_says(tmp_path):
    files.write_tensors(tmp_path / "t.safetensors", {"a": torch.ones(1)})
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "t.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


class Foreign:
    def __reduce__(self):
        return print, ("code was executed",)


def test_preprocessing_goes_round_and_executes_nothing(tmp_path, capsys):
    path = tmp_path / "p.skops"
    scaler = StandardScaler().fit(np.arange(6.0).reshape(3, 2))
    files.write_preprocessing(path, scaler)
    np.testing.assert_array_equal(files.read_preprocessing(path).mean_, scaler.mean_)
    path.write_bytes(pickle.dumps(Foreign()))
    with pytest.raises(ArtifactError, match="cannot be read"):
        files.read_preprocessing(path)
    assert "executed" not in capsys.readouterr().out


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(ArtifactError, match="not a folder"):
        files.read_run(tmp_path / "absent")
    with pytest.raises(ArtifactError, match="expected the folder of a run"):
        files.read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        files.read_run(tmp_path)
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="expected a JSON object, found list"):
        files.read_run(tmp_path)
    files.write_json(tmp_path / "run.json", {"status": "running", "command": "elr fit x"})
    with pytest.raises(ArtifactError, match=r"not complete: finish it with --resume; its command was: elr fit x"):
        files.read_run(tmp_path)
