"""ANIMAL-10N on small trees of both published forms: image files named by label, and binary records."""

import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.pictures.decoding import Geometry
from elr.datasets.checking import OK, PROBLEM, WARNING, check
from elr.datasets.sets.animal10n import Animal10N
from elr.errors import DataError

SMALL = Geometry(resize=8, crop=8)
TRAINING = {"0_img_10.jpg": 10, "0_img_9.jpg": 20, "9_img_1.JPG": 30, "3_img_1.jpeg": 40}
TESTING = {"5_img_7.jpg": 50, "2_img_7.jpg": 60}


def image(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def raw(root, *, training=TRAINING, testing=TESTING):
    for folder, images in (("training", training), ("testing", testing)):
        (root / folder).mkdir(parents=True)
        for name, shade in images.items():
            (root / folder / name).write_bytes(image(shade))
    return root


def records(labels, *, order=">", start=0):
    found = np.zeros(
        len(labels), np.dtype([("id", f"{order}u4"), ("label", f"{order}u4"), ("pixels", "u1", (3, 64, 64))])
    )
    found["id"] = np.arange(len(labels))
    found["label"] = labels
    for row in range(len(labels)):
        for channel in range(3):
            found["pixels"][row, channel] = start + row + 100 * (channel == 1)
    found["pixels"][:, 0, 5, 7] = 255
    return found.tobytes()


def shades(part):
    return part.images[:][:, 0, 0, 0].tolist()


def test_labels_are_in_the_names_and_rows_in_their_order(tmp_path):
    opened = Animal10N(SMALL).open(raw(tmp_path))
    train, test = opened.parts["train"], opened.parts["test"]
    assert [train.images.name(row).rpartition("/")[2] for row in range(4)] == sorted(TRAINING)
    assert train.labels.tolist() == [0, 0, 3, 9]
    assert train.labels.dtype == np.int64
    assert shades(train) == [10, 20, 40, 30]
    assert test.labels.tolist() == [2, 5]
    assert shades(test) == [60, 50]
    assert train.clean_labels is None
    assert opened.remarks == []
    assert opened.class_names == (
        "cat",
        "lynx",
        "wolf",
        "coyote",
        "cheetah",
        "jaguar",
        "chimpanzee",
        "orangutan",
        "hamster",
        "guinea pig",
    )
    assert Animal10N().open(tmp_path).parts["train"].images.shape == (4, 3, 64, 64)


@pytest.mark.parametrize("folder", ["raw_image", "raw_image_ver", "raw_image_ver/raw_image", "ANIMAL-10N"])
def test_folders_of_the_archives(tmp_path, folder):
    raw(tmp_path / folder)
    opened = Animal10N(SMALL).open(tmp_path)
    assert opened.parts["train"].labels.tolist() == [0, 0, 3, 9]
    assert shades(opened.parts["test"]) == [60, 50]


def test_what_else_lies_there_is_left_out_with_a_remark(tmp_path):
    root = raw(tmp_path)
    for name in (".DS_Store", "._0_img_9.jpg", "readme.txt"):
        (root / "training" / name).write_bytes(b"")
    opened = Animal10N(SMALL).open(root)
    assert len(opened.parts["train"]) == 4
    assert opened.remarks == [
        f"3 files in {root}/training left out that are no images named by their label, such as .DS_Store"
    ]


@pytest.mark.parametrize(
    "name", ["cat_1.jpg", "10_img_1.jpg", "img.jpg", "-1_img_1.jpg", "_img_1.jpg", "99999999999_a.jpg"]
)
def test_images_that_do_not_say_their_label(tmp_path, name):
    root = raw(tmp_path, training={**TRAINING, name: 1})
    with pytest.raises(
        DataError, match=rf"image {name} in .*training does not say its label: expected names such as 0_12"
    ):
        Animal10N().open(root)


def test_names_need_not_be_utf8(tmp_path):
    root = raw(tmp_path)
    try:
        with open(os.fsencode(root) + b"/training/4_caf\xe9.jpg", "wb") as file:  # noqa: PTH123
            file.write(image(70))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    train = Animal10N(SMALL).open(root).parts["train"]
    assert train.labels.tolist() == [0, 0, 3, 4, 9]
    assert shades(train) == [10, 20, 40, 70, 30]
    assert train.images.name(3).endswith("training/4_caf\\xe9.jpg")


def test_an_empty_folder_and_one_that_is_missing(tmp_path):
    root = raw(tmp_path / "root", training={})
    with pytest.raises(DataError, match=r"no images in .*training: expected files such as 0_123\.jpg"):
        Animal10N().open(root)
    with pytest.raises(DataError, match=r"is not all of ANIMAL-10N: missing training \(the training images: a folder"):
        Animal10N().open(root / "training")
    with pytest.raises(DataError, match=r"no such folder: .*gone"):
        Animal10N().open(tmp_path / "gone")


def test_links_out_of_the_folder_are_refused_but_the_folder_may_be_one(tmp_path):
    disk = raw(tmp_path / "disk")
    root = tmp_path / "root"
    root.mkdir()
    for folder in ("training", "testing"):
        (root / folder).symlink_to(disk / folder)
    (tmp_path / "secret.jpg").write_bytes(image(200))
    (disk / "training/1_img_0.jpg").symlink_to(tmp_path / "secret.jpg")
    train = Animal10N(SMALL).open(root).parts["train"]
    assert train.labels.tolist() == [0, 0, 1, 3, 9]
    assert train.images[4].unique().tolist() == [30]
    with pytest.raises(DataError, match=r"training/1_img_0\.jpg leads out of .*training: expected files below"):
        train.images[2]


def test_binary_records_are_planes_of_color(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(records([7, 0, 9]))
    (tmp_path / "test_batch.bin").write_bytes(records([1], start=50))
    opened = Animal10N().open(tmp_path)
    train = opened.parts["train"]
    assert train.labels.tolist() == [7, 0, 9]
    assert isinstance(train.images, torch.Tensor)
    assert train.images.dtype == torch.uint8
    assert train.images.shape == (3, 3, 64, 64)
    assert train.images[:, :, 0, 0].tolist() == [[0, 100, 0], [1, 101, 1], [2, 102, 2]]
    assert train.images[1, :, 5, 7].tolist() == [255, 101, 1]
    assert train.images[1, 0, 7, 5] == 1
    assert opened.parts["test"].labels.tolist() == [1]
    assert opened.parts["test"].images[0, 0, 0, 0] == 50
    train.images[torch.tensor([2, 0])].zero_()
    assert opened.remarks == []


def test_several_binary_files_are_one_after_the_other(tmp_path):
    (tmp_path / "binary").mkdir()
    for number, labels in ((1, [1, 2]), (2, [3]), (10, [9])):
        (tmp_path / f"binary/data_batch_{number}.bin").write_bytes(records(labels, start=10 * number))
    opened = Animal10N().open(tmp_path)
    assert opened.parts["train"].labels.tolist() == [1, 2, 3]
    assert opened.parts["train"].images[:, 0, 0, 0].tolist() == [10, 11, 20]
    assert opened.remarks[0].startswith("no test part: there is no folder testing and no test_batch.bin")


def test_the_other_byte_order_shows_itself(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(records([7, 0, 9], order="<"))
    assert Animal10N().open(tmp_path).parts["train"].labels.tolist() == [7, 0, 9]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (records([1, 2])[:-1], r"data_batch_1\.bin has 24,591 bytes: expected records of 12,296 bytes"),
        (b"", "has 0 bytes: expected records of 12,296 bytes"),
        (records([1, 10]), r"record 2 of .*data_batch_1\.bin has label 10: expected 0 to 9"),
        (records([1, 2, 10], order="<"), r"record 3 of .* has label 10: expected 0 to 9; get it again"),
    ],
)
def test_binary_files_that_are_wrong(tmp_path, content, message):
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Animal10N().open(tmp_path)


def test_check_counts_and_names_what_is_missing(tmp_path):
    root = raw(tmp_path)
    found = check(Animal10N(SMALL), root)
    assert found.usable
    assert found.examples == {"train": 4, "test": 2}
    assert [f.text for f in found.findings if f.level == WARNING] == [
        "train: 4 examples, published were 50,000",
        "test: 2 examples, published were 5,000",
    ]
    assert "train: 4 images opened, spread over all of them" in [f.text for f in found.findings if f.level == OK]
    (root / "training/0_img_9.jpg").write_bytes(b"no image")
    (root / "testing").rename(root / "other")
    found = check(Animal10N(SMALL), root)
    problems = [f.text for f in found.findings if f.level == PROBLEM]
    assert len(problems) == 1
    assert problems[0].startswith("train: 1 of 4 sampled images: image ")
    assert any(f.level == WARNING and f.text.startswith("missing: the test images") for f in found.findings)
    (root / "training").rename(root / "more")
    problems = [f.text for f in check(Animal10N(SMALL), root).findings if f.level == PROBLEM]
    assert len(problems) == 1
    assert problems[0].startswith(
        "missing: the training images: a folder training of files <label>_<id>.jpg, or data_batch_1.bin; expected "
        "training or raw_image/training or "
    )
