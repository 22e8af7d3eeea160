"""Recipes run from end to end on a made CIFAR-10 of a few dozen images."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

import tiny_cifar
from elr.audit.evidence import read_evidence
from elr.data.kinds.catalog import load_preprocessing
from elr.data.preprocessing import Augmentation
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.datasets.as_data import CIFAR10_CLASSES
from elr.errors import ArgumentError, CheckpointError, DataError, OutputError
from elr.files import read_json
from elr.methods.cross_entropy import CrossEntropyConfig
from elr.methods.elr import ELRConfig
from elr.noise.named import corrupt
from elr.runs.experiment import run_recipe
from elr.runs.plan import Plan
from elr.runs.predict import predict
from elr.runs.recipe import Changes, Recipe
from elr.runs.recipes import RECIPES
from elr.training import checkpoints
from elr.training.config import TrainingConfig
from elr.training.progress import read_lines

TRAIN, TEST = 40, 12
HELD = 8  # a fifth
SIDE = 16  # a quarter of the pixels, and of the time
EPOCHS = 5
SMALL = Recipe(
    name="small",
    source="nowhere",
    noise=("symmetric-authors", 0.4),
    network="fast",
    method=ELRConfig(networks=2, gamma=0.9, mixup=1.0),
    training=TrainingConfig(epochs=EPOCHS, batch_size=16, learning_rate=0.1, schedule="triangle"),
    augmentation=Augmentation(crop=True, flip=True, cutout=6, mirror=True),
    whiten=True,
    holdout=0.2,
    probe_period=2,
)
SEED = 3
HERE = Changes(seed=SEED, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    human = [(label + (row % 5 == 0)) % 10 for row, label in enumerate(tiny_cifar.labels_of(TRAIN))]
    tiny_cifar.write_human(root / "cifar10n" / "CIFAR-10_human.pt", human)
    return tiny_cifar.write_parquet(root / "cifar10", TRAIN, TEST, side=SIDE)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """The run of SMALL, unbroken; what it gave and how many batches it took."""
    seen = []
    out = tmp_path_factory.mktemp("runs") / "whole"
    return run_recipe(SMALL, data=data, out=out, changes=HERE, on_progress=seen.append, command="elr run it"), seen


def outcome(out):
    """All that a run is: weights, evidence, suspects, history without its timings."""
    history = [
        {key: value for key, value in line.items() if "second" not in key} for line in read_lines(out / "metrics.jsonl")
    ]
    weights = {key: value.tobytes() for key, value in load_file(out / "model.safetensors").items()}
    return (
        weights,
        *((out / name).read_bytes() for name in ("evidence.parquet", "explanations.parquet", "issues.csv")),
        history,
    )


class Killed(Exception):
    pass


def killed_at(step):
    def stop(progress):
        if progress.step == step:
            raise Killed

    return stop


@pytest.fixture
def broken_off(data, tmp_path, monkeypatch):
    """The folder of the same run, broken off in its fourth epoch."""
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)
    with pytest.raises(Killed):
        run_recipe(SMALL, data=data, out=tmp_path / "out", changes=HERE, on_progress=killed_at(14))
    return tmp_path / "out"


# Changes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_examples": 1}, "num_examples is 1: expected at least 2"),
        ({"epochs": 0}, "epochs is 0: expected at least 1"),
        ({"seed": -1}, "seed is -1: expected in"),
        ({"precision": "float16"}, "precision is 'float16': expected one of"),
        ({"device": "tpu"}, "device is 'tpu': expected auto or cpu"),
        ({"targets": "cloud"}, "targets is 'cloud': expected one of auto, dense"),
        ({"targets_dtype": "int8"}, "targets_dtype is 'int8': expected one of float32"),
        ({"holdout": 1.0}, r"holdout is 1\.0: expected a share in \[0, 1\)"),
        ({"holdout": -0.1}, r"holdout is -0\.1: expected a share in \[0, 1\)"),
    ],
)
def test_changes_out_of_range_are_named_and_nothing_is_written(settings, message, data, tmp_path):
    with pytest.raises(ArgumentError, match=message):
        run_recipe(SMALL, data=data, out=tmp_path / "out", changes=Changes(**settings))
    assert not (tmp_path / "out").exists()


def test_targets_are_kept_where_the_changes_say(data, tmp_path):
    plans = []
    changes = replace(HERE, epochs=1, targets="mapped")
    fitted = run_recipe(SMALL, data=data, out=tmp_path / "out", changes=changes, on_plan=plans.append)
    assert fitted.run["targets"] == {"placement": "mapped", "dtype": "bfloat16", "top_k": 16}
    assert "kept as mapped ones in bfloat16" in plans[0].remarks[-1]
    assert plans[0].remarks[-1] in fitted.run["remarks"]
    assert not list((tmp_path / "out").glob(".targets*"))


# A finished run


def test_the_folder_is_that_of_any_run(finished):
    fitted, _ = finished
    names = {"issues.csv", "metrics.jsonl", "model.safetensors", "report.html", "report.json", "run.json"}
    names |= {"evidence.parquet", "explanations.parquet"}
    assert {path.name for path in fitted.out.iterdir()} == names
    assert read_json(fitted.out / "run.json") == fitted.run
    assert fitted.run["status"] == "complete"
    assert fitted.run["command"] == "elr run it"


def numbers(names):
    """Class numbers of a column of issues.csv."""
    return [CIFAR10_CLASSES.index(name) for name in names]


def test_run_json_says_the_recipe_the_changes_and_the_whole_plan(finished):
    run = finished[0].run
    assert run["config"] == {
        "recipe": "small",
        "seed": SEED,
        "epochs": None,
        "num_examples": None,
        "holdout": None,
        "precision": "float32",
        "device": "cpu",
        "cuda_graphs": None,
        "targets": None,
        "targets_dtype": None,
    }
    plan = Plan.from_json(run)
    assert plan.method == SMALL.method
    assert plan.training == HERE.apply(SMALL).training
    assert (plan.augmentation, plan.whiten, plan.probe_period) == (SMALL.augmentation, True, 2)
    assert plan.network.num_classes == 10
    assert run["data"]["noise"] == "symmetric-authors:0.4"


def test_progress_is_told_after_every_batch_of_both_networks(finished):
    """And after every epoch again, with its measures."""
    seen = finished[1]
    per_epoch = 2 * math.ceil((TRAIN - HELD) / SMALL.training.batch_size)
    steps = [progress.step for progress in seen]
    assert steps == sorted([*range(1, EPOCHS * per_epoch + 1), *range(per_epoch, EPOCHS * per_epoch + 1, per_epoch)])
    assert [progress.epoch for progress in seen if progress.step == per_epoch] == [0, 1]
    assert {progress.total for progress in seen} == {EPOCHS * per_epoch}


def test_training_labels_are_those_of_the_whole_set_without_the_rows_held_out(finished, data):
    """The corruption comes first: who holds out nothing gets the same labels for the same seed."""
    fitted, _ = finished
    clean = tiny_cifar.labels_of(TRAIN)
    noisy = corrupt("symmetric-authors", np.array(clean), noise_rate=0.4, num_classes=10, seed=SEED)
    issues = pd.read_csv(fitted.out / "issues.csv")
    assert len(issues) == fitted.results["num_examples"] == TRAIN - HELD
    assert issues["row"].is_unique
    rows = issues["row"].to_numpy()
    assert numbers(issues["given_label"]) == noisy.labels[rows].tolist()
    assert fitted.results["noise_rate_realized"] == pytest.approx(
        (noisy.labels[rows] != np.array(clean)[rows]).mean(), abs=1e-12
    )


def test_targets_are_keyed_by_the_position_among_the_rows_kept(finished):
    fitted, _ = finished
    evidence = read_evidence(fitted.out)
    assert evidence.pred_probs.shape == (TRAIN - HELD, 10)
    issues = pd.read_csv(fitted.out / "issues.csv").sort_values("row")
    assert evidence.labels.tolist() == numbers(issues["given_label"])
    assert fitted.audit.labels.tolist() == numbers(issues["given_label"])
    assert evidence.pred_probs.argmax(axis=1).tolist() == numbers(issues["predicted_label"])


def test_results_measure_both_what_is_trusted_and_what_was_held_out(finished):
    fitted, _ = finished
    for name in ("test_accuracy", "validation_agreement"):
        assert 0.0 <= fitted.results[f"{name}_last"] <= fitted.results[f"{name}_best"] <= 1.0
    assert round(fitted.results["validation_agreement_last"] * HELD, 9).is_integer()
    assert round(fitted.results["test_accuracy_last"] * TEST, 9).is_integer()


def test_the_history_has_accuracies_at_the_epochs_that_looked(finished):
    """Every second epoch, and the last."""
    fitted, _ = finished
    lines = read_lines(fitted.out / "metrics.jsonl")
    assert [line["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    for name in ("test_accuracy", "validation_agreement"):
        assert [line["epoch"] for line in lines if name in line] == [2, 4, 5]
        assert lines[-1][name] == fitted.results[f"{name}_last"]
        assert max(line[name] for line in lines if name in line) == fitted.results[f"{name}_best"]
    assert fitted.history[-1]["test_accuracy"] == fitted.results["test_accuracy_last"]


def test_predictions_average_both_networks_and_both_views(finished, data):
    """By hand from the weights: the mean of four softmaxes, of each network for each image and its mirror image."""
    fitted, _ = finished
    predicted = predict(fitted.out, data / "test.parquet")
    images = read_data(data / "test.parquet", ReadOptions(label="label")).images
    preprocessing = load_preprocessing(fitted.out, fitted.run["preprocessing"])
    inputs = preprocessing.transform()(images)
    weights = load_file(fitted.out / "model.safetensors")
    probs = []
    for number in ("0", "1"):
        network = Plan.from_json(fitted.run).network.build(generator_seed=0).eval()
        state = {
            name.removeprefix(f"{number}."): torch.from_numpy(np.array(value))
            for name, value in weights.items()
            if name.startswith(f"{number}.")
        }
        network.load_state_dict(state)
        with torch.no_grad():
            probs += [network(view).softmax(dim=1) for view in (inputs, inputs.flip(3))]
    assert not torch.allclose(probs[0], probs[1])
    assert not torch.allclose(probs[0], probs[2])
    expected = torch.stack(probs).mean(dim=0)
    columns = [f"prob_{name}" for name in CIFAR10_CLASSES]
    np.testing.assert_allclose(predicted[columns].to_numpy(), expected.numpy(), atol=1e-6)
    right = np.array(numbers(predicted["predicted_label"])) == np.array(tiny_cifar.labels_of(TEST))
    assert right.mean() == pytest.approx(fitted.results["test_accuracy_last"])


def test_the_two_networks_are_two(finished):
    weights = load_file(finished[0].out / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"0", "1"}
    assert not np.allclose(weights["0.head.weight"], weights["1.head.weight"])
    assert np.array_equal(weights["0.stem.weight"], weights["1.stem.weight"])  # whitened by the same images


# Going on by itself


def test_killed_midway_and_run_again_it_ends_bit_identical(finished, broken_off, data):
    assert not (broken_off / "issues.csv").exists()
    assert read_json(broken_off / "run.json")["status"] == "running"
    seen = []
    again = run_recipe(SMALL, data=data, out=broken_off, changes=HERE, on_progress=seen.append)
    assert seen[0].step > 4, "it began anew"
    assert outcome(broken_off) == outcome(finished[0].out)
    timed = {"seconds", "out"}
    assert {key: value for key, value in again.results.items() if key not in timed} == {
        key: value for key, value in finished[0].results.items() if key not in timed
    }
    assert not list(broken_off.glob("checkpoint*"))


def test_killed_in_the_first_epoch_it_begins_anew_by_itself(finished, data, tmp_path):
    with pytest.raises(Killed):
        run_recipe(SMALL, data=data, out=tmp_path / "out", changes=HERE, on_progress=killed_at(2))
    run_recipe(SMALL, data=data, out=tmp_path / "out", changes=HERE)
    assert outcome(tmp_path / "out") == outcome(finished[0].out)


def test_a_finished_run_is_given_back_untouched(finished, data):
    fitted, _ = finished
    before = {path.name: path.read_bytes() for path in fitted.out.iterdir() if path.name != "report.html"}
    again = run_recipe(SMALL, data=data, out=fitted.out, changes=HERE, on_progress=killed_at(1))
    assert again.results == fitted.results
    assert again.run == fitted.run
    assert again.history == read_lines(fitted.out / "metrics.jsonl")
    np.testing.assert_array_equal(again.audit.ranking, fitted.audit.ranking)
    assert {path.name: path.read_bytes() for path in fitted.out.iterdir() if path.name != "report.html"} == before


def test_a_lost_report_is_written_again(finished, data, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[0].out, out)
    (out / "report.html").unlink()
    run_recipe(SMALL, data=data, out=out, changes=HERE)
    assert (out / "report.html").stat().st_size > 1000


@pytest.mark.parametrize(
    ("recipe", "changes", "difference"),
    [
        (SMALL, replace(HERE, seed=4), r"seed was 3, now 4"),
        (SMALL, replace(HERE, epochs=6), r"epochs was not given, now 6"),
        (SMALL, replace(HERE, holdout=0.1), r"holdout was not given, now 0\.1"),
        (SMALL, replace(HERE, num_examples=30), r"--num-examples was not given, now 30"),
        (SMALL, replace(HERE, precision="bfloat16"), r"--precision was float32, now bfloat16"),
        (replace(SMALL, name="other"), HERE, r"the recipe was small, now other"),
        (replace(SMALL, method=replace(SMALL.method, lam=7.0)), HERE, r"method\.lam was 3\.0, now 7\.0"),
        (replace(SMALL, method=CrossEntropyConfig()), HERE, r"method\.name was 'elr', now 'cross_entropy'"),
        (replace(SMALL, noise=("symmetric", 0.4)), HERE, r"data\.noise was 'symmetric-authors:0\.4', now 'symm"),
        (
            replace(SMALL, training=replace(SMALL.training, weight_decay=0.0)),
            HERE,
            r"training\.weight_decay was 0\.001, now 0\.0",
        ),
        (replace(SMALL, augmentation=Augmentation(crop=True)), HERE, r"augmentation\.flip was True, now False"),
        pytest.param(replace(SMALL, whiten=False), HERE, "whiten was True, now False"),
        pytest.param(replace(SMALL, probe_period=1), HERE, "probe_period was 2, now 1"),
    ],
)
def test_another_run_in_the_same_folder_is_refused_by_its_difference(finished, data, recipe, changes, difference):
    out = finished[0].out
    before = outcome(out)
    with pytest.raises(CheckpointError, match=f"of another configuration: .*{difference}.*elr run it.*another --out"):
        run_recipe(recipe, data=data, out=out, changes=changes)
    assert outcome(out) == before


def test_how_passes_are_launched_does_not_make_another_run(finished, data):
    changes = replace(HERE, cuda_graphs=True)
    assert changes.apply(SMALL).training.cuda_graphs
    assert run_recipe(SMALL, data=data, out=finished[0].out, changes=changes).results == finished[0].results


def test_half_a_run_of_another_seed_is_refused_too(broken_off, data):
    with pytest.raises(CheckpointError, match=r"seed was 3, now 4"):
        run_recipe(SMALL, data=data, out=broken_off, changes=replace(HERE, seed=4))


def test_other_images_are_another_run(finished, tmp_path, data):
    tiny_cifar.write_parquet(tmp_path / "cifar10", TRAIN, TEST, side=SIDE, kind="JPEG")
    with pytest.raises(CheckpointError, match=r"data\.sha256 was"):
        run_recipe(SMALL, data=tmp_path / "cifar10", out=finished[0].out, changes=HERE)


def test_a_folder_that_holds_something_else_is_left_alone(data, tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match=r"holds something else \(mine\.txt\): choose another --out"):
        run_recipe(SMALL, data=data, out=tmp_path, changes=HERE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# Every kind of recipe


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    root = tmp_path_factory.mktemp("few")
    tiny_cifar.write_human(root / "cifar10n" / "CIFAR-10_human.pt", tiny_cifar.labels_of(20)[::-1])
    return tiny_cifar.write_parquet(root / "cifar10", 20, 10, kind="JPEG")


@pytest.mark.parametrize(
    "name",
    [
        "cifar10-sym40-elr",
        "cifar10-clean-elr-cosine",
        "cifar10-asym40-elr-plus",
        "cifar10-sym80-cross-entropy",
        "fast-cifar10-human-elr",
        "fast-cifar10-sym80-elr-plus",
        "fast-cifar10-asym20-cross-entropy",
    ],
)
def test_an_epoch_of_every_kind(name, few, tmp_path):
    recipe = RECIPES[name]
    recipe = replace(recipe, training=replace(recipe.training, batch_size=18))
    out = tmp_path / name
    results = run_recipe(recipe, data=few, out=out, changes=Changes(epochs=1, device="cpu")).results
    shutil.rmtree(tmp_path)  # a hundred megabytes of weights
    assert results["num_examples"] == 18
    assert "validation_agreement_last" in results
    assert ("noise_rate_realized" in results) == ("-clean-" not in name)
    assert 0.0 <= results["test_accuracy_last"] <= 1.0


# Human labels


def test_human_labels_are_trained_on_and_the_others_measured_against(data, tmp_path):
    recipe = replace(SMALL, noise=("human", "random_label1"), method=CrossEntropyConfig(), holdout=0.0)
    fitted = run_recipe(recipe, data=data, out=tmp_path / "out", changes=replace(HERE, epochs=1))
    assert fitted.results["noise_rate_realized"] == pytest.approx(0.2)
    clean = np.array(tiny_cifar.labels_of(TRAIN))
    issues = pd.read_csv(fitted.out / "issues.csv").sort_values("row")
    assert (np.array(numbers(issues["given_label"])) != clean).nonzero()[0].tolist() == list(range(0, TRAIN, 5))
    assert fitted.run["data"]["source"].endswith("cifar10, random_label1")


def test_human_labels_of_the_first_rows(data, tmp_path):
    """The file is of all rows; a trial takes the first of both."""
    recipe = replace(SMALL, noise=("human", "random_label1"), method=CrossEntropyConfig(), holdout=0.0)
    changes = replace(HERE, epochs=1, num_examples=30)
    results = run_recipe(recipe, data=data, out=tmp_path / "out", changes=changes).results
    assert (results["num_examples"], results["noise_rate_realized"]) == (30, pytest.approx(0.2))


def test_human_labels_may_lie_elsewhere(data, tmp_path):
    recipe = replace(SMALL, noise=("human", "worse_label"), method=CrossEntropyConfig())
    with pytest.raises(DataError, match="has no label set 'worse_label': it has clean_label, random_label1"):
        run_recipe(recipe, data=data, out=tmp_path / "out", changes=HERE)
    labels = np.roll(tiny_cifar.labels_of(TRAIN), 1)
    other = tiny_cifar.write_human(tmp_path / "mine.pt", labels, worse_label=labels)
    for place in (other, str(other)):
        fitted = run_recipe(recipe, data=str(data), out=tmp_path / "out", changes=replace(HERE, epochs=1), labels=place)
        assert fitted.results["noise_rate_realized"] == 1.0


# A trial with few examples


def test_a_trial_takes_the_first_rows_of_both_parts(data, tmp_path):
    recipe = replace(SMALL, holdout=0.0, method=CrossEntropyConfig())
    fitted = run_recipe(recipe, data=data, out=tmp_path / "out", changes=replace(HERE, epochs=1, num_examples=30))
    issues = pd.read_csv(fitted.out / "issues.csv")
    assert sorted(issues["row"]) == list(range(30))
    assert fitted.run["data"]["num_examples"] == 30
    more = replace(HERE, epochs=1, num_examples=10**6)
    assert run_recipe(recipe, data=data, out=tmp_path / "more", changes=more).results["num_examples"] == TRAIN


def test_a_trial_with_fewer_examples_than_a_batch_just_works(data, tmp_path):
    changes = replace(HERE, epochs=1, num_examples=30)
    run_recipe(RECIPES["fast-cifar10-sym40-cross-entropy"], data=data, out=tmp_path / "out", changes=changes)


def test_a_holdout_of_everything_leaves_nothing_behind(data, tmp_path):
    with pytest.raises(ArgumentError, match="leaves 0 of 2 rows to train on"):
        run_recipe(SMALL, data=data, out=tmp_path / "out", changes=replace(HERE, num_examples=2, holdout=0.9))
    assert not (tmp_path / "out").exists()


def test_the_data_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no such folder: .*absent; expected the folder of CIFAR-10"):
        run_recipe(SMALL, data=tmp_path / "absent", out=tmp_path / "out", changes=HERE)
    assert not (tmp_path / "out").exists()


def test_torchvisions_layout_runs_as_well(tmp_path, monkeypatch):
    tiny_cifar.write_archive(tmp_path / "cifar", monkeypatch)
    recipe = replace(SMALL, method=CrossEntropyConfig())
    fitted = run_recipe(recipe, data=tmp_path / "cifar", out=tmp_path / "out", changes=replace(HERE, epochs=1))
    assert fitted.results["num_examples"] == 40
    assert json.loads((fitted.out / "run.json").read_text())["preprocessing"]["class_names"] == list(CIFAR10_CLASSES)
