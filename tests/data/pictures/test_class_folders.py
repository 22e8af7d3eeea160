"""Folders that are no classes, told by how they lie."""

from pathlib import Path, PurePath

import pytest

from elr.data.pictures.class_folders import not_classes

ROOT = Path("data")


def reason(*folders, each=4):
    return not_classes(ROOT, [PurePath(folder, f"{number}.png") for folder in folders for number in range(each)])


@pytest.mark.parametrize(
    ("folders", "command"),
    [
        (
            ("training_set/cats", "training_set/dogs", "test_set/cats", "test_set/dogs"),
            "elr fit data/training_set --test data/test_set",
        ),
        (
            ("s_train/s_train/a", "s_train/s_train/b", "s_test/s_test/a", "s_test/s_test/b", "s_pred/s_pred"),
            "elr fit data/s_train/s_train --test data/s_test/s_test",
        ),
        (("train/a", "train/b", "unlabeled/x"), "elr fit data/train"),
        (("train/a", "train/b", "val/a", "val/b", "test/a"), "elr fit data/train --test data/test"),
        (("flowers/rose", "flowers/tulip"), "elr fit data/flowers"),
        (("a/a/rose", "a/a/tulip"), "elr fit data/a/a"),
        (("z/train/a", "z/train/b", "z/test/a", "z/test/b"), "elr fit data/z/train --test data/z/test"),
        (("one/a", "one/b", "one/c", "two/A", "two/B"), "elr fit data/one --test data/two"),
        (("original/a", "original/b", "augmented/a", "augmented/b"), "elr fit data/original --test data/augmented"),
        (("cats", "dogs", "copy/cats", "copy/dogs"), "move it out of data, then: elr fit data"),
        (("images/a", "images/b", "masks/a", "masks/b"), "elr fit data/images"),
        (("images", "masks"), "a folder for each class"),
        (("Train", "val"), "elr fit data/Train --test data/val"),
        (("cats/summer", "cats/winter", "dogs/winter", "dogs/indoor"), "elr fit data/cats --test data/dogs"),
    ],
)
def test_splits_archives_and_copies_are_told_and_what_to_give_is_said(folders, command):
    found = reason(*folders)
    assert found is not None
    assert found.endswith(command)


@pytest.mark.parametrize(
    "folders",
    [
        ("cats", "dogs"),
        ("cats",),
        ("train", "plane", "car"),
        ("cats/summer", "cats/winter", "dogs"),
        ("cats/persian", "cats/siamese", "dogs/boxer", "dogs/beagle"),
        ("n01/images", "n02/images", "n03/images"),
        ("contest", "attestation"),
    ],
)
def test_folders_that_may_be_classes_are_left_alone(folders):
    assert reason(*folders) is None


def test_a_few_images_that_lie_between_the_folders_do_not_hide_splits():
    paths = [PurePath(split, kind, f"{n}.png") for split in ("p", "q") for kind in "ab" for n in range(5)]
    assert not_classes(ROOT, [*paths, PurePath("p", "stray.png")]) is not None


def test_folders_whose_names_say_nothing_may_be_splits_or_classes():
    years = [f"{tree}/{year}" for tree in ("oak", "elm") for year in (2023, 2024)]
    assert "('2023', '2024'): if they are splits or copies, not classes, give one of them: elr fit data/" in reason(
        *years
    )
    splits = [f"{split}/{kind}" for split in ("oak", "elm_test") for kind in ("cat", "dog")]
    assert "('cat', 'dog'): they are splits or copies, not classes; give one of them: elr fit data/oak" in reason(
        *splits
    )
