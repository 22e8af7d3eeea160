"""The human labels of CIFAR-10N in both of their file formats."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from elr.datasets.as_data import load_cifar10
from elr.datasets.readers.cifar_n import human_file, human_labels
from elr.errors import DataError
from tiny_cifar import labels_of, write_human, write_parquet
from traps import Trap

HUMAN_FILE = human_file(10)


def test_human_labels_fit_the_file_of_the_hub(tmp_path):
    train, _ = load_cifar10(write_parquet(tmp_path, 20, 10, named=True))
    assert read(write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS), "random_label1", train.labels) == HUMAN_LABELS


HUMAN_LABELS = [3, *labels_of(20)[1:]]


def read(place, name, clean=None):
    """A label set for images whose labels are `clean`, by default those of 20 made ones."""
    return human_labels(place, name, np.array(labels_of(20) if clean is None else clean)).tolist()


def test_human_labels_in_the_order_of_the_images(tmp_path):
    file = write_human(tmp_path / "cifar10n" / HUMAN_FILE, HUMAN_LABELS)
    for place in (file, tmp_path / "cifar10n", tmp_path / "cifar10"):  # the last one: beside the images
        (tmp_path / "cifar10").mkdir(exist_ok=True)
        found = read(place, "random_label1")
        assert found == HUMAN_LABELS
        assert {type(label) for label in found} == {int}


def test_human_labels_beside_the_images_come_first(tmp_path):
    write_human(tmp_path / "cifar10n" / HUMAN_FILE, labels_of(20))
    write_human(tmp_path / "cifar10" / HUMAN_FILE, HUMAN_LABELS)
    assert read(tmp_path / "cifar10", "random_label1") == HUMAN_LABELS


def test_human_labels_are_found_from_inside_the_folder_of_the_images(tmp_path, monkeypatch):
    write_human(tmp_path / "cifar10n" / HUMAN_FILE, HUMAN_LABELS)
    (tmp_path / "cifar10").mkdir()
    monkeypatch.chdir(tmp_path / "cifar10")
    assert read(Path(), "random_label1") == HUMAN_LABELS


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
    assert read(tmp_path, "x") == HUMAN_LABELS


def test_human_labels_as_numpy_1_wrote_them(tmp_path):
    """The published file is of 2021, when NumPy's module had another name."""
    file = tmp_path / HUMAN_FILE
    write_human(file, HUMAN_LABELS)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read(file, "random_label1") == HUMAN_LABELS


def test_human_labels_that_are_not_there(tmp_path):
    message = r"no CIFAR-10_human\.pt at .*: get it from github\.com/UCSC-REAL/cifar-10-100n, .* --labels"
    for place in (tmp_path, tmp_path / "absent.pt"):
        with pytest.raises(DataError, match=message):
            read(place, "random_label1")
    file = write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS, worse_label=np.zeros(20, int))
    with pytest.raises(DataError, match="has no label set 'aggre': it has clean_label, random_label1, worse_label"):
        read(file, "aggre")


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
        read(file, "random_label1")


def test_human_labels_without_clean_ones_cannot_be_checked(tmp_path):
    torch.save({"random_label1": np.array(HUMAN_LABELS)}, tmp_path / HUMAN_FILE)
    with pytest.raises(DataError, match="not in the order"):
        read(tmp_path, "random_label1")


@pytest.mark.parametrize("labels", [HUMAN_LABELS[:19], [*HUMAN_LABELS, 1], [-1, *HUMAN_LABELS[1:]]])
def test_human_labels_of_another_number_or_range_are_refused(tmp_path, labels):
    file = write_human(tmp_path / HUMAN_FILE, labels, labels_of(20))
    with pytest.raises(DataError):
        read(file, "random_label1")


def test_a_damaged_file_of_human_labels_is_named(tmp_path):
    file = write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS)
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"no such format", content[:-200] + bytes(200)):
        file.write_bytes(damaged)
        with pytest.raises(
            DataError,
            match=r"CIFAR-10_human\.pt holds something else than integer arrays by name .*get it again from github",
        ):
            read(file, "random_label1")
    for other in ([1, 2], np.arange(3), {"clean_label": "text"}):
        torch.save(other, file)
        with pytest.raises(DataError, match="holds something else than integer arrays by name"):
            read(file, "random_label1")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_execute_something_is_refused_and_nothing_is_executed(tmp_path, zipped):
    file, trap = tmp_path / HUMAN_FILE, tmp_path / "executed"
    content = {"clean_label": np.array(labels_of(20)), "random_label1": Trap(trap)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match="holds something else than integer arrays by name"):
        read(file, "random_label1")
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match="holds something else than integer arrays by name"):
        read(file, "random_label1")
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists(), "the trap is none"


def test_the_human_labels_as_they_lie():
    folder = Path("/work/shared/data/cifar10")
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    clean = pd.read_parquet(folder / "train.parquet", columns=["label"])["label"].tolist()
    labels = read(folder, "random_label1", clean)
    assert np.mean(np.array(labels) != clean) == pytest.approx(0.1723, abs=1e-4)
    with pytest.raises(DataError, match="not in the order"):
        read(folder, "random_label1", clean[::-1])


def test_the_refusal_does_not_advise_to_execute_it_after_all(tmp_path):
    file = write_human(tmp_path / HUMAN_FILE, HUMAN_LABELS, extra=Trap(tmp_path / "executed"))
    with pytest.raises(DataError) as caught:
        read(file, "random_label1")
    assert "weights_only=False" not in str(caught.value).replace("` to `False", "=False")
    assert "\n" not in str(caught.value)


def write_npy(path, arrays, order=None):
    np.save(path, np.array(arrays, dtype=object), allow_pickle=True)
    if order is not None:
        np.save(path.parent / "image_order_c10.npy", order)
    return path


def test_ordered_labels_are_brought_back_to_the_order_of_the_archive(tmp_path):
    clean, given = np.array(labels_of(20)), np.array([*labels_of(20)[:18], 5, 5])
    order = np.random.default_rng(0).permutation(20)
    ordered = {"clean_label": clean[order], "worse_label": given[order].tolist()}
    file = write_npy(tmp_path / "CIFAR-10_human_ordered.npy", ordered, order)
    assert human_labels(file, "worse_label", clean).tolist() == given.tolist()
    assert human_labels(tmp_path, "worse_label", clean).tolist() == given.tolist()
    (tmp_path / "image_order_c10.npy").unlink()
    with pytest.raises(DataError, match=r"order of TensorFlow Datasets, and image_order_c10\.npy is not beside it"):
        human_labels(file, "worse_label", clean)
    np.save(tmp_path / "image_order_c10.npy", np.zeros(20, dtype=int))
    with pytest.raises(DataError, match="is no order of the labels"):
        human_labels(file, "worse_label", clean)


def test_an_unordered_file_is_taken_as_it_is(tmp_path):
    clean = np.array(labels_of(20))
    file = write_npy(tmp_path / "CIFAR-10_human.npy", {"clean_label": clean, "random_label2": clean})
    assert human_labels(file, "random_label2", clean).tolist() == clean.tolist()
    with pytest.raises(DataError, match="is not in the order of these images"):
        human_labels(file, "random_label2", np.roll(clean, 1))


def test_an_array_file_that_would_execute_something_is_refused_and_nothing_is_executed(tmp_path):
    trap = tmp_path / "executed"
    content = {"clean_label": np.array(labels_of(20)), "x": Trap(trap)}
    file = write_npy(tmp_path / "CIFAR-10_human.npy", content)
    with pytest.raises(DataError, match="nothing in it was executed"):
        human_labels(file, "clean_label", np.array(labels_of(20)))
    assert not trap.exists()
    with file.open("rb") as stream:  # the trap itself works
        stream.seek(128)
        pickle.load(stream)
    assert trap.exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no such format", bytes(500)])
def test_a_damaged_array_file_is_named(tmp_path, content):
    file = tmp_path / "CIFAR-10_human.npy"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"CIFAR-10_human\.npy holds something else .* or is damaged"):
        human_labels(file, "x", np.array([0]))
