"""Tars of images as people have them: recognized, read, and copied with other labels."""

import json

import pytest
from PIL import Image

from elr.data.formats.catalog import FORMATS
from elr.data.formats.image_files.tars import TarShards
from elr.data.reading import format_of, read_data
from elr.data.records import ReadOptions
from elr.errors import DataError
from pictures import encoded
from tiny_tars import write_tar

WHITE = encoded(Image.new("RGB", (16, 16), "white"))


def pairs(*labels, key=None):
    for number, label in enumerate(labels):
        yield f"{number}.png", WHITE
        if key is None:
            yield f"{number}.cls", str(label).encode()
        else:
            yield f"{number}.json", json.dumps({key: label, "other": 1}).encode()


def test_a_folder_of_tars_is_told_from_a_folder_of_images(tmp_path):
    shard = write_tar(tmp_path / "shards" / "0.tar", pairs("a", "b"))
    assert format_of(shard) is format_of(shard.parent) is FORMATS["tars"]
    (tmp_path / "shards" / "a").mkdir()
    assert format_of(shard.parent) is FORMATS["folder"]


def test_numbers_and_keys_of_json_are_labels(tmp_path):
    write_tar(tmp_path / "0.tar", pairs(3, 1, key="kind"))
    write_tar(tmp_path / "1.tar", pairs(1, key="kind"))
    records = read_data(tmp_path, ReadOptions(label="kind"))
    assert records.labels == [3, 1, 1]
    assert records.ids == ["0.tar, 0", "0.tar, 1", "1.tar, 0"]


@pytest.mark.parametrize("key", [None, "kind"])
def test_a_corrected_copy_of_shards(tmp_path, key):
    options = ReadOptions(label=key)
    write_tar(tmp_path / "old" / "0.tar", [*pairs("a", "b", key=key), ("readme", b"text"), ("link", None)])
    write_tar(tmp_path / "old" / "1.tar", pairs("b", key=key))
    TarShards().write_corrected(tmp_path / "old", tmp_path / "new", options, {0: 1, 2: 0})
    assert TarShards().labels(tmp_path / "new", options) == ["b", "b", "a"]
    assert TarShards().pictures(tmp_path / "new", options, [2], [])[0].startswith("data:image/png;base64,")
    if key:
        assert b'"other": 1' in (tmp_path / "new" / "0.tar").read_bytes()
    assert b"readme" in (tmp_path / "new" / "0.tar").read_bytes()


def test_a_key_named_cls_in_a_json_is_corrected_there(tmp_path):
    shard = write_tar(tmp_path / "0.tar", pairs("a", "b", key="cls"))
    options = ReadOptions(label="cls")
    assert TarShards().labels(shard, options) == ["a", "b"]
    TarShards().write_corrected(shard, tmp_path / "new.tar", options, {0: 1})
    assert TarShards().labels(tmp_path / "new.tar", options) == ["b", "b"]


def test_what_tars_do_not_have(tmp_path):
    shard = write_tar(tmp_path / "0.tar", pairs("a", "b"))
    with pytest.raises(DataError, match="leave out --clean-label"):
        read_data(shard, ReadOptions(clean_label="right"))
    with pytest.raises(DataError, match="leave out --text"):
        read_data(shard, ReadOptions(text="title"))
    (tmp_path / "0.tar").rename(tmp_path / "0.tar.gz")
    with pytest.raises(DataError, match=r"0.tar.gz cannot be read as a tar \(it is compressed\)"):
        read_data(tmp_path, ReadOptions())
