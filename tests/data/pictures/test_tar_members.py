"""Tars as their headers tell them, against the standard library."""

import mmap
import tarfile

import pytest

from elr.data.pictures.tar_members import members, shown
from elr.errors import DataError
from tiny_tars import write_tar


def opened(path):
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found, others = members(path, content)
        return [(key, suffix, content[offset : offset + size]) for key, suffix, offset, size in found], others


FILES = [("a/1.PNG", b"image"), ("a/1.seg.txt", b"mask"), (".hidden", b""), ("plain", b"no suffix"), ("é.cls", b"7")]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_keys_end_at_the_first_dot_and_hidden_files_count_for_nothing(tmp_path, kind):
    found, others = opened(write_tar(tmp_path / "a.tar", FILES, kind))
    assert found == [(b"a/1", "png", b"image"), (b"a/1", "seg.txt", b"mask"), ("é".encode(), "cls", b"7")]
    assert others == 0


def test_links_are_counted_and_left_out(tmp_path):
    found, others = opened(write_tar(tmp_path / "a.tar", [("1.png", b"image"), ("2.png", None)]))
    assert [key for key, *_ in found] == [b"1"]
    assert others == 1


def test_a_tar_without_its_end_is_cut_short(tmp_path):
    path = write_tar(tmp_path / "a.tar", FILES)
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(DataError, match=r"a\.tar cannot be read as a tar \(it has no end mark: it is cut short\)"):
        opened(path)


def test_names_are_shown_without_what_would_steer_a_terminal():
    assert shown(b"caf\xe9\x1b[2J") == "'caf\\\\xe9\\x1b[2J'"


@pytest.mark.parametrize("size", [-512, -1024, -1])
def test_a_file_of_negative_size_does_not_send_the_library_round_for_ever(tmp_path, size):
    shard = write_tar(tmp_path / "a.tar", [("1.jpg", b"pixels"), ("1.cls", b"3")])
    content = bytearray(shard.read_bytes())
    header = content[1024:1536]
    header[124:136] = size.to_bytes(12, "big", signed=True)
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * ord(" "))
    content[1024:1536] = header
    shard.write_bytes(content)
    with pytest.raises(
        DataError, match=r"a\.tar cannot be read as a tar \('1\.cls' says that the next file lies before"
    ):
        opened(shard)
