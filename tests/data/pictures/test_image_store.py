"""Images that stay on disk: what is decoded, of what files, and what is refused."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.errors import ArgumentError, DataError
from pictures import encoded, ramp

SMALL = Geometry(resize=40, crop=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for row in range(12):
        shape = (30 + 7 * row, 90 - 4 * row, 3)
        pixels = np.random.default_rng(row).integers(0, 256, shape, dtype=np.uint8)
        place = root / f"{row % 3}" / f"{row:02}.{'png' if row % 2 else 'jpg'}"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place)
    return root


def store_of(folder, geometry=SMALL):
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    return FileImages(folder, names, geometry)


def test_an_image_is_the_same_whoever_asks_and_with_whatever_others(folder):
    store = store_of(folder)
    places = torch.rand(12, 2, generator=torch.Generator().manual_seed(0))
    together = store.fetch(torch.arange(12), places)
    assert together.shape == (12, 3, 32, 32)
    assert together.dtype == torch.uint8
    for row in range(12):
        assert torch.equal(store.fetch(torch.tensor([row]), places[row : row + 1])[0], together[row])
    order = torch.randperm(12)
    assert torch.equal(store.fetch(order, places[order]), together[order])
    with ThreadPoolExecutor(6) as pool:
        again = list(pool.map(lambda row: store.fetch(torch.tensor([row]), places[row : row + 1])[0], range(12)))
    assert torch.equal(torch.stack(again), together)
    assert not torch.equal(store.fetch(torch.arange(12)), together)


def test_a_store_is_indexed_taken_from_and_brought_to_another_size(folder):
    store = store_of(folder)
    whole = store.fetch(torch.arange(12))
    assert (len(store), store.shape) == (12, (12, 3, 32, 32))
    assert torch.equal(store[3], whole[3])
    assert torch.equal(store[np.int64(3)], whole[3])
    assert torch.equal(store[2:9:3], whole[2:9:3])
    assert torch.equal(store[torch.tensor([5, 0, 5])], whole[[5, 0, 5]])
    taken = store.take(np.array([7, 2, 4]))
    assert torch.equal(taken[torch.arange(3)], whole[[7, 2, 4]])
    assert torch.equal(taken.take(np.array([2]))[0], whole[4])
    assert taken.name(1) == store.name(2)
    assert taken.encoded(1) == store.encoded(2)
    assert store.brought_to(Geometry(resize=20, crop=16)).shape == (12, 3, 16, 16)
    assert store.shape == (12, 3, 32, 32)
    assert store.fetch(torch.empty(0, dtype=torch.int64)).shape == (0, 3, 32, 32)


def test_an_order_is_a_permutation_and_depends_on_the_generator_alone(folder):
    store = store_of(folder)
    first = store.order(torch.Generator().manual_seed(1))
    assert sorted(first.tolist()) == list(range(12))
    assert torch.equal(first, store.order(torch.Generator().manual_seed(1)))
    assert not torch.equal(first, store.order(torch.Generator().manual_seed(2)))
    assert sorted(store.take(np.array([3, 9])).order(torch.Generator()).tolist()) == [0, 1]


def test_the_identity_is_of_names_rows_and_geometry(folder, tmp_path):
    store = store_of(folder)
    names = [name.as_py() for name in store.names]
    elsewhere = FileImages(tmp_path, pa.array(names, pa.large_binary()), SMALL)
    assert elsewhere.identity() == store.identity()
    others = [
        store.take(np.arange(11)),
        store.take(np.arange(12)[::-1]),
        store.brought_to(Geometry(resize=41, crop=32)),
        FileImages(folder, [*(name.decode() for name in names[:11]), "0/x.png"], SMALL),
    ]
    assert len({store.identity(), *(other.identity() for other in others)}) == 5
    assert store.take(np.arange(12)).identity() == store.identity()


def test_what_cannot_be_read_is_named(folder, tmp_path):
    whole = encoded(ramp(60, 60), "JPEG")
    for name, content in {"cut.jpg": whole[: len(whole) // 2], "empty.jpg": b"", "text.png": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in {
        "cut.jpg": "cut.jpg cannot be read",
        "empty.jpg": r"empty.jpg cannot be read \(it is empty or no image\)",
        "text.png": r"text.png cannot be read \(it is empty or no image\)",
        "folder.jpg": r"folder.jpg cannot be read \(.*Is a directory",
        "none.jpg": r"none.jpg cannot be read \(there is no such file\): get it again",
    }.items():
        with pytest.raises(DataError, match=reason):
            FileImages(tmp_path, [name])[0]


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/passwd", "..", "a\0b.jpg", "a/.."])
def test_names_that_lead_out_are_refused_at_once(tmp_path, name):
    with pytest.raises(DataError, match=r"leads out of .*: expected names of files below that folder"):
        FileImages(tmp_path, ["fine.jpg", name])


def test_links_that_lead_out_are_refused_when_they_are_read(folder, tmp_path):
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    (inside / "a" / "own.png").write_bytes(encoded(ramp(40, 40)))
    (inside / "file.jpg").symlink_to(folder / "0" / "00.jpg")
    (inside / "there").symlink_to(folder / "0")
    (inside / "here").symlink_to(inside / "a")
    (inside / "own.png").symlink_to(inside / "a" / "own.png")
    store = FileImages(inside, ["file.jpg", "there/00.jpg", "here/own.png", "own.png", "a/own.png"], SMALL)
    for row in (0, 1):
        with pytest.raises(DataError, match=r"leads out of .*: expected files below that folder"):
            store[row]
        assert store.absent() == []
    for row in (2, 3, 4):
        assert store[row].shape == (3, 32, 32)
    linked = tmp_path / "linked"
    linked.symlink_to(folder)
    assert torch.equal(FileImages(linked, ["0/00.jpg"], SMALL)[0], FileImages(folder, ["0/00.jpg"], SMALL)[0])


def test_names_that_are_no_utf8(tmp_path):
    raw = b"caf\xe9.png"
    with open(os.path.join(os.fsencode(tmp_path), raw), "wb") as file:  # noqa: PTH118, PTH123
        file.write(encoded(ramp(40, 40)))
    for names in ([os.fsdecode(raw)], pa.array([raw], pa.large_binary())):
        store = FileImages(tmp_path, names, SMALL)
        assert store[0].shape == (3, 32, 32)
        assert store.name(0).endswith("caf\\xe9.png")


def test_absent_files_are_listed(folder):
    store = FileImages(folder, ["0/00.jpg", "0/gone.jpg", "9/00.jpg"], SMALL)
    assert [name.rpartition("/")[2] for name in store.absent()] == ["gone.jpg", "00.jpg"]
    assert store.take(np.array([0])).absent() == []


@pytest.mark.parametrize(("resize", "crop"), [(10, 11), (0, 0), (5, -1)])
def test_sizes_that_do_not_fit(resize, crop):
    with pytest.raises(ArgumentError, match="expected 1 <= crop <= resize pixels"):
        Geometry(resize=resize, crop=crop)
