"""What every published data set gives, and what `check` says of one, shown on a data set made up for it."""

import io
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.decoding import Geometry
from elr.data.image_store import FileImages
from elr.datasets.base import (
    OK,
    PROBLEM,
    WARNING,
    About,
    Check,
    File,
    Finding,
    Loader,
    Part,
    PublishedSet,
    check,
    content,
    locate,
    located,
)
from elr.errors import ArgumentError, DataError


def about(*files, **changes):
    facts = {
        "name": "made",
        "title": "Made Up",
        "examples": {"train": 4},
        "num_classes": 2,
        "noise": "none",
        "licence": "free",
        "citation": "nobody",
        "source": "https://example.org",
        "files": files,
    }
    return About(**(facts | changes))


def file(role, *places, needed=True):
    return File(role=role, places=places, what=f"the {role}", source="the shop", needed=needed)


LIST, IMAGES, EXTRA = (
    file("list", "list.txt", "lists/*.txt"),
    file("images", "images/"),
    file("extra", "x", needed=False),
)


class Made(Loader):
    """Two classes; a line of list.txt for each image: its name."""

    def __init__(self, **changes):
        self.changes = changes
        self.about = about(LIST, IMAGES, EXTRA, **changes.pop("about", {}))

    def open(self, root):
        found = located(self.about, root)
        names = content(found["list"]).decode().split()
        images = FileImages(found["images"], names, Geometry(resize=4, crop=4))
        given = {"labels": np.zeros(len(names), dtype=np.int64), "images": images} | self.changes.get("train", {})
        parts = {"train": Part(**given)} | self.changes.get("parts", {})
        return PublishedSet(
            about=self.about,
            class_names=self.changes.get("class_names", ("cat", "dog")),
            parts=parts,
            remarks=self.changes.get("remarks", []),
        )


def encoded():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def make(root, count=4):
    (root / "images").mkdir(parents=True)
    names = [f"{row}.png" for row in range(count)]
    (root / "list.txt").write_text("\n".join(names))
    (root / "x").touch()
    for name in names:
        (root / "images" / name).write_bytes(encoded())
    return root


def texts(report, level):
    return [finding.text for finding in report.findings if finding.level == level]


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


def test_content(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\x00")
    assert content(tmp_path / "a") == b"\xff\x00"
    with pytest.raises(
        DataError, match=r".* cannot be read \(Is a directory\): expected a file that may be read; get it"
    ):
        content(tmp_path)
    with pytest.raises(DataError, match=r"/b cannot be read \(No such file or directory\)"):
        content(tmp_path / "b")


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


# Checked


def test_a_whole_set_is_usable(tmp_path):
    report = check(Made(), make(tmp_path))
    assert report == Check(
        name="made",
        path=str(tmp_path),
        findings=(
            Finding(level=OK, text=f"the list: {tmp_path}/list.txt"),
            Finding(level=OK, text=f"the images: {tmp_path}/images"),
            Finding(level=OK, text=f"the extra: {tmp_path}/x"),
            Finding(level=OK, text="train: 4 examples, as published"),
            Finding(level=OK, text="train: 4 images opened, spread over all of them"),
        ),
        examples={"train": 4},
    )
    assert report.usable
    plain = report.to_json()
    assert json.loads(json.dumps(plain))["findings"][3] == {"level": "ok", "text": "train: 4 examples, as published"}
    assert (plain["usable"], plain["examples"]) == (True, {"train": 4})
    assert check(Made(), str(tmp_path)) == report


@pytest.mark.parametrize("name", ["gone", "list.txt", "caf\udce9"])
def test_a_folder_that_cannot_be_used(tmp_path, name):
    report = check(Made(), make(tmp_path) / name)
    assert not report.usable
    assert len(report.findings) == 1
    assert report.findings[0].text.startswith("no such folder: ")
    assert report.examples == {}
    report.path.encode()


def test_missing_files_are_named(tmp_path):
    make(tmp_path)
    (tmp_path / "list.txt").unlink()
    (tmp_path / "x").unlink()
    report = check(Made(), tmp_path)
    assert texts(report, PROBLEM) == ["missing: the list; expected list.txt or lists/*.txt; get it from the shop"]
    assert texts(report, WARNING) == ["missing: the extra; expected x; get it from the shop"]
    assert texts(report, OK) == [f"the images: {tmp_path}/images"]
    assert not report.usable


def test_a_file_that_is_not_needed_leaves_the_set_usable(tmp_path):
    (make(tmp_path) / "x").unlink()
    report = check(Made(), tmp_path)
    assert report.usable
    assert len(texts(report, WARNING)) == 1


def test_of_many_places_some_are_named(tmp_path):
    loader = Made()
    loader.about = about(file("list", *"abcdef"))
    assert texts(check(loader, tmp_path), PROBLEM) == [
        "missing: the list; expected a or b or c or d (or 2 other places); get it from the shop"
    ]


def test_what_opening_says_is_a_problem(tmp_path):
    (make(tmp_path) / "list.txt").write_text("../secret.png")
    report = check(Made(), tmp_path)
    assert len(texts(report, PROBLEM)) == 1
    assert "leads out of" in texts(report, PROBLEM)[0]
    assert len(texts(report, OK)) == 3


def test_other_numbers_than_published(tmp_path):
    report = check(Made(about={"examples": {"train": 5000, "test": 1000}, "num_classes": 3}), make(tmp_path))
    assert texts(report, WARNING) == [
        "2 classes, published were 3",
        "train: 4 examples, published were 5,000",
        "test: there is no such part, published were 1,000 examples",
    ]
    assert report.usable


def test_a_part_of_unknown_size(tmp_path):
    report = check(Made(about={"examples": {}}), make(tmp_path))
    assert "train: 4 examples" in texts(report, OK)
    assert texts(report, WARNING) == []


def test_a_part_without_examples(tmp_path):
    nothing = np.zeros(0, dtype=np.int64)
    report = check(Made(parts={"test": Part(labels=nothing, clean_labels=nothing)}), make(tmp_path))
    assert texts(report, PROBLEM) == ["test: no examples; get the data again from https://example.org"]


def test_labels_that_are_no_class(tmp_path):
    part = Part(labels=np.array([0, 1, 2, -1]), clean_labels=np.array([0, 0, 0, 9]))
    report = check(Made(parts={"train": part}), make(tmp_path))
    assert texts(report, PROBLEM) == [
        "train: 2 given labels are no class: expected 0 to 1; do not use them",
        "train: 1 clean labels are no class: expected 0 to 1; do not use them",
    ]


def test_noise_and_judgments_are_shown(tmp_path):
    given = {"clean_labels": np.array([0, 0, 0, 1]), "verified": np.array([1, 0, -1, 1], dtype=np.int8)}
    report = check(Made(train=given), make(tmp_path))
    assert "train: 25.0% of the given labels are not the clean ones" in texts(report, OK)
    assert "train: 3 given labels were looked at, 2 are right, 1 are wrong" in texts(report, OK)


def test_remarks_become_warnings(tmp_path):
    report = check(Made(remarks=["one", "two"]), make(tmp_path))
    assert texts(report, WARNING) == ["one", "two"]
    assert report.usable


def test_missing_images_are_counted_and_five_named(tmp_path):
    make(tmp_path, count=10)
    for row in range(1, 8):
        (tmp_path / "images" / f"{row}.png").unlink()
    folder = os.path.realpath(tmp_path / "images")
    named = ", ".join(f"{folder}/{row}.png" for row in range(1, 6))
    assert texts(check(Made(about={"examples": {"train": 10}}), tmp_path), PROBLEM) == [
        f"train: 7 of 10 images are missing, such as {named}; get them from https://example.org"
    ]


def test_an_unreadable_sample_is_named(tmp_path):
    (make(tmp_path) / "images" / "2.png").write_bytes(b"no image")
    folder = os.path.realpath(tmp_path / "images")
    report = check(Made(), tmp_path)
    assert texts(report, PROBLEM) == [
        f"train: 1 of 4 sampled images: image {folder}/2.png cannot be read (it is empty or no image): get it again"
    ]
    assert not report.usable


def test_the_sample_is_spread(tmp_path):
    make(tmp_path, count=9)
    for row in (1, 3, 5, 7):
        (tmp_path / "images" / f"{row}.png").write_bytes(b"no image")
    loader = Made(about={"examples": {"train": 9}})
    assert "train: 5 images opened, spread over all of them" in texts(check(loader, tmp_path, sample=5), OK)
    assert texts(check(loader, tmp_path), PROBLEM)[0].startswith("train: 4 of 9 sampled images: image ")
    with pytest.raises(ArgumentError, match="sample is 0: expected at least 1 image"):
        check(loader, tmp_path, sample=0)


def test_images_in_memory_and_texts_are_not_opened(tmp_path):
    parts = {
        "train": Part(labels=np.zeros(4, dtype=np.int64), images=torch.zeros((4, 3, 4, 4), dtype=torch.uint8)),
        "test": Part(labels=np.zeros(1, dtype=np.int64), texts=["a"]),
    }
    report = check(Made(parts=parts), make(tmp_path))
    assert texts(report, OK)[3:] == ["train: 4 examples, as published", "test: 1 examples"]
    assert report.examples == {"train": 4, "test": 1}
