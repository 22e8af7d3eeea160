"""Recipes for data that are noisy by themselves, run on made trees of the published layouts."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image

import tiny_cifar
from elr.data.pictures.decoding import Geometry
from elr.errors import ArgumentError, DataError
from elr.files import read_json
from elr.runs.experiment import run_recipe
from elr.runs.predict import predict
from elr.runs.recipe import Changes
from elr.runs.recipes import RECIPES
from tiny_allenoise import make as titles_tree
from tiny_clothing import write_clothing

SMALL = {"backbone": "resnet10t", "pretrained": False, "geometry": Geometry(resize=36, crop=32)}
HERE = Changes(device="cpu", epochs=2)


def small(name, **changes):
    """A recipe of real data with a network and images that take no time."""
    recipe = RECIPES[name]
    training = replace(recipe.training, batch_size=14, num_batches=recipe.training.num_batches and 2)
    return replace(recipe, training=training, **SMALL | changes)


@pytest.fixture(scope="module")
def clothing(tmp_path_factory):
    root = tmp_path_factory.mktemp("clothing")
    write_clothing(root)
    return root


@pytest.mark.parametrize("name", ["clothing1m-elr", "clothing1m-elr-plus-authors", "clothing1m-cross-entropy"])
def test_clothing1m_from_its_lists_to_the_report(clothing, tmp_path, name):
    fitted = run_recipe(small(name), data=clothing, out=tmp_path / "out", changes=HERE)
    results = fitted.results
    assert (results["num_examples"], results["num_classes"]) == (56, 14)
    assert 0.0 <= results["test_accuracy_last"] <= 1.0
    assert "fraction_memorized" not in results  # no clean labels of the training images are known
    issues = pd.read_csv(fitted.out / "issues.csv")
    assert sorted(issues["row"]) == list(range(56))
    assert issues["given_label"].str.startswith("class ").all()
    assert issues["id"].str.endswith(".jpg").all()
    assert issues["label_quality"].between(0, 1).all()
    run = read_json(fitted.out / "run.json")
    assert run["training"]["sampling"] == ("balanced_once" if name.endswith("authors") else "balanced")
    assert run["network"]["backbone"] == "resnet10t"
    assert "data:image" in (fitted.out / "report.html").read_text()


def test_a_run_on_images_on_disk_predicts_others(clothing, tmp_path):
    fitted = run_recipe(small("clothing1m-elr"), data=clothing, out=tmp_path / "out", changes=HERE)
    folder = tmp_path / "new"
    folder.mkdir()
    Image.fromarray(np.zeros((50, 60, 3), dtype=np.uint8)).save(folder / "a.png")
    found = predict(fitted.out, folder)
    assert len(found) == 1
    assert found["predicted_label"].str.startswith("class ").all()


def test_weights_come_from_a_file_and_both_networks_begin_with_them(clothing, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(4)
        body = timm.create_model("resnet10t", pretrained=False)
    weights = tmp_path / "resnet10t.pth"
    torch.save(body.state_dict(), weights)
    recipe = small("clothing1m-elr-plus", pretrained=True)
    frozen = replace(recipe, training=replace(recipe.training, learning_rate=1e-9, weight_decay=0.0))
    fitted = run_recipe(frozen, data=clothing, out=tmp_path / "out", changes=HERE, weights=weights)
    from safetensors.torch import load_file

    kept = load_file(fitted.out / "model.safetensors")
    for number in (0, 1):
        name = next(key for key in kept if key.startswith(f"{number}.") and key.endswith("conv1.0.weight"))
        assert torch.allclose(kept[name], body.state_dict()["conv1.0.weight"], atol=1e-6)
    with pytest.raises(ArgumentError, match="begins with random ones: leave them out"):
        run_recipe(small("clothing1m-elr"), data=clothing, out=tmp_path / "b", changes=HERE, weights=weights)


def test_without_test_images_it_says_what_is_missing(tmp_path):
    write_clothing(tmp_path)
    (tmp_path / "clean_label_kv.txt").unlink()
    with pytest.raises(DataError, match="has no test images to test on: it has train; `elr data check clothing1m`"):
        run_recipe(small("clothing1m-elr"), data=tmp_path, out=tmp_path / "out", changes=HERE)
    assert not (tmp_path / "out").exists()


def test_human_labels_for_a_recipe_without_them_are_refused(clothing, tmp_path):
    with pytest.raises(ArgumentError, match="has no use for human labels"):
        run_recipe(small("clothing1m-elr"), data=clothing, out=tmp_path / "out", changes=HERE, labels=tmp_path)
    with pytest.raises(ArgumentError, match="does not have its classes: leave it out"):
        run_recipe(small("clothing1m-elr"), data=clothing, out=tmp_path / "out", changes=HERE, ilsvrc12=tmp_path)


# mini-WebVision, and ILSVRC12 beside it


def write_images(root, names):
    rng = np.random.default_rng(len(names))
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 44, 3), dtype=np.uint8)).save(path)


@pytest.fixture(scope="module")
def webvision(tmp_path_factory):
    from elr.datasets.readers.imagenet import CLASSES

    root = tmp_path_factory.mktemp("webvision")
    (root / "info").mkdir()
    synsets = [f"n{10_000_000 + number} class {number}" for number in range(CLASSES)]
    (root / "info" / "synsets.txt").write_text("".join(f"{line}\n" for line in synsets))
    train = [f"google/q{row % 60:04}/{row}.jpg {row % 60}" for row in range(120)]
    val = [f"val{row:06}.jpg {row % 60}" for row in range(60)]
    (root / "info" / "train_filelist_google.txt").write_text("".join(f"{line}\n" for line in train))
    (root / "info" / "val_filelist.txt").write_text("".join(f"{line}\n" for line in val))
    write_images(root, [line.split()[0] for line in train])
    write_images(root / "val_images_256", [line.split()[0] for line in val])
    return root


def test_mini_webvision_is_tested_on_itself_and_on_imagenet(webvision, tmp_path):
    imagenet = tmp_path / "imagenet"
    names = [f"ILSVRC2012_val_{row:08}.JPEG" for row in range(2, 32)]
    write_images(imagenet, names)
    (imagenet / "val.txt").write_text("".join(f"{name} {row}\n" for row, name in enumerate(names)))
    recipe = small("mini-webvision-elr")
    fitted = run_recipe(recipe, data=webvision, out=tmp_path / "out", changes=HERE, ilsvrc12=imagenet)
    results = fitted.results
    assert (results["num_examples"], results["num_classes"]) == (100, 50)
    for name in ("test_accuracy_last", "test_top5_accuracy_last"):
        assert 0.0 <= results[name] <= 1.0
    assert results["test_top5_accuracy_last"] >= results["test_accuracy_last"]
    assert results["ilsvrc12_top5_accuracy_last"] >= results["ilsvrc12_accuracy_last"] >= 0.0
    assert read_json(fitted.out / "run.json")["results"] == results


def test_a_finished_run_can_be_measured_on_imagenet_later(webvision, tmp_path):
    """The right answers are what the network itself says: it has them all right."""
    recipe = small("mini-webvision-cross-entropy")
    fitted = run_recipe(recipe, data=webvision, out=tmp_path / "out", changes=HERE)
    assert "ilsvrc12_accuracy_last" not in fitted.results
    names = [f"ILSVRC2012_val_{row:08}.JPEG" for row in range(2, 12)]
    write_images(tmp_path / "imagenet", names)
    found = predict(fitted.out, tmp_path / "imagenet")
    classes = read_json(fitted.out / "run.json")["preprocessing"]["class_names"]
    said = [classes.index(label) for label in found["predicted_label"]]
    (tmp_path / "imagenet" / "val.txt").write_text("".join(f"{n} {c}\n" for n, c in zip(names, said, strict=True)))
    again = run_recipe(
        recipe, data=webvision, out=tmp_path / "out", changes=HERE, ilsvrc12=tmp_path / "imagenet"
    ).results
    assert again["ilsvrc12_accuracy_last"] == 1.0
    assert again["test_accuracy_last"] == fitted.results["test_accuracy_last"]


# CIFAR-100, with the networks of the paper on a few small images


@pytest.fixture(scope="module")
def cifar100(tmp_path_factory):
    root = tmp_path_factory.mktemp("cifar100")
    labels = [(7 * row) % 100 for row in range(60)]
    for part, count in (("train", 60), ("test", 10)):
        rows = [
            {"bytes": tiny_cifar.encoded(each), "path": None}
            for each in tiny_cifar.pixels_of(np.array(labels[:count]) % 10, side=16)
        ]
        columns = {"img": pa.array(rows, tiny_cifar.RECORD), "fine_label": labels[:count]}
        pq.write_table(pa.table(columns), root / f"{part}.parquet")
    human = [(label + (row % 5 == 0)) % 100 for row, label in enumerate(labels)]
    tiny_cifar.write_human(root / "CIFAR-100_human.pt", human, labels, noisy_label=np.array(human))
    return root


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("cifar100-asym40-elr-plus", None),
        ("cifar100-super20-cross-entropy", None),
        ("cifar100-human-elr-cosine", 0.2),
        ("cifar100-clean-elr", None),
    ],
)
def test_an_epoch_of_cifar100(cifar100, tmp_path, name, rate):
    recipe = RECIPES[name]
    recipe = replace(recipe, holdout=0.0, training=replace(recipe.training, batch_size=20))
    fitted = run_recipe(recipe, data=cifar100, out=tmp_path / "out", changes=Changes(epochs=1, device="cpu"))
    results = fitted.results
    assert (results["num_examples"], results["num_classes"]) == (60, 100)
    assert results["test_top5_accuracy_last"] >= results["test_accuracy_last"]
    if rate is not None:
        assert results["noise_rate_realized"] == pytest.approx(rate)
    shutil.rmtree(tmp_path / "out")  # a hundred megabytes of weights


# Titles


def test_titles_without_a_split_are_measured_on_held_out_rows(tmp_path):
    rows = [
        (row, f"a {('red', 'blue')[row % 2]} thing number {row}", row % 2, (row + (row % 10 == 0)) % 2)
        for row in range(60)
    ]
    titles_tree(tmp_path / "data", rows=rows, categories=[(0, "All > Red"), (1, "All > Blue")])
    fitted = run_recipe(RECIPES["allenoise-elr"], data=tmp_path / "data", out=tmp_path / "out", changes=HERE)
    assert fitted.results["num_examples"] == 54
    assert "validation_agreement_last" in fitted.results
    assert "test_accuracy_last" not in fitted.results
