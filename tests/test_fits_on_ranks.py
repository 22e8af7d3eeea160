"""`elr fit` on several processes: the run of one, killed and resumed, on another number of them, on other data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from elr.audit.evidence import read_evidence
from fits_on_ranks import OTHERS, command

SCRIPT = Path(__file__).parent / "fits_on_ranks.py"
QUIET = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits")
    ran = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, env=QUIET, timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "found.json").read_text())


def said(folder, name, rank=0):
    return (folder / f"{name}-{rank}.log").read_text()


def assert_alike(folder, one, other, *, exactly, most=1e-5):
    differences = [np.abs(read_evidence(folder / one).pred_probs - read_evidence(folder / other).pred_probs).max()]
    weights = [load_file(folder / name / "model.safetensors") for name in (one, other)]
    differences += [np.abs(value - weights[1][name]).max() for name, value in weights[0].items()]
    assert max(differences) <= (0 if exactly else most)


@pytest.mark.parametrize("name", ["one", "dense", "sharded"])
def test_runs_end_well_and_whole(folder, found, name):
    assert set(found[name]) == {0}, said(folder, name)
    assert (folder / name / "report.html").exists()
    assert (folder / name / "issues.csv").exists()
    assert not list((folder / name).glob("checkpoint*"))


def test_two_processes_give_the_run_of_one(folder):
    assert_alike(folder, "one", "dense", exactly=False)


@pytest.mark.parametrize("method", OTHERS)
@pytest.mark.parametrize("world", [2, 3])
def test_methods_that_look_at_the_batch_see_that_of_all_ranks(folder, found, method, world):
    """With dropout, which is drawn between the pairs of mixup."""
    assert set(found[f"{method}-{world}"]) == {0}, said(folder, f"{method}-{world}")
    assert_alike(folder, f"{method}-1", f"{method}-{world}", exactly=False)


@pytest.mark.parametrize(("data", "most"), [("members", 1e-5), ("images", 1e-3)])  # rounding grows in batch norm
def test_networks_side_by_side_and_batch_norm_are_those_of_one_process(folder, found, data, most):
    for world in (1, 3):
        assert set(found[f"{data}-{world}"]) == {0}, said(folder, f"{data}-{world}")
    assert_alike(folder, f"{data}-1", f"{data}-3", exactly=False, most=most)
    runs = [json.loads((folder / f"{data}-{world}" / "run.json").read_text()) for world in (1, 3)]
    assert runs[0]["remarks"] == runs[1]["remarks"]
    assert runs[0].get("choice") == runs[1].get("choice")


def test_rows_spread_over_ranks_give_the_run_of_a_table_on_each(folder):
    assert_alike(folder, "dense", "sharded", exactly=True)
    assert (folder / "dense" / "issues.csv").read_text() == (folder / "sharded" / "issues.csv").read_text()


def test_a_rank_killed_in_a_checkpoint_ends_the_others_and_leaves_the_one_before(found):
    other, killed = found["killed"]
    assert killed == -9
    assert other > 0
    assert found["left"] == ["checkpoint-000001", "checkpoint.partial"]


def test_it_is_resumed_bit_identical(folder, found):
    assert found["resumed-2"] == [0, 0], said(folder, "resumed-2")
    assert_alike(folder, "sharded", "resumed-2", exactly=True)
    assert "go on from it" not in said(folder, "resumed-2")


@pytest.mark.parametrize("world", [1, 4])
def test_another_number_of_processes_goes_on_and_says_so(folder, found, world):
    name = f"resumed-{world}"
    assert found[name] == [0] * world, said(folder, name)
    assert_alike(folder, "one", name, exactly=False)
    assert f"was written by 2 process(es), and {world} go on from it" in said(folder, name)
    assert json.loads((folder / name / "run.json").read_text())["num_processes"] == world


def test_ranks_that_see_other_data_are_refused_before_anything_is_written(folder, found):
    assert found["unlike"] == [2, 2]
    words = "the ranks differ in the data: rank 1 has other values of the given labels than rank 0, first in row 5: "
    assert words in said(folder, "unlike")
    assert len(said(folder, "unlike").partition("error: ")[2]) < 400
    assert found["nothing written"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lacking", "rank 1: no such file"),
        ("lacking-json", "rank 1: no such file"),
        ("streamed", "rank 1: the images in"),
        ("wrong", "method 'elr' has no setting"),
    ],
)
def test_an_error_of_another_rank_is_said_once_by_the_first(folder, found, name, message):
    assert found[name] == [2, 2]
    assert said(folder, name).count(f"error: {message}") == 1, said(folder, name)
    assert "error" not in said(folder, name, rank=1)
    assert found["nothing written"]


def test_an_error_of_another_rank_is_in_the_json_of_the_first(folder, found):
    objects = [line for line in said(folder, "lacking-json").splitlines() if line.startswith("{")]
    error = json.loads(objects[0])["error"]
    assert error["type"] == "DataError"
    assert error["message"].startswith("rank 1: no such file")


def test_under_torchrun_a_killed_run_resumes_bit_identical(folder, tmp_path):
    """With the command itself and a dense store; the unbroken run is that of the forked ranks."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    launch += ["--rdzv-endpoint=localhost:0", SCRIPT]
    arguments = command(folder, "torchrun")
    death = {"KILLED_RANK": "1", "KILLED_AT": "2", "ACCELERATE_USE_CPU": "true"}

    def launched(*more, **settings):
        whole = [*launch, "--as-rank", *arguments, *more]
        return subprocess.run(
            whole, capture_output=True, text=True, env=QUIET | settings, timeout=200, check=False, cwd=tmp_path
        )

    killed = launched(**death)
    assert killed.returncode != 0
    left = sorted(path.name for path in (folder / "torchrun").glob("checkpoint*"))
    assert left == ["checkpoint-000001", "checkpoint.partial"]
    resumed = launched("--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert_alike(folder, "dense", "torchrun", exactly=True)
