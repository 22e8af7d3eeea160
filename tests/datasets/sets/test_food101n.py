"""Food-101N and the test images of Food-101 beside it, on small trees of the published layout."""

import os

import numpy as np
import pytest

from elr.data.pictures.decoding import Geometry
from elr.datasets.checking import OK, PROBLEM, WARNING, check
from elr.datasets.sets.food101n import Food101N
from elr.errors import DataError
from tiny_imagenet import image, write

SMALL = Geometry(resize=8, crop=8)
CLASSES = ["waffles", "apple_pie", *(f"dish_{number:02d}" for number in range(99))]
IMAGES = ["apple_pie/b.jpg", "apple_pie/a.jpg", "waffles/a.jpg", "dish_98/x y.jpg", "apple_pie/c.jpg"]
LISTED = "".join(f"{key}\n" for key in IMAGES)
LISTED_CLASSES = "class_name\n" + "".join(f"{name}\n" for name in CLASSES)
TESTED = ["waffles/17", "apple_pie/1005649"]


def food101n(
    root,
    *,
    listed=LISTED,
    train="apple_pie/a.jpg\t1\nwaffles/a.jpg\t0\n",
    validation="apple_pie/b.jpg\t0\n",
    classes=LISTED_CLASSES,
    header="class_name/key",
):
    def with_header(content):
        return (
            (content if isinstance(content, bytes) else f"{header}\tverification_label\n{content}") if content else b""
        )

    write(root / "meta/classes.txt", classes)
    write(root / "meta/imagelist.tsv", listed if isinstance(listed, bytes) else f"{header}\n{listed}")
    write(root / "meta/verified_train.tsv", with_header(train))
    write(root / "meta/verified_val.tsv", with_header(validation))
    for shade, key in enumerate(IMAGES):
        write(root / "images" / key, image(10 * shade))
    return root


def food101(root):
    write(root / "meta/test.txt", "".join(f"{key}\n" for key in TESTED))
    for shade, key in enumerate(TESTED):
        write(root / f"images/{key}.jpg", image(100 + 10 * shade))
    return root


@pytest.fixture
def root(tmp_path):
    food101(tmp_path / "food-101")
    return tmp_path / "Food-101N_release"


def shades(part):
    return part.images[:][:, 0, 0, 0].tolist()


def test_verification_labels_are_no_classes(root):
    opened = Food101N(SMALL).open(food101n(root))
    train, test = opened.parts["train"], opened.parts["test"]
    assert train.labels.tolist() == [1, 1, 0, 100, 1]
    assert train.labels.dtype == np.int64
    assert shades(train) == [0, 10, 20, 30, 40]
    assert train.verified.tolist() == [0, 1, 0, -1, -1]
    assert train.verified.dtype == np.int8
    assert train.clean_labels is None
    assert test.labels.tolist() == [0, 1]
    assert shades(test) == [100, 110]
    assert test.verified is None
    assert opened.class_names == tuple(CLASSES)
    assert opened.remarks == []
    assert Food101N().open(root).parts["train"].images.shape == (5, 3, 224, 224)


@pytest.mark.parametrize("place", ["Food-101N_release/food-101", "Food-101", "food101", "food-101/food-101"])
def test_food_101_is_found_beside_or_below(tmp_path, place):
    food101n(tmp_path / "Food-101N_release")
    food101(tmp_path / place)
    assert shades(Food101N(SMALL).open(tmp_path / "Food-101N_release").parts["test"]) == [100, 110]


def test_the_folder_above_will_do_and_links_are_followed_to_it(root, tmp_path):
    food101n(root)
    opened = Food101N(SMALL).open(tmp_path)
    assert shades(opened.parts["train"]) == [0, 10, 20, 30, 40]
    assert shades(opened.parts["test"]) == [100, 110]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/link").symlink_to(root)
    assert shades(Food101N(SMALL).open(tmp_path / "elsewhere/link").parts["test"]) == [100, 110]


def test_without_food_101_there_is_a_remark(tmp_path):
    opened = Food101N(SMALL).open(food101n(tmp_path / "release"))
    assert list(opened.parts) == ["train"]
    assert opened.remarks == [
        "no test part: there is no test list and no test images of Food-101; put it into a folder food-101 beside this "
        "one, from https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/ (food-101.tar.gz)"
    ]


def test_lists_without_headers_and_of_other_systems(root):
    listed = b"\xef\xbb\xbf" + "".join(f"{key}\r\n" for key in IMAGES).encode() + b"\r\n"
    classes = "".join(f"{name}\r\n" for name in CLASSES)
    opened = Food101N(SMALL).open(food101n(root, listed=listed, classes=classes, train=b"apple_pie/a.jpg\t1\r\n"))
    assert opened.parts["train"].labels.tolist() == [1, 1, 0, 100, 1]
    assert opened.parts["train"].verified.tolist() == [0, 1, -1, -1, -1]
    assert shades(opened.parts["train"]) == [0, 10, 20, 30, 40]


def test_the_known_image_that_is_not_listed_is_left_out_with_a_remark(root):
    missing = "hot_and_sour_soup/a49e6fb26e356c6c41a37b5c18176355.jpg"
    opened = Food101N(SMALL).open(food101n(root, train=f"{missing}\t0\napple_pie/a.jpg\t1\n"))
    assert opened.parts["train"].verified.tolist() == [0, 1, -1, -1, -1]
    assert opened.remarks == [
        f"{root}/meta/verified_train.tsv speaks of 1 images that are not listed, such as '{missing}': left out"
    ]
    assert any(missing in oddity for oddity in opened.about.oddities)


def test_images_listed_again_count_once(root):
    listed = "".join(f"{key}\n" for key in (*IMAGES[:2], IMAGES[0], *IMAGES[2:], IMAGES[1]))
    opened = Food101N(SMALL).open(food101n(root, listed=listed))
    assert opened.parts["train"].labels.tolist() == [1, 1, 0, 100, 1]
    assert shades(opened.parts["train"]) == [0, 10, 20, 30, 40]
    assert opened.parts["train"].verified.tolist() == [0, 1, 0, -1, -1]
    assert opened.remarks == [
        f"{root}/meta/imagelist.tsv lists 2 images again, such as 'apple_pie/b.jpg': each counts once, "
        "where it comes first"
    ]


def test_what_is_said_first_counts(root):
    opened = Food101N(SMALL).open(
        food101n(
            root,
            train="apple_pie/a.jpg\t1\napple_pie/a.jpg\t0\nwaffles/a.jpg\t0\nwaffles/a.jpg\t0\n",
            validation="waffles/a.jpg\t1\napple_pie/b.jpg\t1\n",
        )
    )
    assert opened.parts["train"].verified.tolist() == [1, 1, 0, -1, -1]
    assert opened.remarks == [
        f"{root}/meta/verified_{name}.tsv contradicts what was said before of 1 images: what was said first counts"
        for name in ("train", "val")
    ]


def test_without_verification_labels_there_are_remarks(root):
    food101n(root)
    for name in ("verified_train", "verified_val"):
        (root / f"meta/{name}.tsv").unlink()
    opened = Food101N(SMALL).open(root)
    assert opened.parts["train"].verified.tolist() == [-1] * 5
    assert [remark.partition(":")[0] for remark in opened.remarks] == [
        "no verification labels of meta/verified_train.tsv",
        "no verification labels of meta/verified_val.tsv",
    ]


def test_names_need_not_be_utf8(root):
    food101n(root, listed=b"class_name/key\nwaffles/caf\xe9.jpg\n", train=b"waffles/caf\xe9.jpg\t1\n", validation=b"\n")
    (root / "meta/verified_val.tsv").unlink()
    try:
        with open(os.fsencode(root) + b"/images/waffles/caf\xe9.jpg", "wb") as file:  # noqa: PTH123
            file.write(image(70))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    train = Food101N(SMALL).open(root).parts["train"]
    assert shades(train) == [70]
    assert train.verified.tolist() == [1]
    assert train.images.name(0).endswith("waffles/caf\\xe9.jpg")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"listed": "apple_pie/a.jpg\napple_pie\n"},
            r"line 3 of .*imagelist\.tsv is 'apple_pie': expected a class and",
        ),
        ({"listed": "apple_pie/\n"}, r"line 2 of .* is 'apple_pie/'"),
        ({"listed": "apple_pie/a/b.jpg\n"}, r"line 2 of .* is 'apple_pie/a/b\.jpg'"),
        ({"listed": "apple_pie/a.jpg\t1\n"}, r"line 2 of .* is 'apple_pie/a\.jpg.*1'"),
        ({"listed": "\npizza/a.jpg\n"}, "line 3 of .* has class 'pizza': expected one of the 101 in meta/classes"),
        ({"listed": "../a.jpg\n"}, r"line 2 of .* has class '\.\.': expected one of the 101"),
        ({"listed": "apple_pie/..\n"}, r"'apple_pie/\.\.' leads out of .*images"),
        ({"listed": "/etc/passwd\n"}, r"line 2 of .* is '/etc/passwd'"),
        ({"listed": b"caf\xe9\n"}, r"line 1 of .* is 'caf\\\\xe9'"),
        ({"listed": ""}, r"imagelist\.tsv is empty: expected lines such as a class and a name"),
        ({"listed": b""}, r"imagelist\.tsv is empty"),
        (
            {"train": "apple_pie/a.jpg\n"},
            r"line 2 of .*verified_train\.tsv is 'apple_pie/a\.jpg': expected an image and",
        ),
        ({"train": "apple_pie/a.jpg\t2\n"}, r"line 2 of .*verified_train\.tsv says '2': expected 0 \(wrong\) or 1"),
        ({"validation": "a\t1\n\napple_pie/a.jpg\t-1\n"}, r"line 4 of .*verified_val\.tsv says '-1'"),
        ({"train": ""}, r"verified_train\.tsv is empty"),
        ({"classes": "class_name\napple_pie\n"}, r"classes\.txt has 1 classes, 1 different ones: expected 101 below"),
        ({"classes": "apple_pie\n" * 101}, "has 101 classes, 1 different ones: expected 101"),
        ({"classes": ""}, "has 0 classes, 0 different ones"),
    ],
)
def test_lists_that_are_wrong(root, changes, message):
    with pytest.raises(DataError, match=message):
        Food101N(SMALL).open(food101n(root, **changes))


def test_test_lists_that_are_wrong(root):
    food101n(root)
    for content, message in (
        ("waffles/17\npizza/3\n", r"line 2 of .*food-101/meta/test\.txt has class 'pizza'"),
        ("waffles\n", r"line 1 of .*test\.txt is 'waffles'"),
        ("", r"test\.txt is empty"),
        ("../waffles/17\n", r"line 1 of .*test\.txt is '\.\./waffles/17'"),
    ):
        write(root.parent / "food-101/meta/test.txt", content)
        with pytest.raises(DataError, match=message):
            Food101N(SMALL).open(root)


def test_a_link_out_of_the_folder_is_refused_when_it_is_read(root, tmp_path):
    food101n(root)
    write(tmp_path / "secret.jpg", image(200))
    (root / "images" / IMAGES[0]).unlink()
    (root / "images" / IMAGES[0]).symlink_to(tmp_path / "secret.jpg")
    train = Food101N(SMALL).open(root).parts["train"]
    assert train.images[1].unique().tolist() == [10]
    with pytest.raises(DataError, match=r"images/apple_pie/b\.jpg leads out of .*images: expected files below"):
        train.images[0]


def test_check_counts_and_names_what_is_missing(root):
    food101n(root)
    found = check(Food101N(SMALL), root)
    assert found.usable
    assert found.examples == {"train": 5, "test": 2}
    assert [f.text for f in found.findings if f.level == WARNING] == [
        "train: 5 examples, published were 310,009",
        "test: 2 examples, published were 25,250",
    ]
    assert "test: 2 images opened, spread over all of them" in [f.text for f in found.findings if f.level == OK]
    (root / "images" / IMAGES[3]).unlink()
    (root.parent / "food-101/meta/test.txt").unlink()
    found = check(Food101N(SMALL), root)
    assert [f.text for f in found.findings if f.level == PROBLEM] == [
        f"train: 1 of 5 images are missing, such as {root}/images/dish_98/x y.jpg; get them from "
        "https://kuanghuei.github.io/Food-101N/"
    ]
    warnings = [f.text for f in found.findings if f.level == WARNING]
    assert warnings[0].startswith(
        "missing: the list of Food-101's test images, in a folder food-101 beside this one; expected ../food-101/meta/"
    )
    (root / "meta/imagelist.tsv").unlink()
    assert [f.text for f in check(Food101N(SMALL), root).findings if f.level == PROBLEM] == [
        "missing: the list of all images; expected meta/imagelist.tsv or Food-101N_release/meta/imagelist.tsv; get it "
        "from https://kuanghuei.github.io/Food-101N/ (Food-101N_release.zip)"
    ]
    with pytest.raises(DataError, match=r"is not all of Food-101N: missing meta/imagelist\.tsv \(the list of all"):
        Food101N().open(root)
