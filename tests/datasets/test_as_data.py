"""The embedded digits, CIFAR-10 in every layout, and CIFAR-10N's human labels."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits as load_sklearn_digits

from elr.data.records import IMAGES, Records
from elr.datasets.as_data import human_labels, load_cifar10, load_digits
from elr.datasets.cifar_n import human_file
from elr.errors import ArgumentError, DataError
from tiny_cifar import labels_of, pixels_of, write_archive, write_human, write_parquet

HUMAN_FILE = human_file(10)
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


# CIFAR-10 and the human labels of CIFAR-10N, made small


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


def test_human_labels_fit_the_file_of_the_hub(tmp_path):
    train, _ = load_cifar10(write_parquet(tmp_path, 20, 10, named=True))
    human_labels(write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS), "random_label1", train)


def made(labels=None):
    labels = labels_of(20) if labels is None else labels
    return Records(kind=IMAGES, rows=np.arange(len(labels)), labels=labels)


HUMAN_LABELS = [3, *labels_of(20)[1:]]


def test_human_labels_in_the_order_of_the_images(tmp_path):
    file = write_human(tmp_path / "cifar10n" / HUMAN_FILE, HUMAN_LABELS)
    for place in (file, tmp_path / "cifar10n", tmp_path / "cifar10"):  # the last one: beside the images
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        found = human_labels(place, "random_label1", made())
        assert found == HUMAN_LABELS
        assert {type(label) for label in found} == {int}


def test_human_labels_beside_the_images_come_first(tmp_path):
    write_human(tmp_path / "cifar10n" / HUMAN_FILE, labels_of(20))
    write_human(tmp_path / "cifar10" / HUMAN_FILE, HUMAN_LABELS)
    assert human_labels(tmp_path / "cifar10", "random_label1", made()) == HUMAN_LABELS


def test_human_labels_are_found_from_inside_the_folder_of_the_images(tmp_path, monkeypatch):
    write_human(tmp_path / "cifar10n" / HUMAN_FILE, HUMAN_LABELS)
    (tmp_path / "cifar10").mkdir()
    monkeypatch.chdir(tmp_path / "cifar10")
    assert human_labels(Path(), "random_label1", made()) == HUMAN_LABELS


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        np.array,
        torch.tensor,
        list,
        pytest.param(lambda labels: np.array(labels, np.int32)),
        pytest.param(lambda labels: np.array(labels, np.uint8)),
    ],
)
def test_human_labels_of_every_integer_type_and_file_format(tmp_path, make, zipped):
    content = {"clean_label": make(labels_of(20)), "x": make(HUMAN_LABELS)}
    torch.save(content, tmp_path / HUMAN_FILE, _use_new_zipfile_serialization=zipped)
    assert human_labels(tmp_path, "x", made()) == HUMAN_LABELS


def test_human_labels_as_numpy_1_wrote_them(tmp_path):
    """The published file is of 2021, when NumPy's module had another name."""
    file = tmp_path / HUMAN_FILE
    write_human(file, HUMAN_LABELS)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert human_labels(file, "random_label1", made()) == HUMAN_LABELS


def test_human_labels_that_are_not_there(tmp_path):
    message = r"no CIFAR-10_human\.pt at .*: get it from github\.com/UCSC-REAL/cifar-10-100n, .* --labels"
    for place in (tmp_path, tmp_path / "absent.pt"):
        with pytest.raises(DataError, match=message):
            human_labels(place, "random_label1", made())
    file = write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS, worse_label=np.zeros(20, int))
    with pytest.raises(DataError, match="has no label set 'aggre': it has clean_label, random_label1, worse_label"):
        human_labels(file, "aggre", made())


@pytest.mark.parametrize(
    "clean",
    [labels_of(20)[::-1], labels_of(20)[:19], labels_of(21)],
    ids=["another order", "too few", "too many"],
)
def test_human_labels_of_other_images(tmp_path, clean):
    file = write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS, clean)
    with pytest.raises(
        DataError, match=r"is not in the order of these images: its clean_label differs .*; expected the"
    ):
        human_labels(file, "random_label1", made())


def test_human_labels_without_clean_ones_cannot_be_checked(tmp_path):
    torch.save({"random_label1": np.array(HUMAN_LABELS)}, tmp_path / HUMAN_FILE)
    with pytest.raises(DataError, match="not in the order"):
        human_labels(tmp_path, "random_label1", made())


@pytest.mark.parametrize("labels", [HUMAN_LABELS[:19], [*HUMAN_LABELS, 1], [-1, *HUMAN_LABELS[1:]]])
def test_human_labels_of_another_number_or_range_are_refused(tmp_path, labels):
    file = write_human(tmp_path / HUMAN_FILE, labels, labels_of(20))
    with pytest.raises(DataError):
        human_labels(file, "random_label1", made())


def test_a_damaged_file_of_human_labels_is_named(tmp_path):
    file = write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS)
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"no such format", content[:-200] + bytes(200)):
        file.write_bytes(damaged)
        with pytest.raises(
            DataError,
            match=r"CIFAR-10_human\.pt holds something else than integer arrays by name .*get it again from github",
        ):
            human_labels(file, "random_label1", made())
    for other in ([1, 2], np.arange(3), {"clean_label": "text"}):
        torch.save(other, file)
        with pytest.raises(DataError, match="holds something else than integer arrays by name"):
            human_labels(file, "random_label1", made())


class Trap:
    """What creates a file when it is unpickled without care."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_execute_something_is_refused_and_nothing_is_executed(tmp_path, zipped):
    file, trap = tmp_path / HUMAN_FILE, tmp_path / "executed"
    content = {"clean_label": np.array(labels_of(20)), "random_label1": Trap(trap)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match="holds something else than integer arrays by name"):
        human_labels(file, "random_label1", made())
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="holds something else than integer arrays by name"):
        human_labels(file, "random_label1", made())
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists(), "the trap is none"


def test_the_human_labels_as_they_lie():
    folder = Path("/work/shared/data/cifar10")
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    clean = pd.read_parquet(folder / "train.parquet", columns=["label"])["label"].tolist()
    labels = human_labels(folder, "random_label1", made(clean))
    assert np.mean(np.array(labels) != clean) == pytest.approx(0.1723, abs=1e-4)
    with pytest.raises(DataError, match="not in the order"):
        human_labels(folder, "random_label1", made(clean[::-1]))


def test_the_refusal_does_not_advise_to_execute_it_after_all(tmp_path):
    file = write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS, extra=Trap(tmp_path / "executed"))
    with pytest.raises(DataError) as caught:
        human_labels(file, "random_label1", made())
    assert "weights_only=False" not in str(caught.value).replace("` to `False", "=False")
    assert "\n" not in str(caught.value)
