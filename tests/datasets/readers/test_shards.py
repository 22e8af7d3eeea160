"""Shards as people have them: WebDataset's tars and Parquet files, made small."""

import io
import json
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from elr.data.examples import Examples
from elr.data.pictures.decoding import Geometry
from elr.datasets.readers.shards import open_shards
from elr.errors import DataError
from tiny_tars import write_tar

GEOMETRY = Geometry(resize=12, crop=12)
RECORD = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(shade, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(np.full((12, 12, 3), shade, dtype=np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def samples(numbers, *, label=lambda number: str(number % 3), suffix="png", folder=""):
    for number in numbers:
        yield f"{folder}{number:05}.{suffix}", picture(10 * number)
        yield f"{folder}{number:05}.cls", label(number).encode()


@pytest.fixture
def tars(tmp_path):
    write_tar(tmp_path / "train-0001.tar", samples(range(4, 10)))
    write_tar(tmp_path / "train-0000.tar", samples(range(4)))
    return tmp_path


def write_tables(root, *, group=3, labels=None, record=True):
    labels = labels or [number % 3 for number in range(20)]
    for shard, rows in enumerate((range(8), range(8, 20))):
        images = [picture(10 * row) for row in rows]
        column = pa.array([{"bytes": each, "path": None} for each in images], RECORD) if record else images
        table = pa.table({"image": column, "label": [labels[row] for row in rows]})
        pq.write_table(table, root / f"part-{shard}.parquet", row_group_size=group)
    return root


def shades(store, rows):
    return store.fetch(torch.as_tensor(rows))[:, 0, 5, 5].tolist()


def test_rows_of_tars_are_numbered_by_shard_and_place(tars):
    shards = open_shards(tars, geometry=GEOMETRY)
    part = shards.part
    assert part.labels.tolist() == [number % 3 for number in range(10)]
    assert shards.class_names == ("0", "1", "2")
    assert part.images.shape == (10, 3, 12, 12)
    assert shades(part.images, range(10)) == [10 * number for number in range(10)]
    assert shades(part.images, [7, 2, 7]) == [70, 20, 70]
    assert part.images.name(5) == "train-0001.tar, 00005"
    assert shades(part.images.take(np.array([9, 0])), [0, 1]) == [90, 0]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tars_with_long_and_strange_names(tmp_path, kind):
    long = "a" * 60 + "/" + "b" * 70 + "/"
    write_tar(tmp_path / "0.tar", samples(range(3), folder=long), kind)
    if kind != tarfile.USTAR_FORMAT:
        write_tar(tmp_path / "1.tar", samples(range(3, 5), folder="caf\udce9 ü/"), kind)
    shards = open_shards(tmp_path, geometry=GEOMETRY)
    assert shades(shards.part.images, range(len(shards.part))) == [10 * row for row in range(len(shards.part))]
    assert shards.part.images.name(0).endswith(f"{long}00000")


def test_the_fast_reader_of_plain_tars_agrees_with_the_library(tars, monkeypatch):
    fast = open_shards(tars, geometry=GEOMETRY).part.images

    def odd(content):
        from elr.data.pictures.tar_members import _OddHeaderError

        raise _OddHeaderError

    monkeypatch.setattr("elr.data.pictures.tar_members._plain_members", odd)
    slow = open_shards(tars, geometry=GEOMETRY).part.images
    assert fast.offsets.tolist() == slow.offsets.tolist()
    assert fast.sizes.tolist() == slow.sizes.tolist()
    assert fast.keys == slow.keys
    assert fast.identity() == slow.identity()


def test_labels_of_tars_by_name_and_in_json(tmp_path):
    names = ["dog", "cat", "dog"]
    members = []
    for number, name in enumerate(names):
        members += [
            (f"{number}.json", json.dumps({"label": name, "text": "a.b"}).encode()),
            (f"{number}.JPG", picture(5)),
        ]
    write_tar(tmp_path / "a.tar", members)
    shards = open_shards(tmp_path)
    assert shards.class_names == ("cat", "dog")
    assert shards.part.labels.tolist() == [1, 0, 1]
    assert open_shards(tmp_path, class_names=["dog", "cow", "cat"]).part.labels.tolist() == [0, 2, 0]
    with pytest.raises(DataError, match=r"a\.tar, 1 has the label 'cat': expected one of dog, cow"):
        open_shards(tmp_path, class_names=["dog", "cow"])


def test_links_and_folders_in_tars_are_left_out_with_a_remark(tmp_path):
    write_tar(tmp_path / "a.tar", [*samples(range(2)), ("00009.png", None)])
    shards = open_shards(tmp_path)
    assert len(shards.part) == 2
    assert shards.remarks == ["1 members of the tars, links or folders, were left out"]


def test_shards_may_be_links_to_other_disks(tars, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "train-0000.tar").symlink_to(tars / "train-0000.tar")
    assert len(open_shards(here).part) == 4


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("1.cls", b"3")], "example '1' has 0 images .cls.: expected one"),
        ([("1.png", picture(1)), ("1.jpg", picture(1)), ("1.cls", b"1")], "example '1' has 2 images"),
        ([("1.png", picture(1))], "example '1' has no label: expected a number or a name as .cls"),
        ([("1.png", picture(1)), ("1.cls", b" \n")], "example '1' has no label"),
        ([("1.png", picture(1)), ("1.json", b"{}")], "example '1' has no label 'label' in its .json"),
        ([("1.png", picture(1)), ("1.json", b"{nothing")], "example '1' has no label 'label' in its .json"),
        ([("1.png", picture(1)), ("1.json", b'{"label": 1.5}')], "example '1' has no label: expected"),
        ([("1.png", picture(1)), ("1.cls", b"-1")], "a.tar, 1 has the label -1: expected 0 to"),
        ([(".hidden", b"x")], "has 1 tars without examples"),
    ],
)
def test_examples_that_are_not_whole_are_named(tmp_path, members, message):
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(DataError, match=message):
        open_shards(tmp_path)


def test_labels_out_of_range_of_the_names(tars):
    with pytest.raises(DataError, match=r"train-0000\.tar, 00002 has the label 2: expected 0 to 1"):
        open_shards(tars, class_names=["a", "b"])


def test_damaged_tars_are_named(tars):
    content = (tars / "train-0001.tar").read_bytes()
    for damaged, message in (
        (b"\x1f\x8b" + content, "it is compressed"),
        (content[:5000], "cut short"),
        (b"no tar at all" * 100, "cannot be read as a tar"),
        (b"", "it is empty"),
        (content[:600] + b"x" + content[601:1030] + b"x" + content[1031:], "cannot be read as a tar"),
    ):
        (tars / "train-0001.tar").write_bytes(damaged)
        with pytest.raises(DataError, match=message) as caught:
            open_shards(tars)
        assert "train-0001.tar" in str(caught.value)


def test_a_damaged_header_behind_odd_ones_does_not_end_a_tar_silently(tmp_path):
    path = write_tar(tmp_path / "a.tar", [*samples(range(3)), ("00009.png", None), *samples(range(10, 13))])
    assert len(open_shards(tmp_path).part) == 6
    content = path.read_bytes()
    at = content.index(b"00011.png")
    path.write_bytes(content[:at] + b"x" + content[at + 1 :])
    with pytest.raises(
        DataError, match=r"a\.tar cannot be read as a tar \(what should be the header of a file is none\)"
    ):
        open_shards(tmp_path)


def test_a_damaged_image_is_named_when_it_is_read(tmp_path):
    write_tar(tmp_path / "a.tar", [("1.png", b"no image"), ("1.cls", b"0"), *samples([2])])
    part = open_shards(tmp_path).part
    with pytest.raises(DataError, match=r"image a\.tar, 1 cannot be read \(it is empty or no image\)"):
        part.images[0]
    assert part.images[1].shape == (3, 224, 224)


def test_no_shards_or_both_kinds(tmp_path, tars):
    write_tables(tars)
    with pytest.raises(DataError, match="holds shards of both kinds"):
        open_shards(tars)
    assert len(open_shards(tars, pattern="train").part) == 10
    with pytest.raises(DataError, match=r"holds no shards: expected val\*\.tar \(WebDataset\) or val\*\.parquet"):
        open_shards(tars, pattern="val")


# Parquet


@pytest.mark.parametrize("record", [True, False])
def test_rows_of_parquet_files(tmp_path, record):
    shards = open_shards(write_tables(tmp_path, record=record), geometry=GEOMETRY)
    images = shards.part.images
    assert shards.part.labels.tolist() == [number % 3 for number in range(20)]
    assert shades(images, range(20)) == [10 * number for number in range(20)]
    assert shades(images, [19, 0, 8, 7]) == [190, 0, 80, 70]
    assert images.name(9) == "part-1.parquet, row 1"


def test_an_epoch_goes_through_groups_of_rows(tmp_path, monkeypatch):
    images = open_shards(write_tables(tmp_path), geometry=GEOMETRY).part.images
    images.window = 2
    generator = torch.Generator().manual_seed(0)
    order = images.order(generator)
    assert sorted(order.tolist()) == list(range(20))
    assert order.tolist() != images.order(generator).tolist()
    read = []
    real = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, *a, **k: read.append(1) or real(self, *a, **k))
    for rows in order.split(4):
        images.fetch(rows)
    assert len(read) == len(images.groups) == 7  # each group once, though only four are kept
    taken = images.take(np.array([19, 3, 4, 0, 12]))
    assert sorted(taken.order(generator).tolist()) == [0, 1, 2, 3, 4]
    assert shades(taken, [0, 1, 4]) == [190, 30, 120]


def test_parquet_shards_are_read_by_many_threads_and_after_pickling(tmp_path):
    images = open_shards(write_tables(tmp_path), geometry=GEOMETRY).part.images
    images.window = 1
    again = pickle.loads(pickle.dumps(images))
    rows = np.random.default_rng(0).integers(0, 20, 200)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: shades(again, [row])[0], rows))
    assert found == [10 * row for row in rows]


def test_labels_of_parquet_by_name(tmp_path):
    shards = open_shards(write_tables(tmp_path, labels=["b", "a"] * 10))
    assert shards.class_names == ("a", "b")
    assert shards.part.labels.tolist() == [1, 0] * 10


def test_damaged_parquet_shards_are_named(tmp_path):
    write_tables(tmp_path)
    with pytest.raises(DataError, match="expected one column of images, and 'kind'"):
        open_shards(tmp_path, label="kind")
    table = pq.read_table(tmp_path / "part-1.parquet")
    holes = pa.array([None, *table["label"].to_pylist()[1:]], pa.int64())
    pq.write_table(table.set_column(1, "label", holes), tmp_path / "part-1.parquet")
    with pytest.raises(DataError, match=r"part-1\.parquet, row 0 has no label in column 'label'"):
        open_shards(tmp_path)
    content = (tmp_path / "part-0.parquet").read_bytes()
    (tmp_path / "part-0.parquet").write_bytes(content[:-20])
    with pytest.raises(DataError, match=r"part-0\.parquet"):
        open_shards(tmp_path)


def test_a_row_without_an_image_is_named(tmp_path):
    images = [{"bytes": picture(3), "path": None}, {"bytes": None, "path": "x.png"}]
    pq.write_table(pa.table({"image": pa.array(images, RECORD), "label": [0, 1]}), tmp_path / "a.parquet")
    part = open_shards(tmp_path).part
    assert part.images[0].shape == (3, 224, 224)
    with pytest.raises(DataError, match=r"a\.parquet, row 1 holds no image: expected its bytes in column 'image'"):
        part.images[1]


def test_shards_are_trained_on_like_any_images(tars):
    part = open_shards(tars, geometry=GEOMETRY).part
    examples = Examples(part.images, part.labels)
    assert sorted(examples.order(torch.Generator().manual_seed(0)).tolist()) == list(range(10))
    assert examples.fetch(torch.tensor([3])).shape == (1, 3, 12, 12)
