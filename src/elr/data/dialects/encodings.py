"""Bytes of a text file as UTF-8, whatever they were written in, and back again."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from elr.data.dialects.layout import line_at
from elr.devices import free_memory
from elr.errors import DataError

_BYTE_ORDER_MARKS = [  # those of UTF-32 begin like those of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]
_OTHER_FILES = [
    (b"PK\x03\x04", "a zip archive, as Excel workbooks are: unpack it, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook: save the sheet as CSV"),
    (b"PAR1", "a Parquet file: call it .parquet"),
    (b"ARROW1", "an Arrow file: call it .feather"),
    (b"\xfd7zXZ\x00", "compressed by xz: unpack it first"),
    (b"BZh91AY&SY", "compressed by bzip2: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"Rar!\x1a\x07", "a rar archive: unpack it first"),
    (b"%PDF-", "a PDF: get its table as CSV"),
    (b"\x93NUMPY", "an array of NumPy: call it .npy"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"SQLite format 3\x00", "a database of SQLite: write its table as CSV"),
    (b"version https://git-lfs", "a pointer to a file in Git LFS: fetch the file itself with git lfs pull"),
]
_COPIES, _AT_ONCE = 4, 2**26  # of a text while it is read; bytes unpacked at a time
_PAGE = re.compile(rb"\s*<(!doctype|!--|html|head|body|\?xml)", re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_TWICE_ENCODED = re.compile(b"\xc3[\x82\x83]\xc2[\x80-\xbf]|\xc3\xa2\xe2\x82\xac")  # what UTF-8 read as cp1252 becomes
_LOST = "\ufffd".encode()
_SAMPLE = 100_000
_FEW = 40  # bytes beyond ASCII, of which no statistics can be made
_DOS_LETTERS = re.compile(rb"(?<=[A-Za-z])([\x81\x82\x84\x8d]|[\x87-\x89\x8b\x93\x94](?=[a-z]))")
_WINDOWS_LETTERS = re.compile(rb"[\xc0-\xe0\xe2-\xff]")  # but for what is a sharp s in DOS
_WESTERN = {"latin_1", "cp1252", "iso8859_15", "iso8859_1", "ascii", "cp1250", "cp1254", "iso8859_9", "mac_roman"}


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedText:
    """A text file as UTF-8, and how to write it back.

    Args:
        content: in UTF-8, without a byte order mark.
        encoding: of the file.
        mark: its byte order mark.
        packed: whether the file is compressed by gzip.
        remarks: what the user should know.

    Example:
        >>> text = DecodedText(content="é".encode(), encoding="latin-1")
        >>> text.encode("è".encode())
        b'\\xe8'
    """

    content: bytes
    encoding: str = "utf-8"
    mark: bytes = b""
    packed: bool = False
    remarks: tuple[str, ...] = ()

    def encode(self, content: bytes) -> bytes:
        """Other content as the file would have it."""
        plain = content if self.encoding == "utf-8" else content.decode("utf-8").encode(self.encoding)
        return gzip.compress(self.mark + plain, mtime=0) if self.packed else self.mark + plain


def read_text(path: Path, encoding: str | None = None, *, place: str | None = None) -> DecodedText:
    """The content of a text file.

    Args:
        path: the file, which may be compressed by gzip.
        encoding: by default that of its byte order mark, UTF-8 where that fits, or else the likeliest.
        place: how messages name the file, if not by its path.

    Raises:
        DataError: no text, not in that encoding, or an encoding that there is not.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "t.csv")
        ...     _ = path.write_bytes("x,y\\n1,ja\\n".encode("utf-16"))
        ...     read_text(path).content, read_text(path).encoding
        (b'x,y\\n1,ja\\n', 'utf-16-le')
    """
    content, place = path.read_bytes(), place or str(path)
    packed = content.startswith(_GZIP)
    if packed:
        content = _unpacked(content, place)
    for begin, what in _OTHER_FILES:
        if content.startswith(begin):
            raise DataError(f"{place} is no text but {what}")
    if _PAGE.match(content[:100]):
        raise DataError(f"{place} is a page of HTML or XML, not a table: download the file itself")
    mark, marked = next(((mark, name) for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), (b"", None))
    content = content[len(mark) :]
    remarks: list[str] = []
    if encoding is None:
        encoding = marked or _likeliest(content)
        if encoding != "utf-8" and not marked:
            remarks.append(_guess_told(content, encoding, place))
    elif _is_single_byte(encoding) and (marked or _is_utf8(content)):
        remarks.append(f"{place} is {marked or 'utf-8'}, not {encoding} as was named: read so")
        encoding = marked or "utf-8"
    text = _in_utf8(content, encoding, place)
    while text.startswith(codecs.BOM_UTF8):  # of a file that was given one twice
        text, mark = text[len(codecs.BOM_UTF8) :], mark + "\ufeff".encode(encoding)
    _refuse_zeros(text, place)
    remarks += _damage(text, place)
    name = codecs.lookup(encoding).name
    return DecodedText(content=text, encoding=name, mark=mark, packed=packed, remarks=tuple(remarks))


def _likeliest(content: bytes) -> str:
    if content.isascii() and b"\0" not in content[:_SAMPLE]:
        return "utf-8"
    head = content[: 1000 - 1000 % 4]
    if head.count(b"\0") > len(head) // 4:  # UTF-16 without a mark: every other byte of Western text is zero
        return "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
    return "utf-8" if content.isascii() or _is_utf8(content) else _other_encoding(content)


def _is_utf8(content: bytes) -> bool:
    """Whether characters beyond ASCII, of which there are some, are in UTF-8: no other encoding looks so by chance."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not content.isascii()


def _is_single_byte(encoding: str) -> bool:
    try:
        return len("é".encode(encoding, "replace")) == 1
    except LookupError:
        return False


def _other_encoding(content: bytes) -> str:
    """The likeliest encoding of bytes that are not UTF-8."""
    from charset_normalizer import from_bytes  # only few files need it

    lines = [line for line in re.split(rb"[\r\n]+", content) if not line.isascii()]
    sample = b"\n".join(lines)[:_SAMPLE]
    words = {word for word in re.split(rb"[\x00-\x40]+", sample) if not word.isascii()}
    beyond, different = (sum(byte > 127 for byte in text) for text in (sample, b"".join(words)))
    accents = different < _FEW and 2 * different <= sum(map(len, words))  # the same few words, of Latin letters
    best = from_bytes(sample).best() if beyond >= _FEW and not accents else None
    found = best.encoding if best is not None else "cp1252"
    if found in _WESTERN:
        found = "cp850" if _is_dos(content) else "cp1252"
    for name in (found, "cp1252", "latin-1"):
        try:
            content.decode(name)
            return name
        except UnicodeDecodeError:
            continue
    return "latin-1"  # which reads anything


def _is_dos(content: bytes) -> bool:
    """Whether words have letters of DOS where Windows has no letters, and more of them than others of Windows."""
    return len(_DOS_LETTERS.findall(content)) > len(_WINDOWS_LETTERS.findall(content))


def _guess_told(content: bytes, encoding: str, place: str) -> str:
    if encoding.startswith("utf-16"):
        return f"{place} is in {encoding}, without a mark that says so"
    found = re.search(rb"[^\r\n]*[\x80-\xff][^\r\n]*", content)
    start = found.start() if found else 0
    line = content[start : found.end() if found else 0].decode(encoding, "replace").strip()
    first = next((place for place, letter in enumerate(line) if ord(letter) > 127), 0)
    return (
        f"{place} is not UTF-8: taken for {encoding}, in which line {line_at(content, start)} has "
        f"{line[max(0, first - 20) : first + 20]!r}; if that is wrong, name it with --encoding (encoding=...)"
    )


def _in_utf8(content: bytes, encoding: str, place: str) -> bytes:
    try:
        if codecs.lookup(encoding).name == "utf-8":
            if not content.isascii():
                content.decode("utf-8")
            return content
        return content.decode(encoding).encode("utf-8")
    except (LookupError, ValueError) as error:
        if isinstance(error, UnicodeDecodeError):
            line = line_at(content, error.start)
            raise DataError(
                f"line {line} of {place} is not {encoding} ({error.reason}): name its encoding with --encoding "
                "(encoding=...), or leave that out to have it found"
            ) from error
        if isinstance(error, UnicodeEncodeError):
            raise DataError(f"{place} holds half characters (surrogates) in {encoding}: save it as UTF-8") from error
        raise DataError(f"{encoding!r} is no encoding: expected one such as utf-8, latin-1, cp1252, gb18030") from error


def _refuse_zeros(text: bytes, place: str) -> None:
    zero = text.find(b"\0")
    if zero >= 0:
        raise DataError(
            f"line {line_at(text, zero)} of {place} has a zero byte: no text has one; save the file anew as UTF-8"
        )


def _damage(text: bytes, place: str) -> list[str]:
    """What earlier programs did to characters."""
    if text.isascii():
        return []
    remarks = []
    if found := _TWICE_ENCODED.search(text):
        start = max(text.rfind(b"\n", 0, found.start()) + 1, found.start() - 20)
        shown = text[start : found.end() + 10].decode("utf-8", "ignore").splitlines()[0]
        remarks.append(
            f"{place} was saved with a wrong encoding once: line {line_at(text, found.start())} has {shown!r} (UTF-8 "
            "read as cp1252); such cells are read as they stand"
        )
    if count := text.count(_LOST):
        line = line_at(text, text.find(_LOST))
        remarks.append(
            f"{place} has {count} characters that were lost when it was saved (\ufffd), first in line {line}"
        )
    return remarks


def _unpacked(content: bytes, place: str) -> bytes:
    """What a file of gzip holds, as long as there is memory for it: a megabyte can hold a thousand."""
    most, parts, size = free_memory() // _COPIES, [], 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            while part := file.read(_AT_ONCE):
                parts.append(part)
                size += len(part)
                if size > most:
                    raise DataError(
                        f"{place} unpacks to more than {most // 10**6:,} MB, for which there is no memory: expected a "
                        "table that fits into a quarter of what is free; unpack it and take a part, or a larger machine"
                    )
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{place} cannot be unpacked by gzip ({error}): get it again") from error
    return b"".join(parts)
