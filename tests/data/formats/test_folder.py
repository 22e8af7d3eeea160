"""Folders of images: found, named, with links and odd names."""

import os

import pytest

from elr.data.formats.folder import ImageFolder, file_sources, list_images
from elr.data.formats.images import decode_images
from elr.data.records import ReadOptions
from elr.errors import DataError
from elr.names import printable
from pictures import color, encoded


def decode(*sources, **options):
    named = [(source, f"image {number}") for number, source in enumerate(sources)]
    return decode_images(lambda: iter(named), count=len(named), **options)


def test_images_are_found_in_order_of_their_names(tmp_path):
    names = ["b/2.png", "b/10.JPG", "a/deep/er/x.TiFf", "a/z.jpeg", "c.webp", "a b/ü.gif"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, remarks = list_images(tmp_path)
    assert list(map(str, found)) == ["a/deep/er/x.TiFf", "a/z.jpeg", "a b/ü.gif", "b/10.JPG", "b/2.png", "c.webp"]
    assert remarks == []


def test_hidden_files_and_folders_are_passed_over_and_other_files_named(tmp_path):
    for name in ("cat/1.png", "cat/.2.png", ".cache/3.png", "cat/.thumbs/4.png", "cat/notes.txt", "cat/5.heic"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, remarks = list_images(tmp_path)
    assert list(map(str, found)) == ["cat/1.png"]
    assert len(remarks) == 1
    assert remarks[0].startswith("2 files left out whose names do not end in .png, ")
    assert remarks[0].endswith("such as cat/5.heic")


def test_links_are_followed_but_not_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (root / "dog").mkdir(parents=True)
    elsewhere.mkdir()
    (root / "dog" / "1.png").touch()
    (elsewhere / "2.png").touch()
    (root / "cat").symlink_to(elsewhere)
    (root / "dog" / "up").symlink_to(root)
    (root / "dog" / "gone.png").symlink_to(tmp_path / "absent.png")
    os.mkfifo(root / "dog" / "pipe.png")
    found, _ = list_images(root)
    assert list(map(str, found)) == ["cat/2.png", "dog/1.png", "dog/gone.png"]
    with pytest.raises(DataError, match=r"gone\.png cannot be read \(there is no file .*gone\.png\): mend or remove"):
        decode_images(file_sources(root, found[2:]), count=len(found) - 2)


def test_no_images(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images in .*: expected files ending in \.png"):
        list_images(tmp_path)
    (tmp_path / "IMG_1.HEIC").touch()
    with pytest.raises(DataError, match=r"found 2 others, such as IMG_1.HEIC; convert \.heic to one of these"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="there are no images: the data have no rows"):
        decode()


def test_names_that_are_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(folder)  # noqa: PTH102 - pathlib takes no bytes
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with open(folder + b"/1.png", "wb") as handle:  # noqa: PTH123
        handle.write(encoded(color()))
    found, _ = list_images(tmp_path)
    assert printable(found[0]) == "caf\\xe9/1.png"
    decoded = decode_images(file_sources(tmp_path, found), count=len(found))
    assert decoded.names == [f"{tmp_path}/caf\\xe9/1.png"]
    decoded.names[0].encode()


def test_a_corrected_image_takes_no_other_ones_place_in_a_class_that_is_a_link(tmp_path):
    for name in ("data/cat/1.png", "dogs/1.png", "dogs/old/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "dogs")
    ImageFolder().write_corrected(tmp_path / "data", tmp_path / "new", ReadOptions(), {0: 1})
    copied = {str(path.relative_to(tmp_path / "new")): path.read_text() for path in tmp_path.glob("new/**/*.png")}
    assert copied == {"dog/1.png": "dogs/1.png", "dog/1-2.png": "data/cat/1.png", "dog/old/1.png": "dogs/old/1.png"}
