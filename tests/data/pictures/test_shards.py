"""Tars whose members do not make examples: each fault is named with shard and example."""

import os

import pytest
import torch

from elr.data.pictures.shards import open_tars
from elr.errors import DataError
from tiny_tars import write_tar

PAIR = [("7.png", b"pixels"), ("7.cls", b"cat")]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([*PAIR, *PAIR], r"0.tar, example '7' has several members .png"),
        ([*PAIR, ("8.png", b"x"), ("8.cls", b"a"), *PAIR], r"0.tar, example '7' stands there twice, apart"),
        ([("7.png", b""), ("7.cls", b"cat")], r"0.tar, example '7' has an empty image"),
        ([("7.png", b"pixels")], r"0.tar, example '7' has no label"),
        ([("7.png", b"pixels"), ("7.json", b"{}")], r"0.tar, example '7' has no label 'label' in its .json"),
        ([("7.cls", b"cat")], r"0.tar, example '7' has 0 images"),
        ([("7.txt.gz", b"cat")], r"0.tar, example '7' has 0 images"),
    ],
)
def test_faults_are_named(members, said, tmp_path):
    with pytest.raises(DataError, match=said):
        open_tars([write_tar(tmp_path / "0.tar", members)])


@pytest.mark.parametrize(
    ("name", "found"),
    [(None, "cat"), ("cls", "cat"), ("label", "from json"), ("other", "b")],
)
def test_a_key_that_is_named_goes_before_the_label_of_its_own(name, found, tmp_path):
    about = b'{"label": "from json", "other": "b"}'
    shard = write_tar(tmp_path / "0.tar", [*PAIR, ("7.json", about)])
    assert open_tars([shard], name)[1] == [found]
    with pytest.raises(DataError, match=r"no label 'nix' in its \.json"):
        open_tars([shard], "nix")
    with pytest.raises(
        DataError, match=r"expected .* as 'nix' in a \.json; without --label that of the \.cls is taken"
    ):
        open_tars([write_tar(tmp_path / "1.tar", PAIR)], "nix")


def test_names_that_climb_out_are_names_only(tmp_path):
    shard = write_tar(tmp_path / "in" / "0.tar", [("../../7.png", b"pixels"), ("../../7.cls", b"cat")])
    images, labels, _ = open_tars([shard])
    assert images.encoded(0) == b"pixels"
    assert labels == ["cat"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_labels_may_be_missing_where_nothing_is_trained(tmp_path):
    shard = write_tar(tmp_path / "0.tar", [*PAIR, ("8.png", b"x")])
    images, labels, _ = open_tars([shard], labeled=False)
    assert (len(images), labels) == (2, None)


def test_a_tar_that_is_cut_short_while_it_is_read(tmp_path):
    shard = write_tar(tmp_path / "0.tar", PAIR)
    images, _, _ = open_tars([shard])
    os.truncate(shard, 514)
    with pytest.raises(DataError, match="it is shorter than it was when it was opened"):
        images.fetch(torch.tensor([0]))
