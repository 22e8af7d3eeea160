"""WebVision, mini-WebVision and ImageNet's validation images on small trees of the published layouts."""

import io
import os

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from elr.data.decoding import Geometry
from elr.datasets.base import OK, PROBLEM, WARNING, check
from elr.datasets.imagenet import CLASSES, LANDMARKS
from elr.datasets.readers.text_lists import lines, matched
from elr.datasets.webvision import ILSVRC12, MiniWebVision, WebVision
from elr.errors import ArgumentError, DataError

SYNSETS = sorted(
    [f"n{1440764 + 5000 * place:08d}" for place in range(49)]
    + [f"n{1697458 + place:08d}" for place in range(949)]
    + [LANDMARKS[49], LANDMARKS[999]]
)
WORDS = [f"thing {place}, {'abc' * (place % 3)}" for place in range(CLASSES)]
SMALL = Geometry(resize=8, crop=8)


def image(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def synset_lines():
    return "".join(f"{synset} {words}\n" for synset, words in zip(SYNSETS, WORDS, strict=True))


def webvision(root, *, google=None, flickr=None, validation=None):
    """Three training images of Google's, two of Flickr's and two for validation, each of another shade."""
    google = google or "google/q0001/a.jpg 0\ngoogle/q0002/b.jpg 49\ngoogle/q0077/c.jpg 50\n"
    flickr = flickr or "flickr/q0001/a.jpg 0\nflickr/q0900/d.jpg 999\n"
    write(root / "info/synsets.txt", synset_lines())
    write(root / "info/train_filelist_google.txt", google)
    write(root / "info/train_filelist_flickr.txt", flickr)
    write(root / "info/val_filelist.txt", validation or "val000001.jpg 0\nval000002.jpg 70\n")
    for shade, name in enumerate(
        ("google/q0001/a.jpg", "google/q0002/b.jpg", "google/q0077/c.jpg", "flickr/q0001/a.jpg", "flickr/q0900/d.jpg")
    ):
        write(root / name, image(10 * shade))
    write(root / "val_images_256/val000001.jpg", image(100))
    write(root / "val_images_256/val000002.jpg", image(110))
    return root


def shades(part):
    return part.images[:][:, 0, 0, 0].tolist()


# WebVision


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
        ("\ngoogle/q0001/a.jpg 0\ngoogle/q0002/b.jpg 1000\n", "line 3 of .* has class number 1000: expected 0 to 999"),
        ("google/q0001/a.jpg -1\n", "line 1 of .* has class number -1: expected 0 to 999"),
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


# Lists


def test_lines_are_those_of_the_file(tmp_path):
    for content, expected in ((b"a\nb\n", [b"a\n", b"b\n"]), (b"a\n\nb", [b"a\n", b"\n", b"b"]), (b"", [])):
        (tmp_path / "list").write_bytes(content)
        assert lines(tmp_path / "list").to_pylist() == expected
    with pytest.raises(DataError, match=r"gone cannot be read \(No such file or directory\): mend or replace"):
        lines(tmp_path / "gone")


def test_a_header_counts_as_a_line(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"name\na\n\nb\n")
    fields, at = matched(path, r"^(?P<name>[ab])\n$", "a or b", header="name")
    assert fields.to_pylist() == [{"name": b"a"}, {"name": b"b"}]
    assert at.tolist() == [1, 3]
    path.write_bytes(b"name\na\nc\n")
    with pytest.raises(DataError, match=r"line 3 of .* is 'c': expected a or b; get the file again"):
        matched(path, r"^(?P<name>[ab])\n$", "a or b", header="name")


# ILSVRC12: images 1 to 6 have these classes

TRUTH = [65, 970, 49, 0, 51, 0]
SEEN = sorted(set(TRUTH))
NAMES = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, 7)]


def flat(root, folder="val"):
    for shade, name in enumerate(NAMES):
        write(root / folder / name, image(10 * shade))
    return root


def in_folders(root, folder="val"):
    for synset in SYNSETS:
        (root / folder / synset).mkdir(parents=True)
    for shade, (name, number) in enumerate(zip(NAMES, TRUTH, strict=True)):
        write(root / folder / SYNSETS[number] / name, image(10 * shade))
    return root


def devkit(root, *, truth=None, change=lambda rows: rows):
    """Numbers from 1 in an order of its own, and ancestors above 1000, as published."""
    order = np.random.default_rng(0).permutation(CLASSES)
    rows = [(place + 1, SYNSETS[number], WORDS[number], 0) for place, number in enumerate(order)]
    rows += [(CLASSES + 1, "n00001740", "entity", 2)]
    table = np.empty(
        (len(rows), 1), dtype=[(name, object) for name in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
    )
    for place, row in enumerate(change(rows)):
        table[place, 0] = row
    folder = root / "ILSVRC2012_devkit_t12/data"
    folder.mkdir(parents=True)
    scipy.io.savemat(folder / "meta.mat", {"synsets": table})
    places = np.argsort(order) + 1
    write(
        folder / "ILSVRC2012_validation_ground_truth.txt",
        truth or "".join(f"{places[number]}\n" for number in TRUTH),
    )
    return root


def labels_and_shades(opened):
    part = opened.parts["validation"]
    return part.labels.tolist(), shades(part)


def listed(root, name="imagenet_val.txt"):
    write(root / name, "".join(f"{name} {number}\n" for name, number in zip(NAMES, TRUTH, strict=True)))
    return root


def with_synsets(root, place="../webvision/info/synsets.txt"):
    write(root.parent / place.removeprefix("../") if place.startswith("../") else root / place, synset_lines())
    return root


@pytest.fixture
def root(tmp_path):
    (tmp_path / "imagenet").mkdir()
    return tmp_path / "imagenet"


def test_every_layout_gives_the_same_rows(tmp_path):
    layouts = {
        "folders": lambda root: with_synsets(in_folders(root)),
        "folders alone": in_folders,
        "folders themselves": lambda root: in_folders(root, "."),
        "devkit": lambda root: devkit(flat(root, "ILSVRC2012_img_val")),
        "devkit and classes": lambda root: with_synsets(devkit(flat(root))),
        "list": lambda root: with_synsets(listed(flat(root)), "../info/synsets.txt"),
        "list of Caffe": lambda root: with_synsets(listed(flat(root, "."), "val.txt"), "synset_words.txt"),
        "list of numbers only": lambda root: listed(flat(root)),
    }
    for name, layout in layouts.items():
        place = tmp_path / name / "imagenet"
        place.mkdir(parents=True)
        everything = ILSVRC12(geometry=SMALL).open(layout(place))
        assert labels_and_shades(everything) == (TRUTH, [0, 10, 20, 30, 40, 50]), name
        first = ILSVRC12(num_classes=50, geometry=SMALL).open(place)
        assert labels_and_shades(first) == ([49, 0, 0], [20, 30, 50]), name
        assert len(everything.class_names) == CLASSES
        assert first.class_names == everything.class_names[:50]
        expected = {"folders alone": SYNSETS[1], "folders themselves": SYNSETS[1], "list of numbers only": "class 1"}
        assert first.class_names[1] == expected.get(name, f"thing 1 ({SYNSETS[1]})")
        assert len(first.remarks) == (name == "list of numbers only")


def test_classes_are_those_of_mini_webvision(tmp_path, root):
    trained = MiniWebVision(SMALL).open(webvision(tmp_path / "webvision"))
    tested = ILSVRC12(num_classes=50, geometry=SMALL).open(devkit(flat(root)))
    assert tested.class_names == trained.class_names
    assert ILSVRC12(num_classes=50).about.examples == {"validation": 2_500}
    assert ILSVRC12.about.examples == {"validation": 50_000}


@pytest.mark.parametrize("number", [0, 1001, -1])
def test_numbers_of_classes_out_of_range(number):
    with pytest.raises(ArgumentError, match=f"num_classes is {number}: expected 1 to 1000"):
        ILSVRC12(num_classes=number)


def without(root, *synsets):
    for synset in synsets:
        for path in (root / "val" / synset).iterdir():
            path.unlink()
        (root / "val" / synset).rmdir()
    return root


@pytest.mark.parametrize("gone", [SYNSETS[50:], SYNSETS[500:501], SYNSETS[999:]])
def test_the_first_50_folders_are_enough_for_50_classes(root, gone):
    without(in_folders(root), *gone)
    opened = ILSVRC12(num_classes=50, geometry=SMALL).open(root)
    assert labels_and_shades(opened) == ([49, 0, 0], [20, 30, 50])
    with pytest.raises(DataError, match="which do not say by themselves what their numbers are"):
        ILSVRC12(num_classes=51, geometry=SMALL).open(root)
    with pytest.raises(
        DataError, match=rf"lacks the folders of {len(gone)} classes, such as {gone[0]}.*: expected one"
    ):
        ILSVRC12(geometry=SMALL).open(with_synsets(root))


@pytest.mark.parametrize("gone", [SYNSETS[:1], SYNSETS[7:8], SYNSETS[49:50]])
def test_some_folders_do_not_say_their_numbers(root, gone):
    without(in_folders(root), *gone)
    with pytest.raises(DataError, match="the folders of 999 classes, which do not say by themselves what"):
        ILSVRC12(num_classes=50, geometry=SMALL).open(root)
    with pytest.raises(DataError, match=f"lacks the folders of 1 classes, such as {gone[0]}: expected one"):
        ILSVRC12(num_classes=50, geometry=SMALL).open(with_synsets(root))


def test_folders_without_images(root):
    for synset in SYNSETS:
        (root / "val" / synset).mkdir(parents=True)
    with pytest.raises(DataError, match=r"the folders in .*val have no images: get them from https://image-net"):
        ILSVRC12(num_classes=50).open(root)


def test_lists_that_begin_with_the_folder(root):
    flat(root)
    write(root / "val_list.txt", "".join(f"val/{name} {number}\n" for name, number in zip(NAMES, TRUTH, strict=True)))
    assert labels_and_shades(ILSVRC12(geometry=SMALL).open(root)) == (TRUTH, [0, 10, 20, 30, 40, 50])


@pytest.mark.parametrize("number", [489, 490])
def test_lists_of_the_devkits_own_numbers_are_refused(root, number):
    flat(root)
    write(root / "imagenet_val.txt", f"{NAMES[0]} {number}\n{NAMES[1]} 361\n")
    with pytest.raises(DataError, match=f"{NAMES[0]} in .* has class {number}: expected 65, .*ILSVRC2012_ID"):
        ILSVRC12(num_classes=50, geometry=SMALL).open(root)
    write(root / "imagenet_val.txt", f"{NAMES[4]} 1000\n")
    with pytest.raises(DataError, match=r"line 1 of .* has class number 1000: expected 0 to 999"):
        ILSVRC12(geometry=SMALL).open(root)


def test_images_without_labels(root):
    flat(root)
    with pytest.raises(DataError, match=r"has images without labels: expected one folder per synset .*imagenet_val"):
        ILSVRC12().open(root)
    write(root / "ILSVRC2012_validation_ground_truth.txt", "490\n")
    with pytest.raises(DataError, match=r"has images without labels: .*ground truth with meta\.mat"):
        ILSVRC12().open(root)
    found = check(ILSVRC12(), root)
    assert not found.usable
    assert any(f.level == PROBLEM and "images without labels" in f.text for f in found.findings)
    assert any(f.level == WARNING and f.text.startswith("missing: the devkit's meta.mat") for f in found.findings)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("1\n2\nx\n", r"line 3 of .*ground_truth\.txt is 'x': expected the class number of one image"),
        ("1\n1001\n", "line 2 of .* has class number 1001: expected one that meta.mat and the list of classes have"),
        ("0\n", "line 1 of .* has class number 0: expected one that meta.mat"),
        ("\n", r"ground_truth\.txt is empty"),
    ],
)
def test_ground_truths_that_are_wrong(root, truth, message):
    with pytest.raises(DataError, match=message):
        ILSVRC12().open(devkit(flat(root), truth=truth))


def test_a_devkit_that_is_damaged(root):
    devkit(flat(root))
    path = root / "ILSVRC2012_devkit_t12/data/meta.mat"
    content = path.read_bytes()
    for damaged in (b"", b"no matrix" * 50, content[:-5000]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"meta\.mat cannot be read as the devkit's meta\.mat \(.*\): expected its"):
            ILSVRC12().open(root)
    scipy.io.savemat(path, {"other": 1})
    with pytest.raises(DataError, match=r"meta\.mat cannot be read as the devkit's"):
        ILSVRC12().open(root)


def test_a_devkit_with_too_few_classes(root):
    with pytest.raises(DataError, match=r"meta\.mat has 999 classes: expected 1,000"):
        ILSVRC12().open(devkit(flat(root), change=lambda rows: [rows[-1], *rows[1:]]))


def test_check_of_imagenet_counts_and_opens(root):
    found = check(ILSVRC12(num_classes=50, geometry=SMALL), devkit(flat(root)))
    assert found.usable
    assert found.examples == {"validation": 3}
    assert "validation: 3 examples, published were 2,500" in [f.text for f in found.findings]
    (root / "val" / NAMES[3]).unlink()
    problems = [f.text for f in check(ILSVRC12(num_classes=50, geometry=SMALL), root).findings if f.level == PROBLEM]
    assert problems[0].startswith(f"validation: 1 of 3 images are missing, such as {root}/val/{NAMES[3]}")
    with pytest.raises(DataError, match=r"ILSVRC12 .* missing ILSVRC2012_img_val \(the validation images"):
        ILSVRC12().open(root / "ILSVRC2012_devkit_t12")


def test_a_list_that_leads_out(root):
    flat(root)
    write(root / "imagenet_val.txt", f".. 0\n{NAMES[1]} 3\n")
    with pytest.raises(DataError, match=r"'\.\.' leads out of .*val"):
        ILSVRC12().open(root)
    write(root / "imagenet_val.txt", f"../../secret.JPEG 0\n{NAMES[1]} 3\n")
    images = ILSVRC12().open(root).parts["validation"].images
    assert {images.name(0), images.name(1)} == {f"{root}/val/secret.JPEG", f"{root}/val/{NAMES[1]}"}


def test_rows_are_fetched_by_index(root):
    images = ILSVRC12(geometry=SMALL).open(in_folders(root)).parts["validation"].images
    assert images.fetch(torch.tensor([5, 0]))[:, 0, 0, 0].tolist() == [50, 0]
