"""The script of benchmarks/own_data.py: noises, methods, measures, going on after a kill, the table's arithmetic."""

import json
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from elr.audit.label_quality import audit_labels
from scripts import ROOT, load_script

pytest.importorskip("cleanlab")

SCRIPT = ROOT / "benchmarks" / "own_data.py"


@pytest.fixture(scope="module")
def script():
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def parts(script):
    """The modules that the script is made of."""
    del script
    names = ("cases", "methods", "measures", "summary")
    return SimpleNamespace(**{name: import_module(f"comparison.{name}") for name in names})


def made_table(rows=120, classes=2):
    """Clean labels, and columns of all kinds that say which: a number with holes, a word, and one that says nothing."""
    label = np.arange(rows) % classes
    number = label + 0.2 * np.random.default_rng(0).standard_normal(rows)
    number[::11] = np.nan
    words = np.array(["low", "middle", "high"])[label]
    frame = pd.DataFrame({"size": number, "level": words, "day": np.arange(rows) % 7})
    return frame.assign(label=[f"class {c}" for c in label])


def made_case(parts, kind, *, noise="symmetric-20"):
    case = parts.cases.split_table(made_table(), seed=0)
    if kind != parts.cases.TABLE:
        words = [[f"{word} price {day}" for word, day in zip(f["level"], f["day"], strict=True)] for f in both(case)]
        arrays = [np.eye(2)[labels] + 0.1 for labels in (case.clean_labels, case.test_labels)]
        inputs, test_inputs = words if kind == parts.cases.TEXT else arrays
        case = parts.cases.Case(**vars(case) | {"kind": kind, "inputs": inputs, "test_inputs": test_inputs})
    return parts.cases.plant(case, noise, seed=0)


def both(case):
    return case.inputs, case.test_inputs


# Sets and noises


def test_a_table_is_split_by_seed_in_equal_shares(parts):
    first, again, other = (parts.cases.split_table(made_table(), seed=seed) for seed in (1, 1, 2))
    assert len(first.labels) == 84
    assert np.bincount(first.test_labels).tolist() == [18, 18]
    assert "label" not in first.inputs
    pd.testing.assert_frame_equal(first.inputs, again.inputs)
    assert not first.inputs.equals(other.inputs)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("noise", ["symmetric-20", "symmetric-40", "next-30", "instance-25"])
def test_noise_is_planted_in_training_labels_only(parts, noise, classes):
    clean = parts.cases.split_table(made_table(900, classes), seed=0)
    first, again, other = (parts.cases.plant(clean, noise, seed=seed) for seed in (0, 0, 1))
    assert first.labels.tolist() == again.labels.tolist() != other.labels.tolist()
    assert first.clean_labels.tolist() == clean.labels.tolist()
    assert first.test_labels.tolist() == clean.test_labels.tolist()
    rate = int(noise[-2:]) / 100 * (0.5 if (noise, classes) == ("next-30", 2) else 1)
    assert first.is_wrong.mean() == pytest.approx(rate, abs=0.06 if noise == "instance-25" else 0.005)
    if noise == "next-30":
        assert set(zip(first.clean_labels[first.is_wrong], first.labels[first.is_wrong], strict=True)) == (
            {(0, 1)} if classes == 2 else {(0, 1), (1, 2), (2, 0)}
        )


def test_every_set_has_noises_that_can_be_planted(parts):
    assert set(parts.cases.TABLES) < set(parts.cases.NOISES)
    frame = parts.cases.table_frame("wine", parts.cases.Path("nowhere"))
    assert frame["label"].value_counts().to_dict() == {"class 1": 71, "class 0": 59, "class 2": 48}
    with pytest.raises(parts.cases.MissingSetError, match=r"german\.parquet is not there"):
        parts.cases.table_frame("german", parts.cases.Path("nowhere"))


def test_sets_with_real_noise_are_read_from_their_files(parts, tmp_path):
    place = parts.cases.Place(shared=tmp_path, features=tmp_path / "f.npz")
    (tmp_path / "data" / "labelme").mkdir(parents=True)
    (tmp_path / "data" / "trec").mkdir()
    scenes = {"features": np.eye(3), "label": np.array(["b", "a", "b"])}
    np.savez(tmp_path / "data/labelme/train.npz", **scenes, clean_label=np.array(["a", "a", "b"]))
    np.savez(tmp_path / "data/labelme/test.npz", **scenes)
    questions = pd.DataFrame({"question": ["how far", "who", "where"], "label": ["number", "human", "place"]})
    questions.to_csv(tmp_path / "data/trec/test.csv", index=False)
    train = questions.rename(columns={"label": "clean_label"}).assign(rule_label=["number", "number", "place"])
    train.to_csv(tmp_path / "data/trec/train.csv", index=False)
    labelme, trec = (parts.cases.load_case(name, "real", seed=0, place=place) for name in ("labelme", "trec"))
    assert (labelme.labels.tolist(), labelme.clean_labels.tolist(), labelme.test_labels.tolist()) == (
        [1, 0, 1],
        [0, 0, 1],
        [1, 0, 1],
    )
    assert trec.class_names == ("human", "number", "place")
    assert trec.given_names == ["number", "number", "place"]
    assert trec.test_labels.tolist() == [1, 0, 2]


def test_noise_of_cifar10_is_drawn_over_all_rows(parts, monkeypatch, tmp_path):
    labels = np.arange(100) % 10
    features = {"train": np.eye(100), "train_labels": labels, "test": np.eye(100), "test_labels": labels}
    np.savez(tmp_path / "features.npz", **features)
    place = parts.cases.Place(shared=tmp_path, features=tmp_path / "features.npz")
    whole = parts.cases.load_case("cifar10", "asymmetric-40", seed=0, place=place)
    assert whole.is_wrong.mean() == pytest.approx(0.2)
    monkeypatch.setattr(parts.cases, "CIFAR10_TRAIN", 30)
    part = parts.cases.load_case("cifar10", "asymmetric-40", seed=0, place=place)
    assert part.labels.tolist() == whole.labels[:30].tolist()
    assert part.inputs.shape == (30, 100)
    with pytest.raises(parts.cases.MissingSetError, match="cifar10n is not there"):
        parts.cases.load_case("cifar10", "human", seed=0, place=place)


def test_features_are_made_once_and_whole(parts, monkeypatch, tmp_path):
    calls = []

    def read_data(path, options):
        calls.append((path.name, options.fine_tune))
        return SimpleNamespace(features=np.eye(2), labels=[0, 1])

    monkeypatch.setattr(parts.cases, "read_data", read_data)
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    for part in ("train", "test"):
        (tmp_path / "data" / "cifar10" / f"{part}.parquet").touch()
    place = parts.cases.Place(shared=tmp_path, features=tmp_path / "made" / "features.npz")
    for _ in range(2):
        assert np.load(parts.cases.cifar10_features(place))["test_labels"].tolist() == [0, 1]
    assert calls == [("train.parquet", False), ("test.parquet", False)]
    assert [path.name for path in place.features.parent.iterdir()] == ["features.npz"]


# Methods


@pytest.mark.parametrize("kind", ["table", "text", "array"])
def test_every_method_learns_from_every_kind(parts, kind):
    case = made_case(parts, kind)
    for name, method in parts.methods.methods({"elr": {"epochs": 30}}).items():
        found = method(case, 0)
        measured = parts.measures.measured(case, found)
        assert measured["accuracy"] > 0.8, name
        assert measured["seconds"] > 0
        ranks = name.startswith(("cleanlab", "elr"))
        assert ("average_precision" in measured) == ranks, name
        assert (found.expected_precision is not None) == (name == "elr")
    assert {key: value.shape for key, value in found.kept.items()} == {
        **dict.fromkeys(("labels", "clean_labels", "label_quality", "error_probs", "is_label_issue"), (84,)),
        **{"test_labels": (36,), "pred_probs": (84, 2), "test_probs": (36, 2)},
    }
    np.testing.assert_allclose(found.kept["test_probs"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found.kept["test_probs"].argmax(axis=1), found.test_labels)
    audit = audit_labels(case.labels, found.kept["pred_probs"], out_of_fold=True)
    np.testing.assert_allclose(found.kept["error_probs"], audit.error_probs, atol=1e-5)


def test_the_commit_says_whether_the_source_has_changed(parts, monkeypatch, tmp_path):
    package = tmp_path / "src" / "elr"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("a = 1\n")
    monkeypatch.setattr(parts.methods, "elr", SimpleNamespace(__file__=str(package / "__init__.py"), __version__="7"))
    assert parts.methods.elr_commit().startswith("7+")  # no repository
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    clean = parts.methods.elr_commit()
    (tmp_path / "README").write_text("beside the source")
    assert parts.methods.elr_commit() == clean
    (package / "__init__.py").write_text("a = 2\n")
    changed = parts.methods.elr_commit()
    assert changed.startswith(f"{clean}+")
    (package / "new.py").write_text("b = 3\n")
    assert parts.methods.elr_commit() not in (clean, changed)


# Measures


def test_measures_are_those_computed_by_hand(parts):
    case = SimpleNamespace(is_wrong=np.array([True, False, True, False, False]), test_labels=np.array([0, 0, 0, 1, 2]))
    found = parts.methods.Found(
        test_labels=np.array([0, 0, 1, 1, 1]),
        seconds=1.23456,
        label_quality=np.array([0.1, 0.2, 0.3, 0.4, 0.5]),
        num_issues=4,
        expected_precision=np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
    )
    assert parts.measures.measured(case, found) == pytest.approx(
        {
            "accuracy": 0.6,
            "balanced_accuracy": (2 / 3 + 1 + 0) / 3,
            "num_classes": 3,
            "classes_never_predicted": 1,
            "classes_predicted": 2,
            "noise_rate": 0.4,
            "num_train": 5,
            "num_test": 5,
            "seconds": 1.235,
            "average_precision": (1 / 1 + 2 / 3) / 2,
            "num_issues": 4,
            **{"precision_10": 1.0, "precision_50": 0.5, "precision_100": 0.5},
            **{"expected_precision_10": 0.9, "expected_precision_50": 0.8, "expected_precision_100": 0.6},
        }
    )


def test_no_issues_have_no_precision(parts):
    case = SimpleNamespace(is_wrong=np.array([True, False]), test_labels=np.array([0, 1]))
    quality = np.array([0.6, 0.9])
    found = parts.methods.Found(test_labels=np.array([0, 1]), seconds=1.0, label_quality=quality, num_issues=0)
    measured = parts.measures.measured(case, found)
    assert measured["num_issues"] == 0
    assert measured["average_precision"] == 1.0
    assert not [name for name in measured if "precision_" in name]


# Runs


@pytest.fixture
def bench(script, parts, monkeypatch, tmp_path):
    """On made tables, with a peer and an elr of few epochs."""
    monkeypatch.setattr(script, "load_case", lambda name, noise, **_: made_case(parts, "table", noise=noise))
    return lambda **more: script.Bench(
        out=tmp_path / "runs.jsonl", place=None, variants={"elr-short": {"epochs": 2}}, **more
    )


METHODS = ["logistic", "elr-short"]


def names_of(runs):
    return [(run["noise"], run["seed"], run["method"]) for run in runs]


def untimed(run):
    return {name: value for name, value in run.items() if name not in ("seconds", "created")}


def test_a_killed_bench_goes_on_where_it_was(script, bench, tmp_path):
    out = tmp_path / "runs.jsonl"
    cells = script.cells(["wine"], ["symmetric-20", "next-30"], [0, 1])
    assert bench().run(cells, METHODS, [])
    whole = script.read_runs([out])
    expected = [(n, s, m) for s in (0, 1) for n in ("symmetric-20", "next-30") for m in METHODS]
    assert names_of(whole) == expected
    text = out.read_text()
    lines = text.splitlines(keepends=True)
    out.write_text("".join(lines[:3]) + lines[3][:40])  # killed while it wrote the fourth
    done = script.read_runs([out])
    assert names_of(done) == expected[:3]
    script.end_line(out)
    assert bench().run(cells, METHODS, done)
    again = script.read_runs([out])
    assert names_of(again) == expected
    assert [untimed(run) for run in again] == [untimed(run) for run in whole]
    assert bench().run(cells, METHODS, again)
    assert len(script.read_runs([out])) == len(expected)  # nothing is left to do


def test_runs_of_elr_are_repeated_for_another_commit_or_setting(script, bench, parts, monkeypatch, tmp_path):
    cells = script.cells(["wine"], ["next-30"], [0])
    bench().run(cells, METHODS, [])
    for change in ("commit", "setting"):
        if change == "commit":
            monkeypatch.setattr(script, "elr_commit", lambda: "other")
            now = bench()
        else:
            now = bench()
            now.stamps["elr-short"]["config"] = {"epochs": 3}
        now.run(cells, METHODS, script.read_runs([tmp_path / "runs.jsonl"]))
    methods = [run["method"] for run in script.read_runs([tmp_path / "runs.jsonl"])]
    assert methods == ["logistic", "elr-short", "elr-short", "elr-short"]


def test_failures_are_written_down_and_tried_again(script, bench, tmp_path, capsys):
    cells = script.cells(["wine"], ["next-30"], [0])
    broken = bench()
    broken.methods["logistic"] = lambda case, seed: 1 / 0
    assert not broken.run(cells, METHODS, [])
    failed, well = script.read_runs([tmp_path / "runs.jsonl"])
    assert failed["error"] == "ZeroDivisionError: division by zero"
    assert well["accuracy"] > 0
    assert "wine next-30 0 logistic: ZeroDivisionError" in capsys.readouterr().err
    assert bench().run(cells, METHODS, [failed, well])
    assert names_of(script.read_runs([tmp_path / "runs.jsonl"]))[2:] == [("next-30", 0, "logistic")]


def test_evidence_is_kept(script, bench, tmp_path):
    bench(keep=tmp_path / "kept").run(script.cells(["wine"], ["next-30"], [3]), METHODS, [])
    [path] = (tmp_path / "kept").iterdir()
    assert path.name.startswith("wine_next-30_3_elr-short_")
    assert np.load(path)["pred_probs"].shape == (84, 2)


def test_seeds_of_choices_are_not_reported(script):
    assert not set(script.CHOSEN_ON) & set(script.REPORTED_ON)


# The table


def line(noise, seed, method, accuracy, **more):
    known = {"set": "wine", "noise": noise, "seed": seed, "method": method, "threads": 1, "seconds": 2.0}
    known |= {"balanced_accuracy": accuracy, "classes_predicted": 2, "classes_never_predicted": 0}
    return known | {"accuracy": accuracy} | more


@pytest.fixture
def runs(parts):
    """Two noises and two seeds; elr wins three times and loses once, by .2."""
    ours = {"commit": "abc", "config": {}, "seconds": 3.0, "expected_precision_10": 0.9, "precision_10": 0.5}
    collapsed = {"classes_predicted": 1, "classes_never_predicted": 2}
    lines = [
        line("a", 1, "elr", 0.8, **ours, average_precision=0.75),
        line("a", 2, "elr", 0.9, **ours, average_precision=0.25),
        line("b", 1, "elr", 0.5, **ours | {"precision_10": 0.85}, average_precision=0.5),
        line("b", 2, "elr", 0.6, **ours | collapsed, average_precision=0.5),
        *(line(noise, seed, "logistic", 0.7) for noise, seed in (("a", 1), ("a", 2), ("b", 1))),
        line("b", 2, "logistic", 0.1),
        line("b", 2, "logistic", 0.5, seconds=2.0),  # again
    ]
    runs, origins = parts.summary.latest(lines)
    assert origins == {"elr": "commit abc, {}"}
    return runs


def rows_of(lines):
    return [[cell.strip() for cell in each.strip("|").split("|")] for each in lines if each.startswith("|")]


def test_means_are_over_cells_and_their_deviation_over_seeds(parts, runs):
    _, _, logistic, elr = rows_of(parts.summary.means(runs, ["logistic", "elr"]))
    assert logistic[:3] == ["logistic", "0.6500 ± 0.0707", "0.6500 ± 0.0707"]  # seeds .7 and .6
    assert elr[:2] == ["elr", "0.7000 ± 0.0707"]  # .65 and .75
    assert logistic[5:] == ["", "", "0", "0"]
    assert elr[5:] == ["0.5000 ± 0.1768", "0.5000 ± 0.1768", "1", "2"]  # .625 and .375


def test_means_leave_out_cells_that_a_method_lacks(parts, runs):
    del runs[parts.summary.Cell("wine", "b", 2)]["logistic"]
    heads, _, logistic, elr = rows_of(parts.summary.means(runs, ["logistic", "elr"]))
    assert heads[1] == "accuracy, tables (3)"
    assert (logistic[1].split()[0], elr[1].split()[0]) == ("0.7000", "0.7333")


def test_means_of_a_set_leave_out_cells_that_a_method_lacks(parts, runs):
    del runs[parts.summary.Cell("wine", "b", 2)]["logistic"]
    [means] = parts.summary.averaged(runs, "accuracy", lambda cell: (cell.set,)).values()
    assert means == pytest.approx({"elr": 2.2 / 3, "logistic": 0.7})  # without noise b, seed 2
    assert ("wine", "b") in parts.summary.averaged(runs, "accuracy", lambda cell: (cell.set, cell.noise))


def test_wins_losses_and_the_paired_test(parts, runs):
    _, _, accuracy, balanced = rows_of(parts.summary.wins(runs, "elr", ["logistic"]))
    # Differences .1, .2, -.2, .1: ranks 1.5, 3.5, 3.5, 1.5; the smaller sum is 3.5.
    assert accuracy[:6] == ["accuracy", "logistic", "3", "1", "0", "+0.0500"]
    assert 0.4 < float(accuracy[6]) < 0.9
    assert balanced[0] == "balanced accuracy"
    for found in runs.values():
        found["logistic"] = found["elr"]
    assert rows_of(parts.summary.wins(runs, "elr", ["logistic"]))[2][2:] == ["0", "0", "4", "+0.0000", "1"]


def test_the_worst_loss_is_to_the_best_peer(parts, runs):
    for found in runs.values():
        found["forest"] = dict(found["logistic"], accuracy=0.65)
    rows = rows_of(parts.summary.losses(runs, "elr", ["logistic", "forest"]))
    # b: forest .65 against logistic .6; a: logistic .7 against forest .65.
    assert rows[2] == ["wine b", "forest", "0.6500", "0.5500", "+0.1000"]
    assert rows[3] == ["wine a", "logistic", "0.7000", "0.8500", "-0.1500"]
    # The mean over both: .65 for either peer, .7 for elr.
    assert rows[6][0] == "wine"
    assert rows[6][2:] == ["0.6500", "0.7000", "-0.0500"]


def test_expected_precision_is_compared_run_by_run(parts, runs):
    rows = rows_of(parts.summary.expectations(runs, ["elr"]))
    # Differences .4, .4, .05, .4.
    assert rows[2:] == [["elr", "10 %", "4", "0", "0.9000", "0.5875", "+0.3125", "0.3125", "0.25"]]


def test_seconds_are_a_ratio_of_sums(parts, runs):
    told, *_ = lines = parts.summary.seconds(runs, "elr", ["logistic"])
    assert rows_of(lines)[2] == ["logistic", "8", "1.50", "8", "1.50"]
    assert "NOT COMPARABLE" not in told
    runs[parts.summary.Cell("wine", "a", 1)]["elr"]["threads"] = 2
    assert "NOT COMPARABLE: runs of 1 and 2 threads" in parts.summary.seconds(runs, "elr", ["logistic"])[0]


def test_only_runs_of_one_commit_are_shown(parts):
    there = ((1, "old"), (2, "old"), (1, "new"))
    lines = [line("a", seed, "elr", 0.5, commit=commit, config={}) for seed, commit in there]
    runs, origins = parts.summary.latest(lines)
    assert [cell.seed for cell in runs] == [1]
    assert origins == {"elr": "commit new, {}"}
    assert sorted(cell.seed for cell in parts.summary.latest(lines, commit="old")[0]) == [1, 2]


# The command


def called(*flags):
    command = [sys.executable, SCRIPT, *map(str, flags)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_one_command_runs_and_one_prints_the_table(tmp_path):
    out = tmp_path / "results" / "runs.jsonl"
    flags = ["--out", out, "--sets", "german,wine", "--noises", "next-30", "--seeds", "1", "--shared", tmp_path]
    short = ["--variant", 'elr-short={"epochs": 2}', "--methods", "logistic,elr-short", "--threads", "1"]
    done = called(*flags, *short)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == f"german is left out: {tmp_path}/data/tables/german.parquet is not there"
    runs = [json.loads(each) for each in out.read_text().splitlines()]
    assert [run["method"] for run in runs] == ["logistic", "elr-short"]
    assert runs[1]["config"] == {"epochs": 2}
    assert runs[0]["threads"] == 1
    table = called(*flags, "--table", "--ours", "elr-short").stdout
    assert "| accuracy | logistic | " in table
    assert table.startswith("1 cells (set, noise, seed), seeds 1.")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sets", "iris"], "--sets iris: expected some of german,"),
        (["--methods", "svm"], "--methods svm: expected some of logistic,"),
        (["--variant", "lam7"], "expected elr-NAME="),
        (["--variant", "elr-lam7=7,"], "expected elr-NAME="),
    ],
)
def test_what_is_unknown_is_refused(script, monkeypatch, capsys, flags, words):
    monkeypatch.setattr(sys, "argv", ["own_data.py", "--out", "runs.jsonl", *flags])
    with pytest.raises(SystemExit):
        script.parsed()
    assert words in capsys.readouterr().err
