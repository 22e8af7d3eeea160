"""Clothing1M on a made tree of the published layout."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from elr.datasets.base import Part
from elr.datasets.checking import check
from elr.datasets.sets.clothing1m import Clothing1M, measured_noise
from elr.errors import DataError
from tiny_clothing import SHADES, write_clothing


def rewrite(file, change):
    lines = file.read_text().splitlines()
    file.write_text("".join(f"{line}\n" for line in change(lines)))


@pytest.mark.parametrize("lists", [".", "annotations", "images", "images/annotations", "..", "../annotations"])
def test_the_lists_lie_beside_above_or_below_the_images(tmp_path, lists):
    root = tmp_path / "clothing"
    content = write_clothing(root, lists=lists)
    for place in (root, root / "images"):
        opened = Clothing1M().open(place)
        assert {name: len(part) for name, part in opened.parts.items()} == {
            "train": 56,
            "clean_train": 14,
            "validation": 14,
            "test": 14,
            "both": 7,
        }
    train = opened.parts["train"]
    expected = [(row % 14 + 1) % 14 if row % 4 == 0 else row % 14 for row in range(56)]
    assert train.labels.tolist() == expected
    assert train.clean_labels is None
    assert [train.images.name(row).rpartition("images/")[2] for row in range(56)] == [
        key.removeprefix("images/") for key in content["noisy_train_key_list.txt"]
    ]
    assert opened.class_names == tuple(f"class {number}" for number in range(14))
    assert check(Clothing1M(), root).usable


def test_images_are_those_of_their_labels(tmp_path):
    write_clothing(tmp_path)
    test = Clothing1M().open(tmp_path).parts["test"]
    images = test.images.fetch(torch.arange(len(test))).float().mean(dim=(2, 3)).numpy()
    assert np.abs(images - SHADES[test.labels]).max() < 8


def test_images_with_both_labels_are_a_measured_sample_of_the_noise(tmp_path):
    write_clothing(tmp_path, clean=28)
    opened = Clothing1M().open(tmp_path)
    both = opened.parts["both"]
    assert len(both) == 14
    assert both.noise_rate == pytest.approx(0.5)
    assert (both.labels != both.clean_labels).tolist() == [False, True] * 7
    with pytest.raises(DataError, match="class 1 has no clean label"):
        measured_noise(both, 14)
    with pytest.raises(DataError, match="no clean labels: expected a part that has both"):
        measured_noise(opened.parts["train"], 14)
    three = Part(labels=np.array([0, 1, 1, 2]), clean_labels=np.array([0, 0, 1, 2]))
    assert measured_noise(three, 3).tolist() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def test_without_lists_of_people_there_is_no_test_part_and_it_is_said(tmp_path):
    write_clothing(tmp_path)
    (tmp_path / "clean_label_kv.txt").unlink()
    (tmp_path / "category_names_eng.txt").unlink()
    opened = Clothing1M().open(tmp_path)
    assert list(opened.parts) == ["train"]
    assert any("no validation and test images" in remark for remark in opened.remarks)
    assert opened.class_names[:2] == ("T-Shirt", "Shirt")
    assert len(opened.class_names) == 14
    found = check(Clothing1M(), tmp_path)
    assert found.usable
    missing = [finding.text for finding in found.findings if finding.text.startswith("missing")]
    assert len(missing) == 2
    assert all("github.com/Cysu/noisy_label" in text for text in missing)


@pytest.mark.parametrize("name", ["noisy_train_key_list.txt", "noisy_label_kv.txt"])
def test_a_list_that_is_needed_is_missing(tmp_path, name):
    write_clothing(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=rf"is not all of Clothing1M: missing {name}.*get it from its authors"):
        Clothing1M().open(tmp_path)
    found = check(Clothing1M(), tmp_path)
    assert not found.usable
    assert [finding.level for finding in found.findings].count("problem") == 1


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("noisy_train_key_list.txt", lambda lines: [], "is empty: expected lines such as the name"),
        ("noisy_train_key_list.txt", lambda lines: [*lines, lines[3]], "names 1 files more than once, such as"),
        ("noisy_label_kv.txt", lambda lines: lines[1:], "1 of 56 images in .* have no label in .*cut short"),
        (
            "noisy_label_kv.txt",
            lambda lines: [*lines[:-1], lines[-1][:-2]],
            r"line 63 of .*: expected NAME LABEL",
        ),
        (
            "noisy_label_kv.txt",
            lambda lines: [*lines, "images/0/x.jpg 14"],
            "has the label 14: expected 0 to 13",
        ),
        ("noisy_label_kv.txt", lambda lines: [*lines, "images/0/x.jpg -1"], "has the label -1: expected 0 to 13"),
        ("noisy_label_kv.txt", lambda lines: [*lines, "images/0/x.jpg cat"], r"line 64 of .* is 'images/0/x.jpg cat'"),
        ("noisy_label_kv.txt", lambda lines: [*lines, "images/0/x.jpg "], "expected NAME LABEL"),
        ("noisy_train_key_list.txt", lambda lines: [line + "x" for line in lines], "56 of 56 images .* have no label"),
        ("category_names_eng.txt", lambda lines: lines[:13], "has 13 lines: expected 14"),
        ("clean_test_key_list.txt", lambda lines: [*lines, "images/0/none.jpg"], "1 of 15 images"),
    ],
)
def test_damaged_lists_are_named(tmp_path, name, change, message):
    write_clothing(tmp_path)
    rewrite(tmp_path / name, change)
    with pytest.raises(DataError, match=message) as caught:
        Clothing1M().open(tmp_path)
    assert name in str(caught.value)


@pytest.mark.parametrize("astray", ["../secret.jpg", "images/../../secret.jpg", "/etc/secret.jpg"])
def test_names_that_leave_the_folder_are_refused(tmp_path, astray):
    write_clothing(tmp_path)
    rewrite(tmp_path / "noisy_train_key_list.txt", lambda lines: [*lines, astray])
    rewrite(tmp_path / "noisy_label_kv.txt", lambda lines: [*lines, f"{astray} 3"])
    with pytest.raises(DataError, match=r"secret\.jpg' leads out of"):
        Clothing1M().open(tmp_path)


def test_a_link_out_of_the_tree_is_refused_when_it_is_read(tmp_path):
    root = tmp_path / "clothing"
    content = write_clothing(root)
    first = root / content["noisy_train_key_list.txt"][0]
    first.rename(tmp_path / "outside.jpg")
    first.symlink_to(tmp_path / "outside.jpg")
    train = Clothing1M().open(root).parts["train"]
    with pytest.raises(DataError, match="leads out of"):
        train.images[0]
    assert train.images[1].shape == (3, 224, 224)
    found = check(Clothing1M(), root)
    assert not found.usable


def test_the_folder_of_images_may_itself_be_a_link(tmp_path):
    root = tmp_path / "clothing"
    write_clothing(root)
    (root / "images").rename(tmp_path / "other disk")
    (root / "images").symlink_to(tmp_path / "other disk")
    assert Clothing1M().open(root).parts["train"].images[0].shape == (3, 224, 224)


def test_names_need_not_be_utf8(tmp_path):
    content = write_clothing(tmp_path)
    key = content["noisy_train_key_list.txt"][5]
    renamed = os.fsencode(key).replace(b",", b"\xe9")
    os.rename(tmp_path / key, os.path.join(os.fsencode(tmp_path), renamed))  # noqa: PTH104, PTH118
    for name in ("noisy_train_key_list.txt", "noisy_label_kv.txt"):
        file = tmp_path / name
        file.write_bytes(file.read_bytes().replace(os.fsencode(key), renamed))
    train = Clothing1M().open(tmp_path).parts["train"]
    assert train.images[5].shape == (3, 224, 224)
    assert "\\xe9" in train.images.name(5)


def test_lost_images_are_counted_and_named(tmp_path):
    content = write_clothing(tmp_path)
    for key in content["noisy_train_key_list.txt"][:3]:
        (tmp_path / key).unlink()
    found = check(Clothing1M(), tmp_path)
    assert not found.usable
    [problem] = [finding.text for finding in found.findings if finding.level == "problem"]
    assert "train: 3 of 56 images are missing, such as" in problem
    assert content["noisy_train_key_list.txt"][0] in problem


def test_the_numbered_folders_alone(tmp_path):
    """As some have unpacked it: 0 to 9 without images/ above them."""
    write_clothing(tmp_path, images=".")
    train = Clothing1M().open(tmp_path).parts["train"]
    assert train.images[0].shape == (3, 224, 224)
    assert Path(train.images.name(0)).parent.parent.parent == tmp_path.resolve()
