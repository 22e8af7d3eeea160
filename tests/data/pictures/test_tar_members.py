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
