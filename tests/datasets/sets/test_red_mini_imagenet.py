"""Red and blue mini-ImageNet on small trees of the published layout; the published files cannot be had here."""

import io
import json
import os
import random

import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.pictures.decoding import Geometry
from elr.datasets.checking import OK, PROBLEM, WARNING, check
from elr.datasets.sets.red_mini_imagenet import _OF_SYNSET, CLASS_NAMES, LEVELS, RedMiniImageNet
from elr.errors import ArgumentError, DataError

SYNSETS = {number: synset.decode() for synset, number in _OF_SYNSET.items()}
RED_LINES = [
    (f"{SYNSETS[0]}00000001.jpg", 0),
    ("5922767e5677aef4.jpg", 3),
    (f"{SYNSETS[99]}00000600.jpg", 99),
    ("00ff00ff00ff00ff.jpg", 0),
    ("0123456789abcdef.jpg", 7),
]
BLUE_LINES = [(f"{SYNSETS[0]}00000001.jpg", 0), (f"{SYNSETS[99]}00000600.jpg", 5), (f"{SYNSETS[4]}00000007.jpg", 4)]
VALIDATION_LINES = [("ILSVRC2012_val_00000009.jpg", 1), ("ILSVRC2012_val_00000002.jpg", 0)]
JUDGED = {"5922767e5677aef4": 0, "00ff00ff00ff00ff": 1, "ffffffffffffffff": 1}


def encoded(shade, kind="PNG"):
    """A PNG, whatever its name says: torchvision warns that it will no longer decode JPEGs, and warnings are errors."""
    buffer = io.BytesIO()
    Image.new("RGB", (48, 40), (shade, 100, 50)).save(buffer, kind)
    return buffer.getvalue()


def lines_of(entries):
    return "".join(f"{name} {label}\n" for name, label in entries)


def annotations(judged=None):
    """As published: lists of one record each."""
    records = [
        {
            "image/uri": f"http://example.org/{name}",
            "image/id": name,
            "image/class/label": "whatever",
            "image/class/label/is_clean": judgment,
        }
        for name, judgment in (JUDGED if judged is None else judged).items()
    ]
    return json.dumps({"data": [[record] for record in records]})


def make(root, *, split="red_noise_nl_0.2", lines=RED_LINES, train="all_images", validation="validation", by_class=""):
    """A tree: image i of the training part has shade 10 * i, those of the validation part 200 + i."""
    (root / "split").mkdir(parents=True)
    (root / "split" / split).write_text(lines_of(lines))
    (root / "split" / "clean_validation").write_text(lines_of(VALIDATION_LINES))
    (root / "mini-imagenet-annotations.json").write_text(annotations())
    for folder, entries, first, step in ((train, lines, 0, 10), (validation, VALIDATION_LINES, 200, 1)):
        for row, (name, label) in enumerate(entries):
            nested = by_class == "all" or (by_class == "validation" and folder == validation)
            path = root / folder / (str(label) if nested else "") / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(first + step * row))
    return root


def shades(part):
    return part.images.fetch(torch.arange(len(part)))[:, 0, 16, 16].tolist()


def test_contents_and_order_are_those_of_the_split_file(tmp_path):
    opened = RedMiniImageNet().open(make(tmp_path))
    assert list(opened.parts) == ["train", "validation"]
    train, validation = opened.parts["train"], opened.parts["validation"]
    assert train.labels.tolist() == [0, 3, 99, 0, 7]
    assert train.labels.dtype == np.int64
    assert train.verified.tolist() == [1, 0, 1, 1, -1]
    assert train.clean_labels is None
    assert validation.labels.tolist() == [1, 0]
    assert (validation.clean_labels, validation.verified) == (None, None)
    assert train.images.shape == (5, 3, 32, 32)
    assert shades(train) == [0, 10, 20, 30, 40]
    assert shades(validation) == [200, 201]
    assert train.images.brought_to(Geometry(resize=36, crop=32)).fetch(torch.arange(2)).shape == (2, 3, 32, 32)
    assert train.images.name(1) == f"{os.path.realpath(tmp_path)}/all_images/5922767e5677aef4.jpg"
    assert opened.remarks == [
        f"1 of 3 web images are not in {tmp_path}/mini-imagenet-annotations.json: nothing is known of their labels"
    ]


def test_classes_are_100_synsets_with_names():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == len(SYNSETS) == 100
    assert (CLASS_NAMES[0], SYNSETS[0]) == ("triceratops", "n01704323")
    assert (CLASS_NAMES[99], SYNSETS[99]) == ("dishrag", "n03207743")
    assert all(len(synset) == 9 and synset[0] == "n" and synset[1:].isdigit() for synset in SYNSETS.values())


def test_blue_noise_has_clean_labels(tmp_path):
    loader = RedMiniImageNet(noise="blue", level=0.4)
    assert (loader.about.name, loader.about.examples["train"]) == ("blue-mini-imagenet", 60_000)
    train = loader.open(make(tmp_path, split="blue_noise_nl_0.4", lines=BLUE_LINES)).parts["train"]
    assert train.labels.tolist() == [0, 5, 4]
    assert train.clean_labels.tolist() == [0, 99, 4]
    assert train.verified is None
    assert train.noise_rate == pytest.approx(1 / 3)


def test_red_without_noise_has_clean_labels(tmp_path):
    lines = [line for line in RED_LINES if line[0].startswith("n")]
    opened = RedMiniImageNet(level=0.0).open(make(tmp_path, split="red_noise_nl_0.0", lines=lines))
    assert opened.parts["train"].clean_labels.tolist() == [0, 99]
    assert opened.parts["train"].noise_rate == 0.0
    assert opened.remarks == []


@pytest.mark.parametrize("noise", ["red", "blue"])
@pytest.mark.parametrize("level", LEVELS)
def test_each_level_has_its_file(tmp_path, noise, level):
    loader = RedMiniImageNet(noise=noise, level=level)
    assert loader.about.files[0].places[0] == f"split/{noise}_noise_nl_{level}"
    assert loader.open(make(tmp_path, split=f"{noise}_noise_nl_{level}")).parts["train"].labels.tolist()[1] == 3


def test_sizes_are_the_published_ones():
    sizes = [RedMiniImageNet(level=level).about.examples["train"] for level in LEVELS]
    assert sizes == [50_000] * 5 + [49_985, 50_010, 49_962, 50_000, 50_008]


@pytest.mark.parametrize("arguments", [{"noise": "green"}, {"level": 20}, {"level": 0.25}, {"level": "0.2"}])
def test_unknown_noise(arguments):
    with pytest.raises(ArgumentError, match=r"is .*: expected "):
        RedMiniImageNet(**arguments)


@pytest.mark.parametrize("below", ["", "mini-imagenet", "dataset_no_images/mini-imagenet"])
@pytest.mark.parametrize(
    ("train", "validation", "by_class"),
    [
        ("all_images", "validation", "validation"),
        ("all_images", "validation", ""),
        ("all_images", "all_validation", ""),
        ("all_images", "validation_original", "validation"),
        ("images", "validation_all", ""),
        ("all_images_resampled_84", "validation", "validation"),
        ("training/red_noise_nl_0.2", "validation", "all"),
        ("training_s32/red_noise_nl_0.2", "validation_s32", "all"),
    ],
)
def test_layouts_of_later_code(tmp_path, below, train, validation, by_class):
    make(tmp_path / below, train=train, validation=validation, by_class=by_class)
    opened = RedMiniImageNet().open(tmp_path)
    assert shades(opened.parts["train"]) == [0, 10, 20, 30, 40]
    assert shades(opened.parts["validation"]) == [200, 201]
    assert opened.parts["train"].verified.tolist() == [1, 0, 1, 1, -1]


def test_annotations_beside_the_folder_as_in_the_archive(tmp_path):
    root = make(tmp_path / "dataset_no_images" / "mini-imagenet")
    (root / "mini-imagenet-annotations.json").rename(root.parent / "mini-imagenet-annotations.json")
    for folder in (root, root.parent, tmp_path):
        assert RedMiniImageNet().open(folder).parts["train"].verified.tolist() == [1, 0, 1, 1, -1]


def test_validation_images_with_the_suffix_of_imagenet(tmp_path):
    make(tmp_path)
    for path in (tmp_path / "validation").iterdir():
        path.rename(path.with_suffix(".JPEG"))
    assert shades(RedMiniImageNet().open(tmp_path).parts["validation"]) == [200, 201]


def test_a_folder_of_images_may_be_a_link(tmp_path):
    make(tmp_path / "elsewhere")
    make(tmp_path / "here", train="gone")
    (tmp_path / "here" / "all_images").symlink_to(tmp_path / "elsewhere" / "all_images")
    assert shades(RedMiniImageNet().open(tmp_path / "here").parts["train"]) == [0, 10, 20, 30, 40]


def test_without_annotations(tmp_path):
    (make(tmp_path) / "mini-imagenet-annotations.json").unlink()
    opened = RedMiniImageNet().open(tmp_path)
    assert opened.parts["train"].verified.tolist() == [1, -1, 1, -1, -1]
    assert opened.remarks == ["nothing is known of 3 labels of web images: mini-imagenet-annotations.json is absent"]


def test_an_image_of_imagenet_with_another_label_is_wrong(tmp_path):
    lines = [(f"{SYNSETS[0]}00000001.jpg", 1), RED_LINES[1]]
    assert RedMiniImageNet().open(make(tmp_path, lines=lines)).parts["train"].verified.tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:The image decoding")
def test_jpegs(tmp_path):
    path = make(tmp_path) / "all_images" / RED_LINES[4][0]
    path.write_bytes(encoded(120, "JPEG"))
    assert shades(RedMiniImageNet().open(tmp_path).parts["train"]) == pytest.approx([0, 10, 20, 30, 120], abs=2)


def test_lines_may_end_as_on_windows_or_be_blank(tmp_path):
    path = make(tmp_path) / "split" / "red_noise_nl_0.2"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert RedMiniImageNet().open(tmp_path).parts["train"].labels.tolist() == [0, 3, 99, 0, 7]


def test_names_that_are_not_utf8(tmp_path):
    path = make(tmp_path) / "split" / "red_noise_nl_0.2"
    path.write_bytes(b"caf\xe9.jpg 4\n" + path.read_bytes())
    try:
        with open(os.fsencode(tmp_path) + b"/all_images/caf\xe9.jpg", "wb") as file:  # noqa: PTH123
            file.write(encoded(77))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    train = RedMiniImageNet().open(tmp_path).parts["train"]
    assert shades(train)[0] == 77
    assert train.images.name(0).endswith("/caf\\xe9.jpg")
    assert check(RedMiniImageNet(), tmp_path).usable


# Bad input


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("name.jpg", "has 'name.jpg' in line 6"),
        ("name.jpg 100", "has 'name.jpg 100' in line 6"),
        ("name.jpg -1", "has 'name.jpg -1' in line 6"),
        ("name.jpg 1.0", "has 'name.jpg 1.0' in line 6"),
        ("name.jpg " + "9" * 5000, "has 'name.jpg 999"),
        ("5", "has '5' in line 6"),
        ("7 name.jpg", "has '7 name.jpg' in line 6"),
    ],
)
def test_lines_that_say_no_class(tmp_path, line, reason):
    path = make(tmp_path) / "split" / "red_noise_nl_0.2"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"{reason}.*: expected the name of an image, a space and a class"):
        RedMiniImageNet().open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_empty_split(tmp_path, content):
    (make(tmp_path) / "split" / "clean_validation").write_bytes(content)
    with pytest.raises(DataError, match=r"clean_validation is empty: expected a line for each image; get it"):
        RedMiniImageNet().open(tmp_path)


def test_a_split_that_is_a_folder(tmp_path):
    path = make(tmp_path) / "split" / "red_noise_nl_0.2"
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"red_noise_nl_0\.2 cannot be read \(Is a directory\)"):
        RedMiniImageNet().open(tmp_path)


def test_images_listed_twice_are_remarked(tmp_path):
    opened = RedMiniImageNet().open(make(tmp_path, lines=[*RED_LINES, RED_LINES[0]]))
    assert len(opened.parts["train"]) == 6
    assert any("red_noise_nl_0.2 names 1 images more than once" in remark for remark in opened.remarks)


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "a/../../secret.jpg", "a\x00b.jpg"])
def test_names_that_lead_out_of_the_folder(tmp_path, name):
    make(tmp_path, train="gone")
    (tmp_path / "all_images").mkdir()
    (tmp_path / "split" / "red_noise_nl_0.2").write_text(lines_of([(name, 0)]))
    with pytest.raises(DataError, match=r"leads out of .*all_images"):
        RedMiniImageNet().open(tmp_path)


def test_links_that_lead_out_of_the_folder(tmp_path):
    make(tmp_path / "root")
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(encoded(9))
    linked = tmp_path / "root" / "all_images" / RED_LINES[2][0]
    linked.unlink()
    linked.symlink_to(secret)
    train = RedMiniImageNet().open(tmp_path / "root").parts["train"]
    with pytest.raises(DataError, match=r"image .*n03207743\d+\.jpg leads out of .*all_images"):
        train.images.fetch(torch.tensor([2]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"data": 5}',
        b'{"data": [5]}',
        b'{"data": [[{"image/id": "a"}]]}',
        b'{"data": [[{"image/id": 5, "image/class/label/is_clean": 1}]]}',
        b'{"data": [[{"image/id": "a", "image/class/label/is_clean": 2}]]}',
        b'{"data": [[{"image/id": "a", "image/class/label/is_clean": null}]]}',
        b'{"data": [[{"image/id": "a", "image/class/label/is_clean": NaN}]]}',
        b'{"data": [[{"image/id": "a", "image/class/label/is_clean": 1e999}]]}',
        b'{"data": [[{"image/id": "\\ud800", "image/class/label/is_clean": 1}]]}',
        b'\xff\xfe{"data"',
        b"[" * 200_000,
        annotations().encode()[:-40],
    ],
)
def test_damaged_annotations(tmp_path, content):
    (make(tmp_path) / "mini-imagenet-annotations.json").write_bytes(content)
    with pytest.raises(DataError, match=r"annotations\.json cannot be read as annotations \(.*\): expected JSON"):
        RedMiniImageNet().open(tmp_path)


def test_annotations_may_be_numbers_as_text_and_without_inner_lists(tmp_path):
    entries = [{"image/id": name, "image/class/label/is_clean": str(judged)} for name, judged in JUDGED.items()]
    (make(tmp_path) / "mini-imagenet-annotations.json").write_text(json.dumps({"data": entries}))
    assert RedMiniImageNet().open(tmp_path).parts["train"].verified.tolist() == [1, 0, 1, 1, -1]


def test_random_damage_of_annotations_is_a_data_error_or_read(tmp_path):
    generator = random.Random(0)
    path = make(tmp_path) / "mini-imagenet-annotations.json"
    whole = path.read_bytes()
    outcomes = set()
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged[: generator.choice((len(damaged), generator.randrange(len(damaged))))])
        try:
            outcomes.add(len(RedMiniImageNet().open(tmp_path).parts["train"].verified))
        except DataError:
            outcomes.add("refused")
    assert outcomes == {5, "refused"}


# Checked


def texts(report, level):
    return [finding.text for finding in report.findings if finding.level == level]


def test_check_of_a_whole_tree(tmp_path):
    report = check(RedMiniImageNet(), make(tmp_path))
    assert report.usable
    assert report.examples == {"train": 5, "validation": 2}
    assert texts(report, WARNING)[:2] == [
        "train: 5 examples, published were 50,000",
        "validation: 2 examples, published were 5,000",
    ]
    assert "train: 4 given labels were looked at, 3 are right, 1 are wrong" in texts(report, OK)
    assert "train: 5 images opened, spread over all of them" in texts(report, OK)


def test_check_of_an_empty_folder_names_all_that_is_missing(tmp_path):
    report = check(RedMiniImageNet(level=0.4), tmp_path)
    missing = texts(report, PROBLEM)
    assert [text.partition(" (or")[0].partition("; get")[0] for text in missing] == [
        "missing: the training images and their given labels; expected split/red_noise_nl_0.4 or "
        "mini-imagenet/split/red_noise_nl_0.4 or dataset_no_images/mini-imagenet/split/red_noise_nl_0.4",
        "missing: the validation images and their labels; expected split/clean_validation or "
        "mini-imagenet/split/clean_validation or dataset_no_images/mini-imagenet/split/clean_validation",
        "missing: the training images: ID.jpg of the web, n0170432300000001.jpg of mini-ImageNet, in one folder; "
        "expected all_images/ or images/ or all_images_resampled_84/ or training/red_noise_nl_0.4/",
        "missing: the validation images, all together or a folder for each class number; expected validation/ or "
        "all_validation/ or validation_all/ or validation_original/",
    ]
    assert all("get it from " in text for text in missing)
    assert len(texts(report, WARNING)) == 1
    with pytest.raises(DataError, match=r"missing split/red_noise_nl_0\.4 \(.*split/clean_validation.*all_images/"):
        RedMiniImageNet(level=0.4).open(tmp_path)


def test_check_names_images_that_are_absent_or_damaged(tmp_path):
    root = make(tmp_path)
    (root / "all_images" / RED_LINES[1][0]).unlink()
    path = root / "validation" / VALIDATION_LINES[1][0]
    path.write_bytes(path.read_bytes()[:50])
    first, second = texts(check(RedMiniImageNet(), root), PROBLEM)
    assert first.startswith("train: 1 of 5 images are missing, such as ")
    assert first.partition("; ")[0].endswith("/all_images/5922767e5677aef4.jpg")
    assert second.startswith("validation: 1 of 2 sampled images: image ")
    assert "ILSVRC2012_val_00000002.jpg cannot be read" in second
