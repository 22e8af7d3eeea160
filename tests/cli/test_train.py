"""`elr fit` and `elr run` as their users call them: mostly in processes of their own."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file
from typer.main import get_command

import tiny_cifar
from command_line import ELR, FIT, done, elr, flowers, inside
from elr.cli.main import app
from elr.datasets.as_data import CIFAR10_CLASSES
from elr.methods.catalog import METHODS, method_from_json
from elr.methods.elr import ELRConfig
from elr.runs.recipes import RECIPES
from scripts import ROOT


def test_the_page_that_help_names_lists_every_method():
    [method] = [option for option in get_command(app).commands["fit"].params if option.name == "method"]
    assert "docs/methods.md" in method.help
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` (?:\(default\) )?\|", page, flags=re.MULTILINE)[: len(METHODS)] == list(METHODS)


def test_fit_prints_what_it_found(run):
    out, printed = run
    assert printed["out"] == str(out)
    assert printed["num_examples"] == 240
    assert printed["num_classes"] == 3
    low, high = printed["noise_rate_interval"]
    assert low < printed["noise_rate"] < high
    assert abs(printed["noise_rate"] - 0.2) < 0.05
    assert abs(printed["num_label_issues"] / 240 - printed["noise_rate"]) < 0.05
    assert printed["seconds"] > 0
    assert printed["test_accuracy_last"] > 0.95
    assert printed["fraction_memorized"] < 0.2
    assert printed["suspects_precision"] > 0.85
    assert printed["suspects_recall"] > 0.9
    assert printed["average_precision"] > 0.9


def test_fit_writes_the_folder(run):
    out, printed = run
    names = sorted(path.name for path in out.iterdir())
    expected = ["issues.csv", "metrics.jsonl", "model.safetensors", "preprocessing.skops", "report.html", "run.json"]
    assert names == sorted([*expected, "README.md", "evidence.parquet", "explanations.parquet", "report.json"])
    record = json.loads((out / "run.json").read_text())
    assert record["results"] == printed
    assert record["status"] == "complete"
    assert "fit" in record["command"]
    assert record["training"]["epochs"] == 60
    assert record["data"]["num_examples"] == 240
    history = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == list(range(1, 61))
    assert history[-1]["test_accuracy"] == pytest.approx(printed["test_accuracy_last"])
    page = (out / "report.html").read_text()
    assert "flowers.csv" in page
    assert page.count("<script") == 2  # the suspects as JSON, and the review


def test_issues_are_one_line_per_example_worst_first(run, table):
    out, printed = run
    issues = pd.read_csv(out / "issues.csv")
    columns = ["row", "id", "given_label", "predicted_label", "label_quality", "is_label_issue", "expected_precision"]
    assert list(issues.columns) == columns
    assert sorted(issues["row"]) == list(range(240))
    assert issues["label_quality"].is_monotonic_increasing
    assert issues["is_label_issue"].sum() == printed["num_label_issues"]
    data = pd.read_csv(table)
    assert (data["key"].to_numpy()[issues["row"]] == issues["id"]).all()
    assert (data["kind"].to_numpy()[issues["row"]] == issues["given_label"]).all()
    worst = issues[issues["is_label_issue"]]
    assert (data["truth"].to_numpy()[worst["row"]] == worst["predicted_label"]).mean() > 0.85


def test_words_go_to_stderr_first_the_place_and_last_the_next_command(table, tmp_path):
    result = elr("fit", table, *FIT[:-1], "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert lines[0] == "Results go to flowers"
    assert [line.partition(":")[0] for line in lines[-5:]] == ["Found", "How good", "Suspects", "Report", "Next"]
    assert lines[-1].split()[1:] == ["elr", "audit", "flowers"]
    assert json.loads((tmp_path / "flowers" / "run.json").read_text())["command"].endswith("--out flowers")
    assert elr(*lines[-1].split()[2:], cwd=tmp_path).returncode == 0
    again = elr("fit", table, *FIT[:-1], "2", cwd=tmp_path)  # the very same command
    assert (again.returncode, again.stderr.splitlines()[0]) == (0, "Results go to flowers-2")


def test_what_is_refused_leaves_no_folder(table, tmp_path):
    refused = elr("fit", table, "--label", "kinds", cwd=tmp_path)
    assert refused.returncode == 2
    assert "did you mean 'kind'?" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_compare_trains_both_methods(table, tmp_path):
    printed = done("fit", table, *FIT[:-1], "3", "--compare", "--out", tmp_path / "both")
    assert set(printed["methods"]) == {"cross_entropy", "elr"}
    assert printed["methods"]["cross_entropy"]["out"] == str(tmp_path / "both" / "cross_entropy")
    assert (tmp_path / "both" / "cross_entropy" / "report.html").exists()
    assert "cross_entropy" in (tmp_path / "both" / "report.html").read_text()


@pytest.mark.parametrize("kind", ["folder", "parquet", "npz"])
def test_other_kinds_of_data(kind, tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=40)
    pixels = (rng.integers(0, 80, size=(40, 20, 20, 3)) + 150 * labels[:, None, None, None]).astype(np.uint8)
    arguments = ["--batch-size", "10", "--epochs", "6", "--out", tmp_path / "out"]
    if kind == "npz":
        np.savez(tmp_path / "d.npz", x=pixels.reshape(40, -1)[:, :50].astype(np.float32), y=labels)
        data = tmp_path / "d.npz"
        arguments += ["--label", "y"]
    else:
        for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            path = tmp_path / "images" / f"class{label}" / f"{row:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        data = tmp_path / "images"
    if kind == "parquet":
        files = sorted((tmp_path / "images").rglob("*.png"))
        records = [{"bytes": path.read_bytes(), "path": path.name} for path in files]
        given = [int(path.parent.name[-1]) for path in files]
        data = tmp_path / "d.parquet"
        pd.DataFrame({"img": records, "label": given}).to_parquet(data)
        arguments += ["--label", "label"]
    printed = done("fit", data, *arguments)
    assert (printed["num_examples"], printed["num_classes"]) == (40, 2)
    done("predict", tmp_path / "out", data, "--out", tmp_path / "p.parquet")
    predictions = pd.read_parquet(tmp_path / "p.parquet")
    issues = pd.read_csv(tmp_path / "out" / "issues.csv").sort_values("row")
    agreement = predictions["predicted_label"].astype(str).to_numpy() == issues["given_label"].astype(str).to_numpy()
    assert agreement.mean() > 0.9


# ---- bad input: status 2, one clear message, nothing written


def bad_frame(**changes):
    return flowers(60).assign(**changes)


BAD_TABLES = {
    "missing": (flowers(60).drop(columns="kind"), "has no label column 'kind': it has 'key', 'height'"),
    "constant": (bad_frame(kind="rose"), "constant: all 60 rows say"),
    "all distinct": (bad_frame(kind=[f"k{row}" for row in range(60)]), "different in each of the 60 rows"),
    "nan": (bad_frame(kind=["rose", "tulip", None] * 20), "missing in 20 of 60 rows, first in line 4 (row 2)"),
    "one example": (bad_frame(kind=["rose", "tulip"] * 29 + ["rose", "lily"]), "one example only ('lily')"),
    "infinite": (
        bad_frame(height=[1.0, np.inf, 2.0] * 20),
        "column 'height' of the training data is infinite in line 3 of",
    ),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_tables(case, tmp_path):
    frame, words = BAD_TABLES[case]
    frame.to_csv(tmp_path / "bad.csv", index=False)
    result = inside("fit", tmp_path / "bad.csv", "--label", "kind", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_errors_in_json(tmp_path):
    result = elr("fit", tmp_path / "absent.csv", "--label", "y", "--json", "--out", tmp_path / "out")
    assert result.returncode == 2
    assert "no such file" in json.loads(result.stdout)["error"]["message"]


def test_nan_in_features_is_said_where(tmp_path):
    features = np.ones((70, 3))
    features[5, 2] = np.nan
    np.savez(tmp_path / "bad.npz", x=features, y=np.arange(70) % 2)
    result = inside("fit", tmp_path / "bad.npz", "--label", "y", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "row 5, column 2" in result.stderr


def test_folder_without_images_and_unreadable_images(tmp_path):
    root = tmp_path / "images"
    (root / "cat").mkdir(parents=True)
    empty = inside("fit", root, "--out", tmp_path / "out")
    assert empty.exit_code == 2
    assert f"no images in {root}" in empty.stderr
    for row in range(24):
        path = root / ("cat" if row % 2 else "dog") / f"{row:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 200 * (row % 2) + row, dtype=np.uint8)).save(path)
    broken = root / "cat" / "05.png"
    broken.write_bytes(broken.read_bytes()[:40])
    arguments = ("fit", root, "--batch-size", "4", "--epochs", "1", "--out", tmp_path / "out")
    refused = inside(*arguments)
    assert refused.exit_code == 2
    assert str(broken) in refused.stderr
    assert "--skip-unreadable" in refused.stderr
    assert not (tmp_path / "out").exists()
    printed = done(*arguments, "--skip-unreadable")
    assert printed["num_examples"] == 23
    issues = pd.read_csv(tmp_path / "out" / "issues.csv")
    files = sorted(path.relative_to(root) for path in root.rglob("*.png"))
    assert all(str(files[row]) == name for row, name in zip(issues["row"], issues["id"], strict=True))
    good = tmp_path / "good"
    broken.rename(tmp_path / "05.png")
    done("fit", root, "--batch-size", "4", "--epochs", "1", "--out", good)
    (tmp_path / "05.png").rename(broken)
    to_predict = ("predict", good, root, "--out", tmp_path / "predicted.csv")
    refused = inside(*to_predict)
    assert (refused.exit_code, (tmp_path / "predicted.csv").exists()) == (2, False)
    assert "--skip-unreadable" in refused.stderr
    done(*to_predict, "--skip-unreadable")
    assert sorted(pd.read_csv(tmp_path / "predicted.csv")["id"]) == sorted(issues["id"])


def test_out_that_holds_something_else_is_left_alone(run, table, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    result = elr("fit", table, *FIT, "--out", tmp_path)
    assert result.returncode == 2
    assert "holds something else (mine.txt)" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    out, _ = run
    again = elr("fit", table, *FIT, "--out", out)
    assert again.returncode == 2
    assert f"already holds a run: choose another --out, such as {out}-2" in again.stderr


def test_resume_of_another_configuration_is_refused(run, table):
    out, _ = run
    before = (out / "run.json").read_bytes()
    result = elr("fit", table, *FIT, "--lam", "7", "--out", out, "--resume")
    assert result.returncode == 2
    assert "--lam was not given, now 7.0" in result.stderr
    assert (out / "run.json").read_bytes() == before


def test_a_single_network_without_alignment_is_the_paper(table, tmp_path):
    arguments = ("--label", "kind", "--epochs", "1", "--device", "cpu", "--json")
    paper = ("--members", "1", "--lam", "3", "--no-align")
    result = inside("fit", table, *arguments, *paper, "--out", tmp_path / "paper")
    assert result.exit_code == 0, result.stderr
    run = json.loads((tmp_path / "paper" / "run.json").read_text())
    assert method_from_json(run["method"]) == ELRConfig()
    assert run["choice"] == {}
    assert "Settings:" not in result.stderr


def test_networks_side_by_side_say_what_they_chose(table, tmp_path):
    arguments = ("--label", "kind", "--epochs", "2", "--device", "cpu", "--json", "--out", tmp_path / "run")
    result = inside("fit", table, *arguments, "--members", "2", "--dropout", "0.25", "--no-align")
    assert result.exit_code == 0, result.stderr
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["method"]["members"], run["method"]["align"]) == (2, False)
    assert {setting.get("dropout") for setting in run["choice"]["settings"]} == {0.25, None}
    printed = json.loads(result.stdout)["choice"]
    assert printed == {name: run["choice"][name] for name in ("text", "chosen")}
    assert printed["text"] in result.stderr.splitlines()


def test_settings_of_the_method_are_set_by_name(table, tmp_path):
    settings = ["--set", "gamma=0.9", "--set", "predict-with=averaged", "--set", "lam=5"]
    result = inside("fit", table, *FIT, *settings, "--epochs", 2, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    method = json.loads((tmp_path / "out/run.json").read_text())["method"]
    assert (method["gamma"], method["predict_with"], method["lam"]) == (0.9, "averaged", 5)
    twice = inside("fit", table, *FIT, "--set", "gamma=0.9", "--set", "gamma=0.8", "--out", tmp_path / "other")
    assert twice.exit_code == 2
    assert "--set has gamma twice" in twice.stderr


def test_wrong_settings_are_named(table, tmp_path):
    for flag, value, words in (
        ("--lam", "-1", "lam is -1.0"),
        ("--network", "vgg", "'vgg' is unknown"),
        ("--network", "fast", "takes images, the data are table"),
        ("--noise", "symmetric", "expected NAME:RATE"),
        ("--method", "magic", "method is 'magic'"),
        ("--members", "0", "members is 0 for 240 rows: expected at least 1"),
        ("--members", "241", "members is 241 for 240 rows"),
        ("--dropout", "1.5", "dropout of network 'mlp'"),
        ("--set", "gamma", "--set is 'gamma': expected NAME=VALUE"),
        ("--set", "gama=0.9", "method 'elr' has no setting 'gama': did you mean gamma"),
        ("--set", "gamma=high", "gamma is 'high': expected a number"),
    ):
        arguments = [*FIT, flag, value, "--out", tmp_path / "out"]
        if flag == "--noise":
            arguments = [argument for argument in arguments if argument not in ("--clean-label", "truth")]
        result = inside("fit", table, *arguments)
        assert result.exit_code == 2
        assert words in result.stderr
        assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_half_written(table, tmp_path):
    """Files may not grow beyond 20 kB, as on a disk that runs full; then there is room again, and the run goes on."""
    out = tmp_path / "out"
    result = elr(
        "fit", table, *FIT, "--out", out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    )
    assert result.returncode == 2, result.stderr
    assert "cannot write" in result.stderr
    assert "make room" in result.stderr
    assert "Traceback" not in result.stderr
    assert not [path for path in out.rglob("*") if path.is_file() and path.name.startswith(".")]
    assert json.loads((out / "run.json").read_text())["status"] == "running"
    printed = done("fit", table, *FIT, "--out", out, "--resume")
    assert printed["num_examples"] == 240


# ---- interruptions


def start(table, out, *extra):
    command = [*ELR, "fit", table, *FIT[:-1], "150", "--out", out, *extra]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        list(map(str, command)),
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
    )


def wait_for_epochs(out, count, process):
    deadline = time.monotonic() + 120
    metrics = out / "metrics.jsonl"
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def outcome(out: Path):
    """All that a run is: weights, evidence, suspects, history without its timings."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    history = [{k: v for k, v in line.items() if k not in ("seconds", "examples_per_second")} for line in lines]
    weights = {key: value.tobytes() for key, value in load_file(out / "model.safetensors").items()}
    return (
        weights,
        *((out / name).read_bytes() for name in ("evidence.parquet", "explanations.parquet", "issues.csv")),
        history,
    )


@pytest.mark.parametrize("epochs", [0, 60])
def test_killed_at_any_moment_and_resumed_it_ends_bit_identical(epochs, table, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    unbroken = start(table, whole)
    process = start(table, killed)
    wait_for_epochs(killed, epochs, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "issues.csv").exists()
    if epochs >= 60:
        assert max(killed.glob("checkpoint-*")).name > "checkpoint-000000"  # it does go on, not begin anew
    assert elr("predict", killed, table, "--out", tmp_path / "p.csv").returncode == 2
    resumed = start(table, killed, "--resume")
    _, words = resumed.communicate()
    assert resumed.returncode == 0, words
    assert unbroken.wait(timeout=300) == 0
    unbroken.stderr.close()
    assert outcome(killed) == outcome(whole)
    assert not list(killed.glob("checkpoint*"))


def test_interrupted_it_says_how_to_go_on(table, tmp_path):
    out = tmp_path / "out"
    process = start(table, out)
    wait_for_epochs(out, 3, process)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in words
    assert words.strip().splitlines()[-1].startswith("interrupted; to go on: elr fit")
    assert words.strip().endswith("--resume")
    assert list(out.glob("checkpoint-*"))
    resumed = start(table, out, "--resume")
    resumed.communicate()
    assert resumed.returncode == 0
    assert json.loads((out / "run.json").read_text())["status"] == "complete"


def test_resuming_with_other_test_data_is_refused(run, table):
    out, _ = run
    flowers(seed=5).to_csv(table.with_name("other.csv"), index=False)
    for arguments, words in (((), "now not given"), (("--test", table.with_name("other.csv")), "other.csv; repeat")):
        result = elr("fit", table, *FIT, *arguments, "--out", out, "--resume")
        assert result.returncode == 2
        assert "--test was " in result.stderr
        assert words in result.stderr


def test_resuming_after_the_data_have_changed_says_so(tmp_path):
    data, out = tmp_path / "flowers.csv", tmp_path / "out"
    table = flowers(seed=5)
    table.to_csv(data, index=False)
    arguments = ("fit", data, "--label", table.columns[-1], "--epochs", "1", "--members", "1", "--out", out)
    assert inside(*arguments).exit_code == 0
    table.iloc[1:].to_csv(data, index=False)
    refused = inside(*arguments, "--resume")
    assert refused.exit_code == 2
    assert f"the data have changed since the run in {out} began (data.sha256 was" in refused.stderr


def test_a_network_that_the_images_do_not_fit_leaves_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(80, 1, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "small.npz", x=pixels, y=np.arange(80) % 2)
    result = inside("fit", tmp_path / "small.npz", "--label", "y", "--network", "fast", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "error: " in result.stderr
    assert not (tmp_path / "out").exists()


def test_resuming_a_finished_run_gives_it_back(run, table):
    out, printed = run
    test = table.with_name("test.csv")
    assert done("fit", table, *FIT, "--test", test, "--out", out, "--resume") == printed


def test_two_processes_make_one_run(table, tmp_path):
    out = tmp_path / "out"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    command = [
        *launcher,
        "--rdzv-endpoint=localhost:0",
        "-m",
        "elr",
        "fit",
        table,
        *FIT[:-1],
        "3",
        "--out",
        out,
        "--json",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["num_examples"] == 240
    assert result.stderr.count("Report:") == 1
    assert json.loads((out / "run.json").read_text())["num_processes"] == 2, "each rank trained alone"
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    assert (out / "report.html").exists()


# elr run


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    return tiny_cifar.write_parquet(tmp_path_factory.mktemp("cifar"), 30, 10, side=16)


@pytest.fixture
def small(monkeypatch):
    """A recipe of the list with batches that the made data fill."""
    name = "fast-cifar10-sym40-elr"
    recipe = RECIPES[name]
    training = replace(recipe.training, batch_size=10, epochs=2, generations=2, optimizer="sgd")
    monkeypatch.setitem(
        RECIPES,
        name,
        replace(
            recipe,
            training=training,
            method=ELRConfig(hold=0.5, snapshots=1),
            probe_period=1,
            network="linear",
            widths=None,
            whiten=False,
        ),
    )
    return name


def test_run_without_a_recipe_lists_them():
    result = inside("run")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert "Table 2, ELR+" in result.stdout
    listed = json.loads(inside("run", "--json").stdout)
    assert listed == {"recipes": {name: recipe.source for name, recipe in RECIPES.items()}}


def test_run_prints_what_it_found_and_writes_the_folder(small, cifar, tmp_path):
    out = tmp_path / "out"
    arguments = ("run", small, "--data", cifar, "--seed", "3", "--holdout", "0.2", "--device", "cpu", "--out", out)
    result = inside(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed["num_examples"] == 24
    assert {"test_accuracy_last", "validation_agreement_last", "noise_rate_realized"} <= set(printed)
    run = json.loads((out / "run.json").read_text())
    assert run["results"] == printed
    assert run["config"]["recipe"] == small
    assert (run["config"]["seed"], run["config"]["holdout"]) == (3, 0.2)
    words = result.stderr.splitlines()
    assert words[0] == f"Results go to {out}"
    assert any(line.startswith(f"{small}: epoch 2/2, agrees with") for line in words)
    assert words[-1] == f"Next:     elr audit {out}"
    assert (out / "report.html").exists()
    again = inside(*arguments, "--json")  # no --resume: it goes on by itself, and there is nothing left to do
    assert json.loads(again.stdout) == printed
    other = inside("run", small, "--data", cifar, "--seed", "4", "--device", "cpu", "--out", out)
    assert other.exit_code == 2
    assert "--seed was 3, now 4" in other.stderr


def test_run_is_followed_by_audit_and_predict(small, cifar, tmp_path):
    out = tmp_path / "out"
    assert inside("run", small, "--data", cifar, "--epochs", "1", "--device", "cpu", "--out", out).exit_code == 0
    assert json.loads(inside("audit", out, "--json").stdout)["num_examples"] == 27  # of 30, without the tenth held out
    result = inside("predict", out, cifar / "test.parquet", "--out", tmp_path / "p.csv", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["num_examples"] == 10
    frame = pd.read_csv(tmp_path / "p.csv")
    assert list(frame.filter(like="prob_")) == [f"prob_{name}" for name in CIFAR10_CLASSES]
    np.testing.assert_allclose(frame.filter(like="prob_").sum(axis=1), 1.0, atol=1e-5)


def test_run_names_its_folder_by_recipe_and_seed(small, cifar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = inside("run", small, "--data", cifar, "--epochs", "1", "--seed", "5", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"{small}-5"]


def test_run_interrupted_goes_on_by_the_same_command(small, cifar, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ("run", small, "--data", cifar, "--device", "cpu", "--out", out)
    monkeypatch.setattr(sys, "argv", ["elr", *map(str, arguments)])

    def interrupt(method, progress):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("elr.cli.train.progress_bar", lambda: nullcontext(interrupt))
        result = inside(*arguments)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == f"interrupted; to go on: elr {' '.join(map(str, arguments))}"
    result = inside(*arguments)
    assert result.exit_code == 0, result.stderr
    assert json.loads((out / "run.json").read_text())["status"] == "complete"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cifar10-sym4-elr",), r"no recipe 'cifar10-sym4-elr': did you mean cifar10-sym40-elr,"),
        (("cifar10-sym40-elr",), "recipe cifar10-sym40-elr needs --data: the folder of cifar10"),
        (("cifar10-sym40-elr", "--data", "absent"), "no such folder: absent; expected the folder of CIFAR-10"),
        (("cifar10-sym40-elr", "--data", ".", "--num-examples", "1"), "num_examples is 1: expected at least 2"),
        (("cifar10-sym40-elr", "--data", "."), "is not all of CIFAR-10: missing train"),
        pytest.param(
            ("zzz", "--data", "."),
            r"no recipe 'zzz': (did you mean \w|`elr run`)",
        ),
    ],
)
def test_run_says_what_is_wrong_and_leaves_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = inside("run", *arguments)
    assert result.exit_code == 2
    assert re.search(message, result.stderr.splitlines()[-1])
    assert not list(tmp_path.iterdir())
    error = json.loads(inside("run", *arguments, "--json").stdout)["error"]
    assert re.search(message, error["message"])
