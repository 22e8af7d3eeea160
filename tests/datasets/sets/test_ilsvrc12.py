"""ImageNet's validation images on small trees of the published layouts."""

import numpy as np
import pytest
import scipy.io
import torch

from elr.datasets.checking import PROBLEM, WARNING, check
from elr.datasets.readers.imagenet import CLASSES
from elr.datasets.sets.ilsvrc12 import ILSVRC12
from elr.datasets.sets.webvision import MiniWebVision
from elr.errors import ArgumentError, DataError
from tiny_imagenet import SMALL, SYNSETS, WORDS, image, shades, synset_lines, webvision, write

# Images 1 to 6 have these classes.
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
    with pytest.raises(DataError, match=r"line 1 of .* has the label 1000: expected 0 to 999"):
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
