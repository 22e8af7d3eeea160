"""All published data sets by name, shards of them included."""

import io
import tarfile

import pytest
import torch

from elr.datasets.catalog import LOADERS, loader_for, make_loader
from elr.datasets.checking import check
from elr.datasets.sets.clothing1m import Clothing1M
from elr.errors import ArgumentError, DataError
from elr.runs.recipes import RECIPES
from tiny_clothing import write_clothing


@pytest.mark.parametrize("names", [True, False])
def test_a_set_packed_into_shards_is_opened_as_well(tmp_path, names):
    """Rows keep the order of the lists; half a dozen lines of the user's own make such shards."""
    write_clothing(tmp_path / "files")
    opened = make_loader("clothing1m").open(tmp_path / "files")
    packed = tmp_path / "packed"
    packed.mkdir()
    for part, pattern in (("train", "train"), ("test", "test")):
        images, labels = opened.parts[part].images, opened.parts[part].labels.tolist()
        with tarfile.open(packed / f"{pattern}-0.tar", "w") as tar:
            for row, label in enumerate(labels):
                for suffix, content in (("jpg", images.encoded(row)), ("cls", str(label).encode())):
                    member = tarfile.TarInfo(f"{row:06}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    if names:
        (packed / "classes.txt").write_text("".join(f"{name}\n" for name in opened.class_names))
    loader = loader_for("clothing1m", packed)
    found = check(loader, packed)
    assert found.usable, found.findings
    assert any("shards of the train images" in finding.text for finding in found.findings)
    again = loader.open(packed)
    assert again.class_names == (opened.class_names if names else tuple(map(str, range(14))))
    assert again.parts["train"].labels.tolist() == opened.parts["train"].labels.tolist()
    assert torch.equal(again.parts["test"].images[3], opened.parts["test"].images[3])
    (tmp_path / "files" / "train-0.tar").symlink_to(packed / "train-0.tar")  # an archive beside its unpacked files
    assert isinstance(loader_for("clothing1m", tmp_path / "files"), Clothing1M)
    (packed / "classes.txt").write_text("one\ntwo\n" * 20)
    with pytest.raises(DataError, match="have 40 classes, Clothing1M has 14"):
        loader.open(packed)


@pytest.mark.parametrize("name", ["cifar10", "allenoise", "noisyner-3"])
def test_sets_that_are_no_image_files_are_not_looked_for_in_shards(name, tmp_path):
    (tmp_path / "train-0.tar").touch()
    assert type(loader_for(name, tmp_path)) is type(make_loader(name))


def test_near_names_are_proposed():
    with pytest.raises(ArgumentError, match="no data set 'mini-webvison': did you mean mini-webvision"):
        make_loader("mini-webvison")


def test_every_recipe_is_of_a_set_in_the_catalog():
    assert {recipe.data for recipe in RECIPES.values()} <= set(LOADERS)
