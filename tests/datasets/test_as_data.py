"""The embedded digits, and CIFAR-10 in every layout as data to train on."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits as load_sklearn_digits

from elr.data.records import IMAGES
from elr.datasets.as_data import load_cifar10, load_digits
from elr.errors import ArgumentError, DataError
from tiny_cifar import labels_of, pixels_of, write_archive, write_parquet
from traps import Trap

FEATURES, LABELS = load_sklearn_digits(return_X_y=True)


def numbers(raw):
    """The rows of scikit-learn's digits that a part holds."""
    return [int(name.removeprefix("scan ")) for name in raw.ids]


def test_parts_are_four_to_one_and_share_no_scan():
    train, test = load_digits()
    assert (len(train), len(test)) == (1437, 360)
    assert sorted(numbers(train) + numbers(test)) == list(range(1797))
    assert train.rows.tolist() == list(range(1437))
    shares = np.bincount(test.labels) / np.bincount(LABELS)
    assert (abs(shares - 0.2) < 0.01).all()


def test_images_and_clean_labels_are_those_of_scikit_learn():
    for raw in load_digits():
        assert raw.kind == IMAGES
        assert raw.images.shape == (len(raw), 1, 8, 8)
        assert raw.images.dtype == torch.uint8
        expected = (FEATURES[numbers(raw)].reshape(-1, 1, 8, 8) * 255 / 16).astype(np.uint8)
        np.testing.assert_array_equal(raw.images.numpy(), expected)
        assert (raw.images.min(), raw.images.max()) == (0, 255)
        assert (raw.clean_labels or raw.labels) == LABELS[numbers(raw)].tolist()


@pytest.mark.parametrize(("noise", "rate"), [("symmetric", 0.4), ("pairflip", 0.2), ("symmetric", 0.0)])
def test_only_training_labels_are_corrupted(noise, rate):
    train, test = load_digits(noise=noise, noise_rate=rate)
    wrong = np.array(train.labels) != np.array(train.clean_labels)
    assert wrong.mean() == pytest.approx(rate, abs=0.005)
    assert test.clean_labels is None
    assert test.labels == LABELS[numbers(test)].tolist()
    assert all(type(label) is int for label in train.labels + train.clean_labels + test.labels)


def test_the_seed_decides_split_and_noise():
    first, again, other = load_digits(seed=3)[0], load_digits(seed=3)[0], load_digits(seed=4)[0]
    assert first.labels == again.labels
    assert first.ids == again.ids
    assert first.ids != other.ids


def test_unknown_noise_is_refused():
    with pytest.raises(ArgumentError, match="salt"):
        load_digits(noise="salt")
    with pytest.raises(ArgumentError, match=r"1\.5"):
        load_digits(noise_rate=1.5)


# CIFAR-10, made small


def test_cifar10_lies_in_a_folder_or_a_known_subfolder(tmp_path):
    write_parquet(tmp_path / "a", 20, 10)
    write_parquet(tmp_path / "b" / "data", 20, 10, names=("train-00000-of-00001.parquet", "test-0.parquet"))
    write_parquet(tmp_path / "c" / "plain_text", 20, 10, kind="JPEG")
    for place in (tmp_path / "a", str(tmp_path / "a"), tmp_path / "b", tmp_path / "b" / "data", tmp_path / "c"):
        train, test = load_cifar10(place)
        assert (len(train), len(test)) == (20, 10)
        assert train.labels == labels_of(20)
        assert test.labels == labels_of(10)
        assert train.images.shape == (20, 3, 32, 32)
    expected = torch.from_numpy(pixels_of(labels_of(20))).permute(0, 3, 1, 2)
    assert torch.equal(load_cifar10(tmp_path / "a")[0].images, expected)


def test_parquet_goes_before_the_archive(tmp_path, monkeypatch):
    write_archive(tmp_path, monkeypatch)
    write_parquet(tmp_path, 20, 10)
    assert len(load_cifar10(tmp_path)[0]) == 20


def test_the_archive_of_torchvision_by_either_folder(tmp_path, monkeypatch):
    folder = write_archive(tmp_path, monkeypatch)
    for place in (tmp_path, folder, str(folder)):
        train, test = load_cifar10(place)
        assert train.images.shape == (50, 3, 32, 32)
        assert train.images.dtype == torch.uint8
        assert train.labels == labels_of(10) * 5
        expected = torch.from_numpy(pixels_of(labels_of(10), 2)).permute(0, 3, 1, 2)
        assert torch.equal(train.images[10:20], expected)
        assert len(test) == 10
        assert train.rows.tolist() == list(range(50))
        assert train.kind == IMAGES


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("damage", ["lost", "truncated", "foreign"])
def test_an_archive_that_is_not_whole_is_not_unpickled(tmp_path, monkeypatch, name, damage):
    folder = write_archive(tmp_path / "cifar", monkeypatch)
    file, trap = folder / name, tmp_path / "executed"
    content = file.read_bytes()
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[: len(content) // 2])
    if damage == "foreign":
        file.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(DataError, match=r"cifar-10-batches-py is not whole: .*unpack cifar-10-python\.tar\.gz again"):
        load_cifar10(folder)
    assert not trap.exists()


def test_no_cifar10_there(tmp_path):
    with pytest.raises(DataError, match=r"no such folder: .*absent; expected the folder of CIFAR-10"):
        load_cifar10(tmp_path / "absent")
    missing = (
        r"is not all of CIFAR-10: missing train\*\.parquet \(CIFAR-10: the python archive unpacked .*cs\.toronto\.edu"
    )
    with pytest.raises(DataError, match=missing):
        load_cifar10(tmp_path)
    write_parquet(tmp_path, 20, 10)
    (tmp_path / "test.parquet").unlink()
    with pytest.raises(DataError, match=r"has 0 files for test: expected one, test\*\.parquet"):
        load_cifar10(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        load_cifar10(tmp_path / "train.parquet")


def test_two_files_for_one_part_are_one_too_many(tmp_path):
    write_parquet(tmp_path, 20, 10)
    write_parquet(tmp_path, 20, 10, names=("train-2.parquet", "test.parquet"))
    with pytest.raises(DataError, match=r"has 2 files for train: expected one, train\*\.parquet"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize("name", ["train.parquet", "test.parquet"])
def test_parquet_cut_short_is_named(tmp_path, name):
    write_parquet(tmp_path, 20, 10)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"{name} cannot be read as Parquet"):
        load_cifar10(tmp_path)


def test_parquet_of_something_else_is_refused(tmp_path):
    for part in ("train", "test"):
        pd.DataFrame({"x": [1.0, 2.0], "y": [0, 1]}).to_parquet(tmp_path / f"{part}.parquet")
    with pytest.raises(DataError, match=r"has the columns x, y: expected img and label"):
        load_cifar10(tmp_path)


def test_labels_are_numbers_also_where_the_file_names_the_classes(tmp_path):
    """As the file of the hub itself does: ClassLabel names in its metadata."""
    train, test = load_cifar10(write_parquet(tmp_path, 20, 10, named=True))
    assert train.labels == labels_of(20)
    assert test.labels == labels_of(10)
