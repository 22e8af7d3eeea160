"""CIFAR-10 and CIFAR-100 in every layout, made small, and the human labels in their other file format."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision.datasets
from PIL import Image

from elr.datasets.checking import check
from elr.datasets.sets.cifar import CIFAR, CIFAR10_CLASSES, CIFAR100_CLASSES
from elr.errors import ArgumentError, DataError, OutputError
from tiny_cifar import RECORD, encoded, labels_of, pixels_of, write_archive, write_human, write_parquet

FINE = [(37 * row + row // 100) % 100 for row in range(40)]


def write_binary(folder, labels, *, coarse=False, seed=0):
    """Records as in the binary versions: label bytes, then channel after channel."""
    pixels = pixels_of(np.array(labels) % 10, seed).transpose(0, 3, 1, 2).reshape(len(labels), -1)
    heads = np.array([[label // 5, label] if coarse else [label] for label in labels], dtype=np.uint8)
    folder.parent.mkdir(parents=True, exist_ok=True)
    np.concatenate([heads, pixels], axis=1).tofile(folder)
    return pixels.reshape(-1, 3, 32, 32)


def write_cifar10_binary(folder):
    images = [write_binary(folder / f"data_batch_{number}.bin", labels_of(10), seed=number) for number in range(1, 6)]
    write_binary(folder / "test_batch.bin", labels_of(10), seed=9)
    return np.concatenate(images)


def test_the_binary_version_by_either_folder(tmp_path):
    images = write_cifar10_binary(tmp_path / "cifar-10-batches-bin")
    for place in (tmp_path, tmp_path / "cifar-10-batches-bin"):
        opened = CIFAR(10).open(place)
        train = opened.parts["train"]
        assert train.labels.tolist() == labels_of(10) * 5
        assert train.images.numpy().tolist() == images.tolist()
        assert len(opened.parts["test"]) == 10
        assert train.clean_labels is None


def test_the_binary_version_of_cifar100_has_two_label_bytes(tmp_path):
    images = write_binary(tmp_path / "cifar-100-binary" / "train.bin", FINE, coarse=True)
    write_binary(tmp_path / "cifar-100-binary" / "test.bin", FINE[:7], coarse=True)
    opened = CIFAR(100).open(tmp_path)
    assert opened.parts["train"].labels.tolist() == FINE
    assert (opened.parts["train"].images.numpy() == images).all()
    assert len(opened.parts["test"]) == 7
    assert opened.class_names == CIFAR100_CLASSES


def test_a_binary_file_that_is_cut_short_or_lost_is_named(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    write_cifar10_binary(folder)
    content = (folder / "data_batch_2.bin").read_bytes()
    (folder / "data_batch_2.bin").write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"data_batch_2\.bin has 30,729 bytes: expected a multiple of 3073; it is cut"):
        CIFAR(10).open(tmp_path)
    (folder / "data_batch_2.bin").unlink()
    with pytest.raises(DataError, match=r"has no data_batch_2\.bin: unpack the binary version"):
        CIFAR(10).open(tmp_path)
    (folder / "data_batch_2.bin").write_bytes(b"\x0a" + content[1:])
    with pytest.raises(DataError, match=r"the labels .* are not CIFAR-10's: found 10; expected 0 to 9"):
        CIFAR(10).open(tmp_path)


def test_folders_of_images_by_class(tmp_path):
    for part, labels in (("train", [3, 0, 3, 9]), ("test", [1])):
        for row, (label, pixels) in enumerate(zip(labels, pixels_of(labels), strict=True)):
            folder = tmp_path / part / CIFAR10_CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{row:04}.png")
    opened = CIFAR(10).open(tmp_path)
    assert opened.parts["train"].labels.tolist() == [0, 3, 3, 9]  # in the order of the names
    expected = pixels_of([3, 0, 3, 9])[[1, 0, 2, 3]].transpose(0, 3, 1, 2)
    assert (opened.parts["train"].images.numpy() == expected).all()
    assert any("no original order" in remark for remark in opened.remarks)
    (tmp_path / "train" / "unicorn").mkdir()
    Image.fromarray(pixels_of([0])[0]).save(tmp_path / "train" / "unicorn" / "1.png")
    with pytest.raises(DataError, match="not CIFAR-10's: found 'unicorn'"):
        CIFAR(10).open(tmp_path)


def test_parquet_of_cifar100_has_fine_labels(tmp_path):
    images = [{"bytes": encoded(each), "path": None} for each in pixels_of(np.array(FINE) % 10)]
    for part, count in (("train", 40), ("test", 5)):
        columns = {"img": pa.array(images[:count], RECORD), "fine_label": FINE[:count], "coarse_label": [0] * count}
        pq.write_table(pa.table(columns), tmp_path / f"{part}-00000-of-00001.parquet")
    assert CIFAR(100).open(tmp_path).parts["train"].labels.tolist() == FINE
    with pytest.raises(DataError, match="has the columns img, fine_label, coarse_label: expected img and label"):
        CIFAR(10).open(tmp_path)


def test_human_labels_become_the_given_ones(tmp_path):
    human = [*labels_of(20)[:18], 5, 5]
    write_parquet(tmp_path / "cifar10", 20, 10)
    file = write_human(tmp_path / "cifar10n" / "CIFAR-10_human.pt", human, aggre_label=np.array(labels_of(20)))
    train = CIFAR(10, human="random_label1").open(tmp_path / "cifar10").parts["train"]
    assert train.labels.tolist() == human
    assert train.clean_labels.tolist() == labels_of(20)
    assert train.noise_rate == pytest.approx(np.mean(np.array(human) != labels_of(20)))
    elsewhere = tmp_path / "mine.pt"
    file.rename(elsewhere)
    assert CIFAR(10, human="aggre_label", labels=elsewhere).open(tmp_path / "cifar10").parts["train"].noise_rate == 0.0
    with pytest.raises(DataError, match=r"has no label set 'worse_label': it has aggre_label, clean_label"):
        CIFAR(10, human="worse_label", labels=elsewhere).open(tmp_path / "cifar10")
    with pytest.raises(ArgumentError, match="CIFAR-10N has no label set 'noisy_label': expected one of aggre_label"):
        CIFAR(10, human="noisy_label")
    with pytest.raises(ArgumentError, match="num_classes is 20: expected 10 or 100"):
        CIFAR(20)


def test_check_says_what_is_there(tmp_path):
    write_parquet(tmp_path, 20, 10)
    found = check(CIFAR(10), tmp_path)
    assert found.usable
    assert found.examples == {"train": 20, "test": 10}
    assert any("train: 20 examples, published were 50,000" in finding.text for finding in found.findings)
    missing = check(CIFAR(100), tmp_path)
    assert not missing.usable
    human = check(CIFAR(10, human="worse_label"), tmp_path)
    assert not human.usable
    assert "get it from github.com/UCSC-REAL/cifar-10-100n" in human.findings[-1].text


# Fetching


def test_download_leaves_the_archive_and_nothing_else(tmp_path, monkeypatch):
    source = write_archive(tmp_path / "server", monkeypatch)

    def fetch(self, root, train=True, download=False, **others):
        assert download
        source.rename(f"{root}/cifar-10-batches-py")

    monkeypatch.setattr("elr.datasets.sets.cifar.answers", lambda endpoint: True)
    with monkeypatch.context() as patch:
        patch.setattr(torchvision.datasets.CIFAR10, "__init__", fetch)
        assert CIFAR(10).download(tmp_path / "new") == tmp_path / "new"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cifar-10-batches-py"]
    assert len(CIFAR(10).open(tmp_path / "new").parts["train"]) == 50
    with pytest.raises(OutputError, match="is there already"):
        CIFAR(10).download(tmp_path / "new")


def test_a_failed_download_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, root, **others):
        with open(f"{root}/cifar-10-python.tar.gz", "w") as file:  # noqa: PTH123
            file.write("half")
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "__init__", fail)
    monkeypatch.setattr("elr.datasets.sets.cifar.answers", lambda endpoint: True)
    with pytest.raises(DataError, match=r"was not fetched .*corrupted.*: try again later"):
        CIFAR(10).download(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []
    monkeypatch.setattr("elr.datasets.sets.cifar.answers", lambda endpoint: False)
    with pytest.raises(DataError, match="does not answer: there is no network"):
        CIFAR(10).download(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_images_keep_their_own_size(tmp_path):
    """Slices made small for trials are read as they are."""
    write_parquet(tmp_path, 20, 10, side=16)
    assert CIFAR(10).open(tmp_path).parts["train"].images.shape == (20, 3, 16, 16)
    assert CIFAR(10).open(tmp_path).parts["train"].images.dtype == torch.uint8
