"""Encodings: what is found, said and written back."""

import bz2
import gzip
import lzma

import pytest

from elr.data.dialects.encodings import read_text
from elr.errors import DataError

RUSSIAN = "это просто текст для проверки\n" * 4


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("plain\n", "ascii", "utf-8"),
        ("é\n", "utf-8", "utf-8"),
        ("é\n", "utf-8-sig", "utf-8"),
        ("é\n", "utf-16", "utf-16-le"),
        ("é\n", "utf-32", "utf-32-le"),
        ("plain text\n", "utf-16-be", "utf-16-be"),
        ("café\n", "cp1252", "cp1252"),
        ("“café” 5 €\n", "cp1252", "cp1252"),
        (RUSSIAN, "cp1251", "cp1251"),
        ("这是一个测试文本" * 10, "gb18030", "gb18030"),
    ],
)
def test_a_file_is_read_and_written_back(tmp_path, text, encoding, found):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    read = read_text(path)
    assert (read.content.decode(), read.encoding) == (text, found)
    assert read.encode(read.content) == path.read_bytes()
    assert bool(read.remarks) == (encoding in ("utf-16-be", "cp1252", "cp1251", "gb18030"))


def test_a_compressed_file(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"x,y\n"))
    read = read_text(path)
    assert read.content == b"x,y\n"
    assert gzip.decompress(read.encode(b"z")) == b"z"


def test_the_name_in_messages(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"abc,def\0\n")
    with pytest.raises(DataError, match="line 1 of it has a zero byte"):
        read_text(path, place="it")
    path.write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"line 1 of it is not utf-8 .*--encoding"):
        read_text(path, "utf-8", place="it")


def test_a_compressed_file_that_is_damaged_or_too_large(tmp_path, monkeypatch):
    path, whole = tmp_path / "t.csv.gz", gzip.compress(b"x,y\n" * 1000)
    for content in (whole[:-20], whole[:11], whole[:-8] + bytes(8)):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"t\.csv\.gz cannot be unpacked by gzip \(.*: get it again"):
            read_text(path)
    path.write_bytes(whole)
    assert len(read_text(path).content) == 4000
    monkeypatch.setattr("elr.data.dialects.encodings.free_memory", lambda: 4 * 3999)
    with pytest.raises(DataError, match=r"t\.csv\.gz unpacks to more than .* for which there is no memory"):
        read_text(path)


def test_a_file_that_was_given_two_byte_order_marks(tmp_path):
    path = tmp_path / "t.csv"
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes("\ufeffx,y\n1,ja\n".encode(encoding))
        found = read_text(path)
        assert found.content == b"x,y\n1,ja\n"
        assert found.encode(found.content) == path.read_bytes()


def test_few_words_with_accents_are_western_however_often_they_stand(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"x,y\n" + "1,n\u00e9\n2,o\u00f9\n".encode("latin-1") * 60)
    assert "o\u00f9" in read_text(path).content.decode()
    path.write_bytes("1,\u9593\u9055\u3044\n2,\u6b63\u3057\u3044\n".encode("shift_jis") * 60)
    assert "\u6b63\u3057\u3044" in read_text(path).content.decode()


@pytest.mark.parametrize("words", ["grün weiß", "schön größer", "café élève", "Müller Jäger"])
@pytest.mark.parametrize("count", [1, 60])
def test_western_words_are_read_in_the_encoding_of_dos_and_of_windows(tmp_path, words, count):
    path = tmp_path / "t.csv"
    rows = "x,y\n" + "".join(f"{row},{word}\n" for row in range(count) for word in words.split())
    for encoding in ("cp850", "cp1252"):
        path.write_bytes(rows.encode(encoding))
        found = read_text(path)
        assert (found.content.decode(), found.encoding) == (rows, encoding)
        assert f"taken for {encoding}" in found.remarks[0]


@pytest.mark.parametrize("words", ["don\u2019t", "\u201eja\u201c", "\u20ac 5 \u2026", "na\u00efve\u2014no"])
def test_marks_of_windows_are_no_letters_of_dos(tmp_path, words):
    (tmp_path / "t.csv").write_bytes(f"x,y\n1,{words}\n".encode("cp1252"))
    assert words in read_text(tmp_path / "t.csv").content.decode()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (lzma.compress(b"x,y\n1,2\n"), "compressed by xz: unpack it"),
        (bz2.compress(b"x,y\n1,2\n"), "compressed by bzip2: unpack it"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer to a file in Git LFS"),
        (b"<head><title>404</title></head>", "HTML"),
    ],
)
def test_files_that_are_something_else_are_named(tmp_path, content, what):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=what):
        read_text(tmp_path / "t.csv")
