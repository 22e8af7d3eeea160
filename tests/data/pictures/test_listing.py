"""Names of the image files of a folder, in an order that never changes."""

import pytest

from elr.data.pictures.listing import image_names
from elr.errors import DataError


def made(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_names_are_in_order_folder_by_folder(tmp_path):
    made(tmp_path, "a-b/1.png", "a/2.png", "a/1.JPG", "a/.hidden.png", ".cache/1.png", "__MACOSX/1.png", "notes.md")
    names, remarks = image_names(tmp_path)
    assert names.to_pylist() == [b"a/1.JPG", b"a/2.png", b"a-b/1.png"]
    assert [remark.partition(" whose")[0] for remark in remarks] == ["1 files left out"]


def test_links_are_followed_once_and_dead_ones_are_images(tmp_path):
    made(tmp_path, "a/1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "dead.png").symlink_to(tmp_path / "gone")
    assert image_names(tmp_path)[0].to_pylist() == [b"a/1.png", b"a/dead.png"]


def test_names_need_not_be_utf_8(tmp_path):
    made(tmp_path, b"a\xff.png".decode("utf-8", "surrogateescape"))
    assert image_names(tmp_path)[0].to_pylist() == [b"a\xff.png"]


def test_a_folder_without_images(tmp_path):
    with pytest.raises(DataError, match="no images in"):
        image_names(tmp_path)


def test_a_folder_goes_by_its_own_name_and_not_by_that_of_a_link_to_it(tmp_path):
    for name in ("truck", "zebra"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    (tmp_path / "aaa").symlink_to(tmp_path / "truck")
    assert image_names(tmp_path)[0].to_pylist() == [b"truck/1.png", b"zebra/1.png"]


def test_links_that_lead_to_themselves_are_dead(tmp_path):
    made(tmp_path, "a/1.png")
    for name in ("loop", "loop.png"):
        (tmp_path / name).symlink_to(name)
    names, remarks = image_names(tmp_path)
    assert names.to_pylist() == [b"a/1.png", b"loop.png"]
    assert remarks[0].endswith("such as loop")
