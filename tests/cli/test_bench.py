import json
import os
import signal
import subprocess
import time

from command_line import ELR, done, elr, inside
from elr.runs.bench.grid import shipped
from tiny_grids import TINY, written


def test_grids_and_cells_are_listed(tmp_path):
    assert json.loads(inside("bench", "--json").stdout) == {"grids": shipped()}
    assert "ablation" in inside("bench").stdout
    listed = json.loads(inside("bench", written(tmp_path), "--dry-run", "--only", "seed=1", "--json").stdout)
    assert (listed["count"], len(listed["cells"])) == (4, 4)
    assert listed["cells"][0] == {"data": "few", "noise": "none", "method": "cross_entropy", "seed": "1"}
    assert not (tmp_path / "bench-tiny").exists()


def test_a_grid_is_run_told_and_not_run_again(tmp_path):
    path = written(tmp_path)
    ran = elr("bench", path, "--skip", "seed=1", "--threads", "1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "4/4 few symmetric-0.4 strong 0: accuracy 0." in ran.stderr
    assert ran.stderr.splitlines()[-1] == "4 done in bench-tiny"
    out = tmp_path / "bench-tiny"
    (out / "cells" / "few--none--strong--0.json").write_text("{")
    again = elr("bench", path, "--skip", "seed=1", "--out", out, "--json")
    assert again.returncode == 1
    found = json.loads(again.stdout)
    assert found["cells"] == {"done": 3, "damaged": 1}
    assert list(found["problems"]) == ["few--none--strong--0"]
    assert "--retry" in again.stderr
    assert done("bench", path, "--skip", "seed=1", "--out", out, "--retry")["cells"] == {"done": 4}


def test_the_table_is_shown(tmp_path):
    path, out = written(tmp_path), tmp_path / "out"
    assert elr("bench", path, "--out", out, "--skip", "seed=1", "--threads", "1").returncode == 0
    shown = inside("bench", "--show", out)
    assert shown.exit_code == 0, shown.stdout
    assert "few: test accuracy, last epoch" in shown.stdout
    assert "strong" in shown.stdout
    file, pictures = tmp_path / "table.csv", tmp_path / "pictures"
    told = inside(
        "bench",
        "--show",
        out,
        "--format",
        "csv",
        "--against",
        "cross_entropy",
        "--out",
        file,
        "--pictures",
        pictures,
        "--json",
    )
    assert told.exit_code == 0, told.stdout
    found = json.loads(told.stdout)
    assert found["table"] + "\n" == file.read_text()
    assert str(file) in found["files"]
    assert len(found["files"]) == 1 + len(list(pictures.iterdir())) > 1
    for words, arguments in {
        "expected one of them": ["digits", "--show", out],
        "pass --show FOLDER": ["digits", "--against", "elr"],
        "no-such": ["--show", tmp_path / "no-such"],
    }.items():
        refused = inside("bench", *arguments, "--json")
        assert refused.exit_code == 2
        assert words in json.loads(refused.stdout)["error"]["message"]


def test_bad_input_is_refused(tmp_path):
    path = written(tmp_path, TINY.replace('"symmetric-0.4"', '"next-class-0.4"'))
    refused = inside("bench", path, "--out", tmp_path / "out", "--json")
    assert refused.exit_code == 2
    assert "4 of 8 cells are impossible" in json.loads(refused.stdout)["error"]["message"]
    for words, arguments in {
        "did you mean digits": ["digit"],
        "jobs is 0": [path, "--jobs", "0"],
        "expiry is 1 seconds": [path, "--expiry", "1"],
        "expected NAME=PATH": [path, "--data", "cifar10"],
        "expected PART=PATTERN": [path, "--only", "rate=1"],
    }.items():
        refused = inside("bench", *arguments, "--json")
        assert refused.exit_code == 2
        assert words in json.loads(refused.stdout)["error"]["message"]


def test_an_interrupted_bench_says_how_to_go_on_and_gives_back_its_claims(tmp_path):
    path, out = written(tmp_path, TINY.replace("epochs = 1,", "epochs = 400, batch_size = 2,")), tmp_path / "out"
    command = [*ELR, "bench", str(path), "--out", str(out), "--jobs", "2", "--threads", "2"]
    settings = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # a shell's `&` has it ignored
    with subprocess.Popen(command, **settings, **heard) as process:
        for _ in range(3000):
            if list((out / "runs").glob("*/run.json")) or process.poll() is not None:
                break
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, words = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"to go on: elr bench {path} --out {out}" in words
    assert not list((out / "claims").iterdir())
