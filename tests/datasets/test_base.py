"""What every published data set gives, and how its files are found, shown on one made up for it."""

import numpy as np
import pytest
import torch

from elr.datasets.base import Part, locate, located
from elr.errors import DataError
from made_set import EXTRA, IMAGES, LIST, about, file, make

# What is there


def test_the_first_place_that_is_there_counts(tmp_path):
    facts = about(file("a", "a.txt", "sub/a*.txt"), file("b", "b"), file("c", "c", needed=False))
    (tmp_path / "sub").mkdir()
    for name in ("a2.txt", "a1.txt"):
        (tmp_path / "sub" / name).touch()
    found, missing = locate(facts, tmp_path)
    assert found == {"a": tmp_path / "sub" / "a1.txt"}
    assert [file.role for file in missing] == ["b", "c"]
    (tmp_path / "a.txt").touch()
    assert locate(facts, tmp_path)[0] == {"a": tmp_path / "a.txt"}


@pytest.mark.parametrize(
    ("place", "expected"),
    [("../lists/a.txt", "lists/a.txt"), ("../lists", "lists"), ("..", "."), ("../", "."), ("../../*/lists/", "lists")],
)
def test_places_beside_the_folder(tmp_path, place, expected):
    root = tmp_path / "set" / "images"
    root.mkdir(parents=True)
    (tmp_path / "set" / "lists").mkdir()
    (tmp_path / "set" / "lists" / "a.txt").touch()
    assert locate(about(file("a", place)), root)[0] == {"a": tmp_path / "set" / expected}


@pytest.mark.parametrize("place", [".", "./"])
def test_the_folder_itself(tmp_path, place):
    assert locate(about(file("a", place)), tmp_path)[0] == {"a": tmp_path}


def test_the_parent_of_a_link_is_that_of_the_folder_it_leads_to(tmp_path):
    (tmp_path / "disk" / "images").mkdir(parents=True)
    (tmp_path / "disk" / "list").touch()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "images")
    assert locate(about(file("a", "../list")), tmp_path / "link")[0] == {"a": tmp_path / "disk" / "list"}


def test_a_file_is_no_folder_and_a_dead_link_is_nothing(tmp_path):
    (tmp_path / "images").touch()
    (tmp_path / "dead").symlink_to(tmp_path / "gone")
    facts = about(file("a", "images/", "other/"), file("b", "dead", "de*"))
    assert [file.role for file in locate(facts, tmp_path)[1]] == ["a", "b"]
    (tmp_path / "other").mkdir()
    assert locate(facts, tmp_path)[0] == {"a": tmp_path / "other"}


def test_no_folder(tmp_path):
    (tmp_path / "archive.zip").touch()
    for name in ("gone", "archive.zip", "caf\udce9", "a\x00b"):
        with pytest.raises(
            DataError, match=r"no such folder: .*; expected the folder of Made Up \(https://example\.org\)"
        ):
            locate(about(), tmp_path / name)


def test_located_names_each_needed_file_that_is_missing(tmp_path):
    with pytest.raises(DataError) as caught:
        located(about(LIST, IMAGES, EXTRA), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} is not all of Made Up: missing list.txt (the list; get it from the shop); images/ (the images; "
        "get it from the shop)"
    )
    make(tmp_path)
    (tmp_path / "x").unlink()
    assert located(about(LIST, IMAGES, EXTRA), tmp_path) == {
        "list": tmp_path / "list.txt",
        "images": tmp_path / "images",
    }


# Parts


@pytest.mark.parametrize("name", ["images", "texts", "clean_labels", "verified"])
def test_lengths_of_a_part_agree(name):
    values = {
        "images": torch.zeros((2, 3, 4, 4), dtype=torch.uint8),
        "texts": ["a", "b"],
        "clean_labels": np.zeros(2, dtype=np.int64),
        "verified": np.zeros(2, dtype=np.int8),
    }[name]
    with pytest.raises(DataError, match=f"2 {name} for 3 labels: expected one each"):
        Part(labels=np.zeros(3, dtype=np.int64), **{name: values})
    assert len(Part(labels=np.zeros(2, dtype=np.int64), **{name: values})) == 2


def test_noise_rate():
    labels = np.array([0, 1, 1, 0])
    assert Part(labels=labels).noise_rate is None
    assert Part(labels=labels, clean_labels=np.array([0, 1, 1, 1])).noise_rate == 0.25
    assert Part(labels=labels[:0], clean_labels=labels[:0]).noise_rate is None
