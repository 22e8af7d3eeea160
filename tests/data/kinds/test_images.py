"""Rows of images: as a network sees them, as the features of a backbone, as people are shown them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from elr import files
from elr.data.formats.catalog import FORMATS
from elr.data.kinds.catalog import fit_preprocessing
from elr.data.kinds.images import BackbonePreprocessing, Images, ImageSpec
from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.data.records import ReadOptions, Records
from elr.errors import ArgumentError, DataError
from elr.files import on_disk
from pictures import color, encoded, ramp
from small_data import N, images, saved


def test_images_must_have_the_size_of_training_but_not_its_channels():
    encoder = fit_preprocessing(images(), ReadOptions())
    with pytest.raises(DataError, match=r"new has images of \(5, 6\) pixels, training had \(6, 5\): resize them"):
        encoder.encode(images((N, 3, 5, 6)), name="new")
    gray = images((N, 1, 6, 5))
    widened = encoder.encode(gray, name="new").inputs
    assert torch.equal(widened, gray.images.expand(-1, 3, -1, -1))
    narrowed = fit_preprocessing(gray, ReadOptions()).encode(images(), name="new").inputs
    assert narrowed.dtype == torch.uint8
    np.testing.assert_array_equal(narrowed[:, 0], images().images.numpy().mean(axis=1).round())


def test_images_are_normalized_over_the_training_set_and_augmented_on_demand():
    raw = images()
    encoder = fit_preprocessing(raw, ReadOptions())
    normalized = encoder.transform()(raw.images)
    torch.testing.assert_close(normalized.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalized.std(dim=(0, 2, 3)), torch.ones(3))
    assert encoder.transform(crop=True, flip=True).padding == 1
    assert encoder.transform(flatten=True)(raw.images).shape == (N, 90)
    large = fit_preprocessing(images((4, 1, 32, 32)), ReadOptions())
    assert large.transform(crop=True, flip=True).padding == 4


def test_features_of_a_backbone_are_another_way_for_images():
    features = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    records = Records(kind="images", rows=np.arange(4), features=features, labels=["cat", "dog"] * 2)
    fitted = fit_preprocessing(records, ReadOptions())
    assert (fitted.takes_images, fitted.learns_from, fitted.feature_rate(5)) == (False, "features of images", 0.002)


def backbone_features():
    features = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    pixels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    return Records(kind="images", rows=np.arange(4), images=pixels, features=features, labels=["cat", "dog"] * 2)


def test_features_on_disk_are_scaled_on_disk_and_a_bad_row_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("elr.data.kinds.images.ROWS_AT_ONCE", 3)
    held = backbone_features()
    features = on_disk((4, 5), np.float32, str(tmp_path))
    features[:] = held.features
    mapped = replace(held, features=features, scratch=str(tmp_path), rows=np.arange(10, 14))
    fitted = fit_preprocessing(mapped, ReadOptions())
    scaled = fitted.encode(mapped, name="it").inputs
    assert torch.equal(scaled, fitted.encode(held, name="it").inputs)
    assert np.array_equal(features, held.features)  # they can be encoded again
    features[3, 0] = np.finfo(np.float32).max
    fitted.transformer.scale_ *= 1e-3
    with pytest.raises(DataError, match="it has a value in row 13 that is too far"):
        fitted.encode(mapped, name="it")


def test_features_of_a_backbone_go_round_on_one_scale(tmp_path):
    """One number scales them all, so that what varies little counts little."""
    records = backbone_features()
    fitted = fit_preprocessing(records, ReadOptions())
    loaded = saved(fitted, tmp_path)
    assert type(loaded) is type(fitted) is BackbonePreprocessing
    inputs = loaded.encode(records, name="it").inputs
    assert torch.equal(inputs, fitted.encode(records, name="it").inputs)
    ratios = inputs.std(dim=0) / torch.from_numpy(records.features).std(dim=0)
    torch.testing.assert_close(ratios, ratios[:1].expand(5))


def test_images_of_a_store_keep_its_geometry(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(encoded(ramp(20, 30) // (number + 1)))
    store = FileImages(tmp_path, [f"{number}.png" for number in range(4)], Geometry(resize=16, crop=12))
    records = Records(kind="images", rows=np.arange(4), images=store, labels=["cat", "dog"] * 2)
    fitted = fit_preprocessing(records, ReadOptions())
    assert (fitted.spec.channels, fitted.spec.height, fitted.spec.width, fitted.spec.resize) == (3, 12, 12, 16)
    assert fitted.encode(records, name="it").inputs is store
    with pytest.raises(DataError, match=r"new has images of \(8, 8\) pixels, training had \(12, 12\)"):
        fitted.encode(images((4, 3, 8, 8)), name="new")


def test_new_images_are_read_as_those_of_training():
    fitted = fit_preprocessing(images((N, 3, 6, 6)), ReadOptions())
    asked = ReadOptions(label="y", backbone="resnet18", weights="w.pth", fine_tune=True)
    reading = fitted.reading(asked, folder=Path("run"), encoder=None)
    assert reading == ReadOptions(label="y", backbone="none", image_size=6)
    frozen = fit_preprocessing(backbone_features(), ReadOptions())
    reading = frozen.reading(ReadOptions(backbone="resnet18", image_size=128), folder=Path("run"), encoder=None)
    assert reading.weights == str(Path("run") / files.BACKBONE_FILE)
    assert (reading.backbone, reading.image_size) == ("resnet18", 128)
    with pytest.raises(ArgumentError, match="encoder is 'x', and the run in run has none: leave it out"):
        frozen.reading(ReadOptions(), folder=Path("run"), encoder="x")


def test_people_are_shown_images_where_a_browser_finds_them(tmp_path):
    for name in ("cat/no 1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(encoded(color()))
    tag, shown = Images().contents(FORMATS["folder"], tmp_path, ReadOptions(), [1, 0], ["dog/2.png", "cat/no 1.png"])
    assert tag == "Image"
    assert [row["image"].rpartition(f"{tmp_path.name}/")[2] for row in shown] == ["dog/2.png", "cat/no%201.png"]
    with pytest.raises(DataError, match=r"t\.csv has no images: name the data of the run"):
        Images().contents(FORMATS["csv"], tmp_path / "t.csv", ReadOptions(), [3], [])


def test_a_picture_is_the_image_of_a_row_where_there_are_any():
    raw = images()
    assert torch.equal(Images().picture(raw, 3), raw.images[3])
    assert Images().picture(replace(backbone_features(), images=None), 0) is None
    assert Images.named_classes
    assert "subfolder" in Images.label_hint


def test_names_that_lead_out_of_the_folder_are_not_shown(tmp_path):
    for name in ("../x.png", "cat/../../x.png", "/etc/x.png"):
        with pytest.raises(DataError, match=r"x\.png' leads out of .*: expected the names of images in it"):
            Images().contents(FORMATS["folder"], tmp_path, ReadOptions(), [0], [name])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("channels", 2),
        ("channels", {"a": 1}),
        ("height", 0),
        ("width", 10**9),
        ("resize", "1"),
        ("mean", 0),
        ("mean", [0.5]),
        ("std", [0.5, 0.5, {}]),
        ("std", [0.5, 0.5, float("nan")]),
        ("range", 7),
        ("range", [1.0, 0.0]),
    ],
)
def test_what_is_no_format_of_images_is_refused(name, value):
    good = {"channels": 3, "height": 8, "width": 8, "mean": [0.5] * 3, "std": [0.2] * 3, "range": [0, 4095]}
    assert ImageSpec(**good).height == 8
    with pytest.raises(ArgumentError, match=f"^{name} is "):
        ImageSpec(**good | {name: value})
