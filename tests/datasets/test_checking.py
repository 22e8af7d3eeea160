"""What `check` says of a published data set, shown on one made up for it."""

import json
import os

import numpy as np
import pytest
import torch

from elr.datasets.base import Part
from elr.datasets.checking import OK, PROBLEM, WARNING, Finding, SetCheck, check
from elr.errors import ArgumentError
from made_set import Made, about, file, make


def texts(report, level):
    return [finding.text for finding in report.findings if finding.level == level]


def test_a_whole_set_is_usable(tmp_path):
    report = check(Made(), make(tmp_path))
    assert report == SetCheck(
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
