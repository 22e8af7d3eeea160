"""WebVision and mini-WebVision on small trees of the published layout."""

import os

import numpy as np
import pytest

from elr.data.pictures.decoding import Geometry
from elr.datasets.checking import OK, PROBLEM, WARNING, check
from elr.datasets.readers.imagenet import CLASSES
from elr.datasets.sets.ilsvrc12 import ILSVRC12
from elr.datasets.sets.webvision import MiniWebVision, WebVision
from elr.errors import ArgumentError, DataError
from tiny_imagenet import SMALL, image, shades, synset_lines, webvision, write


def test_all_of_webvision_is_google_then_flickr_in_the_order_of_the_lists(tmp_path):
    opened = WebVision(geometry=SMALL).open(webvision(tmp_path))
    train, validation = opened.parts["train"], opened.parts["validation"]
    assert train.labels.tolist() == [0, 49, 50, 0, 999]
    assert train.labels.dtype == np.int64
    assert shades(train) == [0, 10, 20, 30, 40]
    assert validation.labels.tolist() == [0, 70]
    assert shades(validation) == [100, 110]
    assert train.clean_labels is None
    assert train.verified is None
    assert train.noise_rate is None
    assert opened.remarks == []
    assert len(opened.class_names) == len(set(opened.class_names)) == CLASSES
    assert opened.class_names[0] == "thing 0 (n01440764)"
    assert opened.class_names[999] == "thing 999 (n15075141)"
    assert train.images.name(3) == f"{tmp_path}/flickr/q0001/a.jpg"


def test_one_source_alone(tmp_path):
    root = webvision(tmp_path)
    opened = WebVision(sources=("flickr",), geometry=SMALL).open(root)
    assert opened.parts["train"].labels.tolist() == [0, 999]
    assert shades(opened.parts["train"]) == [30, 40]
    both = WebVision(sources=("flickr", "google"), geometry=SMALL).open(root)
    assert shades(both.parts["train"]) == [30, 40, 0, 10, 20]


@pytest.mark.parametrize("sources", [(), ("bing",), "google", ("google", "google")])
def test_other_sources_are_refused(sources):
    with pytest.raises(ArgumentError, match=r'sources is .*: expected some of "google" and "flickr"'):
        WebVision(sources=sources)


def test_mini_webvision_is_googles_first_50_classes(tmp_path):
    root = webvision(tmp_path)
    opened = MiniWebVision(SMALL).open(root)
    assert opened.parts["train"].labels.tolist() == [0, 49]
    assert shades(opened.parts["train"]) == [0, 10]
    assert opened.parts["validation"].labels.tolist() == [0]
    assert shades(opened.parts["validation"]) == [100]
    assert opened.class_names == WebVision().open(root).class_names[:50]
    for left in ("info/train_filelist_flickr.txt", "flickr/q0001/a.jpg"):
        (root / left).unlink()
    assert len(MiniWebVision(SMALL).open(root).parts["train"]) == 2
    assert MiniWebVision.about.examples == {"train": 65_944, "validation": 2_500}


def test_images_are_brought_to_227_of_256_unless_told(tmp_path):
    assert MiniWebVision().open(webvision(tmp_path)).parts["train"].images.shape == (2, 3, 227, 227)
    assert MiniWebVision().geometry == ILSVRC12().geometry == WebVision().geometry == Geometry(resize=256, crop=227)


@pytest.mark.parametrize("images", ["val_images", "val/val_images_256"])
def test_original_images_and_other_places(tmp_path, images):
    root = webvision(tmp_path)
    write(root / "x", b"")
    (root / images).parent.mkdir(exist_ok=True)
    (root / "val_images_256").rename(root / images)
    (root / "train_images_256").mkdir()
    for source in ("google", "flickr"):
        (root / source).rename(root / "train_images_256" / source)
    opened = WebVision(geometry=SMALL).open(root)
    assert shades(opened.parts["train"]) == [0, 10, 20, 30, 40]
    assert shades(opened.parts["validation"]) == [100, 110]


def test_folders_may_be_links_to_another_disk(tmp_path):
    root = webvision(tmp_path / "root")
    disk = tmp_path / "disk"
    disk.mkdir()
    for folder in ("google", "flickr", "val_images_256"):
        (root / folder).rename(disk / folder)
        (root / folder).symlink_to(disk / folder)
    assert shades(MiniWebVision(SMALL).open(root).parts["train"]) == [0, 10]
    assert shades(WebVision(geometry=SMALL).open(root).parts["train"]) == [0, 10, 20, 30, 40]
    (tmp_path / "other").mkdir()
    (disk / "flickr").rename(tmp_path / "other/flickr")
    (root / "flickr").unlink()
    (root / "flickr").symlink_to(tmp_path / "other/flickr")
    with pytest.raises(
        DataError, match=r"disk/google and .*other/flickr lie apart: expected folders google and flickr"
    ):
        WebVision(geometry=SMALL).open(root)


def test_a_link_out_of_the_folder_is_refused_when_it_is_read(tmp_path):
    root = webvision(tmp_path / "root")
    write(tmp_path / "secret.jpg", image(200))
    (root / "google/q0001/a.jpg").unlink()
    (root / "google/q0001/a.jpg").symlink_to(tmp_path / "secret.jpg")
    train = MiniWebVision(SMALL).open(root).parts["train"]
    assert train.images[1].unique().tolist() == [10]
    with pytest.raises(DataError, match=r"google/q0001/a\.jpg leads out of .*google: expected files below that folder"):
        train.images[0]


def test_lists_of_other_systems(tmp_path):
    listed = "\ufeff" + "google/q0001/a.jpg\t0\r\n\r\n  google/q0002/b.jpg   49  \r\n\r\ngoogle/q0077/c.jpg 50"
    opened = WebVision(sources=("google",), geometry=SMALL).open(webvision(tmp_path, google=listed))
    assert opened.parts["train"].labels.tolist() == [0, 49, 50]
    assert shades(opened.parts["train"]) == [0, 10, 20]


def test_names_need_not_be_utf8(tmp_path):
    root = webvision(tmp_path, google=b"google/q0001/caf\xe9.jpg 3\n")
    path = os.fsencode(root) + b"/google/q0001/caf\xe9.jpg"
    try:
        with open(path, "wb") as file:  # noqa: PTH123
            file.write(image(70))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    train = MiniWebVision(SMALL).open(root).parts["train"]
    assert shades(train) == [70]
    assert train.images.name(0).endswith("q0001/caf\\xe9.jpg")


@pytest.mark.parametrize(
    ("google", "message"),
    [
        (
            "google/q0001/a.jpg 0\ngoogle/q0002/b.jpg\n",
            r"line 2 of .*train_filelist_google\.txt is 'google/q0002/b\.jpg'",
        ),
        (
            "google/q0001/a.jpg 0\n\n0\n",
            r"line 3 of .* is '0': expected a name and a class number, such as \"a\.jpg 0\"",
        ),
        ("google/q0001/a.jpg 0 n01440764\n", "line 1 of .* is 'google/q0001/a.jpg 0 n01440764'"),
        ("google/q0001/a.jpg one\n", "line 1 of .*: expected a name and a class number"),
        ("google/q0001/a.jpg 0.5\n", "line 1 of .*: expected a name and a class number"),
        ("google/q0001/a.jpg 99999999999999999999\n", "line 1 of .*: expected a name and a class number"),
        (b"google/q0001/caf\xe9.jpg\n", r"line 1 of .* is 'google/q0001/caf\\\\xe9\.jpg'"),
        ("\ngoogle/q0001/a.jpg 0\ngoogle/q0002/b.jpg 1000\n", "line 3 of .* has the label 1000: expected 0 to 999"),
        ("google/q0001/a.jpg -1\n", "line 1 of .* has the label -1: expected 0 to 999"),
        ("\n \n", r"google\.txt is empty: expected lines such as a name and a class number.*; get the file again"),
        ("google/q0077/c.jpg 50\n", r"lists no image of classes 0 to 49 \(1 images in all\)"),
        ("google/../../secret.jpg 0\n", r"'\.\./\.\./secret\.jpg' leads out of .*google"),
        ("/etc/passwd 0\n", r"lists '/etc/passwd': expected names that begin with google/"),
        ("../google/a.jpg 0\n", "expected names that begin with google/"),
        ("flickr/q0001/a.jpg 0\n", "lists 'flickr/q0001/a.jpg': expected names that begin with google/; get the list"),
    ],
)
def test_lists_that_are_wrong(tmp_path, google, message):
    with pytest.raises(DataError, match=message):
        MiniWebVision(SMALL).open(webvision(tmp_path, google=google))


def test_an_empty_list(tmp_path):
    root = webvision(tmp_path)
    (root / "info/train_filelist_google.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"train_filelist_google\.txt is empty: expected lines"):
        MiniWebVision(SMALL).open(root)
    (root / "info/val_filelist.txt").write_bytes(b"")
    with pytest.raises(DataError, match=r"val_filelist\.txt is empty"):
        WebVision(sources=("flickr",), geometry=SMALL).open(root)


def test_a_name_that_leads_out_of_the_validation_folder(tmp_path):
    with pytest.raises(DataError, match=r"'\.\./google/q0001/a\.jpg' leads out of .*val_images_256"):
        MiniWebVision(SMALL).open(webvision(tmp_path, validation="../google/q0001/a.jpg 0\n"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("n01440764", "tench"),
            "line 1 of .* begins with 'tench thing 0,': expected a synset",
        ),
        (lambda text: text + "n01440764 again\n", "line 1,001 of .* repeats 'n01440764 again'"),
        (lambda text: text.partition("\n")[2], "has 999 classes: expected 1,000 lines"),
        (lambda text: "", "has 0 classes: expected 1,000 lines"),
    ],
)
def test_classes_that_are_wrong(tmp_path, change, message):
    root = webvision(tmp_path)
    write(root / "info/synsets.txt", change(synset_lines()))
    with pytest.raises(DataError, match=message):
        MiniWebVision(SMALL).open(root)


def test_classes_in_another_order_are_followed_with_a_remark(tmp_path):
    root = webvision(tmp_path)
    swapped = synset_lines().splitlines(keepends=True)
    swapped[1:3] = swapped[2:0:-1]
    write(root / "info/synsets.txt", "".join(swapped))
    opened = MiniWebVision(SMALL).open(root)
    assert [name.partition(" (")[0] for name in opened.class_names[:4]] == ["thing 0", "thing 2", "thing 1", "thing 3"]
    assert len(opened.remarks) == 1
    assert "info/synsets.txt are not in ImageNet's order" in opened.remarks[0]


def test_without_validation_images_there_is_a_remark(tmp_path):
    root = webvision(tmp_path)
    (root / "info/val_filelist.txt").unlink()
    opened = MiniWebVision(SMALL).open(root)
    assert list(opened.parts) == ["train"]
    assert opened.remarks[0].startswith("no validation part: there is no validation list; get them from https://data.")


def test_check_names_what_is_missing(tmp_path):
    root = webvision(tmp_path)
    found = check(MiniWebVision(SMALL), root)
    assert found.usable
    assert found.examples == {"train": 2, "validation": 1}
    texts = [finding.text for finding in found.findings if finding.level == WARNING]
    assert texts == [
        "train: 2 examples, published were 65,944",
        "validation: 1 examples, published were 2,500",
    ]
    assert "validation: 1 images opened, spread over all of them" in [f.text for f in found.findings if f.level == OK]
    (root / "google/q0002/b.jpg").unlink()
    problems = [f.text for f in check(MiniWebVision(SMALL), root).findings if f.level == PROBLEM]
    assert len(problems) == 1
    assert problems[0].startswith(f"train: 1 of 2 images are missing, such as {root}/google/q0002/b.jpg; get them from")
    (root / "google").rename(root / "elsewhere")
    (root / "info/synsets.txt").unlink()
    problems = [f.text for f in check(MiniWebVision(SMALL), root).findings if f.level == PROBLEM]
    assert problems == [
        "missing: the classes; expected info/synsets.txt; get it from "
        "https://data.vision.ee.ethz.ch/cvl/webvision/download.html (info.tar)",
        "missing: the folder of Google's training images; expected google or train_images_256/google or "
        "train_images/google or train/google; get it from "
        "https://data.vision.ee.ethz.ch/cvl/webvision/download.html (google_resized_256.tar)",
    ]
    with pytest.raises(
        DataError, match=r"is not all of mini-WebVision: missing info/synsets\.txt \(the classes; get it"
    ):
        MiniWebVision(SMALL).open(root)
    with pytest.raises(DataError, match=r"no such folder: .*gone; expected the folder of mini-WebVision"):
        MiniWebVision(SMALL).open(tmp_path / "gone")


def test_half_a_million_lines_take_a_moment(tmp_path):
    count = 500_000
    google = b"".join(b"google/q%04d/x%018d.jpg %d\n" % (row % 1600, row, row % 1000) for row in range(count))
    train = WebVision(sources=("google",)).open(webvision(tmp_path, google=google)).parts["train"]
    assert len(train) == count
    assert train.labels[-1] == 999
    assert train.images.name(count - 1) == f"{tmp_path}/google/q0799/x{count - 1:018d}.jpg"
    assert train.images.names.nbytes < 40 * count
