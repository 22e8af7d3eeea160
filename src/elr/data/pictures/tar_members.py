"""Where the files of an uncompressed tar lie in it, and which of them belong together."""

from __future__ import annotations

import mmap
import tarfile
from collections.abc import Iterator
from pathlib import Path

from elr.errors import DataError
from elr.names import printable

_BLOCK = 512  # bytes, of which tars are made

Member = tuple[bytes, str, int, int]
"""Key, suffix in small letters, offset and size in bytes."""


def members(shard: Path, content: mmap.mmap) -> tuple[list[Member], int]:
    """The regular files of a tar in their order, and how many members it has that are none.

    Args:
        shard: its path.
        content: what it holds.

    Raises:
        DataError: compressed, cut short, or no tar.

    Example:
        >>> import io, tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     shard = Path(root) / "train-000.tar"
        ...     with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as tar:
        ...         for name, data in (("7.jpg", b"pixels"), ("7.cls", b"3")):
        ...             entry = tarfile.TarInfo(name)
        ...             entry.size = len(data)
        ...             tar.addfile(entry, io.BytesIO(data))
        ...     with shard.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        ...         members(shard, content)
        ([(b'7', 'jpg', 512, 6), (b'7', 'cls', 1536, 1)], 0)
    """
    if content[:2] == b"\x1f\x8b":
        raise damaged(shard, "it is compressed")
    try:
        found, others = list(_plain_members(content)), 0
    except _OddHeaderError:  # long names, links and the like are left to the standard library
        found, others = _all_members(shard, content)
    except _DamagedHeaderError:
        raise damaged(shard, "what should be the header of a file is none") from None
    if content[-_BLOCK:] != bytes(_BLOCK):
        raise damaged(shard, "it has no end mark: it is cut short")
    for name, offset, size in found:
        if offset + size > len(content):
            raise damaged(shard, f"{shown(name)} ends after it does: it is cut short")
    return [member for entry in found if (member := _parsed(*entry)) is not None], others


def _parsed(name: bytes, offset: int, size: int) -> Member | None:
    found = example_of(name)
    return None if found is None else (*found, offset, size)


def example_of(name: bytes) -> tuple[bytes, str] | None:
    """The example that a member belongs to, and its suffix in small letters; None where it belongs to none.

    WebDataset's rule: the key is the path up to the first dot of its last part; hidden files count for nothing.

    Example:
        >>> example_of(b"cats/7.seg.PNG"), example_of(b"cats/.hidden")
        ((b'cats/7', 'seg.png'), None)
    """
    folder, slash, base = name.rpartition(b"/")
    stem, dot, suffix = base.partition(b".")
    return (folder + slash + stem, suffix.decode("latin-1").lower()) if stem and dot else None


class _DamagedHeaderError(Exception):
    """A header whose checksum is not its own."""


class _OddHeaderError(Exception):
    """A header that is not that of a plain file."""


def _plain_members(content: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and size of each file of a tar that has plain files only: many times as fast as the library."""
    position, end = 0, bytes(_BLOCK)
    while position + _BLOCK <= len(content):
        header = content[position : position + _BLOCK]
        if header == end:
            return
        told = header[148:156].strip(b"\0 ")
        if not told.isdigit() or int(told, 8) != sum(header) - sum(header[148:156]) + 8 * ord(" "):
            raise _DamagedHeaderError
        size = header[124:136].strip(b"\0 ")
        plain = header[257:262] == b"ustar" and header[156:157] in (b"0", b"\0") and header[345:346] == b"\0"
        if not plain or not size.isdigit():
            raise _OddHeaderError
        yield header[:100].rstrip(b"\0"), position + _BLOCK, int(size, 8)
        position += _BLOCK + -(-int(size, 8) // _BLOCK) * _BLOCK


def _all_members(shard: Path, content: mmap.mmap) -> tuple[list[tuple[bytes, int, int]], int]:
    found, others, last = [], 0, -1
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                if member.size < 0 or member.offset <= last:  # the library would go round for ever
                    raise ValueError(f"{member.name[:100]!r} says that the next file lies before it")
                last = member.offset
                if member.isreg():
                    name = member.name.encode("utf-8", "surrogateescape")
                    found.append((name, member.offset_data, member.size))
                else:
                    others += 1
            stopped = tar.offset
    except (tarfile.TarError, EOFError, OSError, OverflowError, ValueError) as error:
        raise damaged(shard, str(error)) from error
    if content[stopped : stopped + _BLOCK].strip(b"\0"):  # the library takes such a place for the end
        raise damaged(shard, "what should be the header of a file is none")
    return found, others


def shown(name: bytes) -> str:
    """A name for a message.

    Example:
        >>> shown("café".encode())
        "'café'"
    """
    return repr(printable(name.decode("utf-8", "surrogateescape"))[:100])


def damaged(shard: Path, reason: str) -> DataError:
    """The error of a tar that cannot be read.

    Example:
        >>> raise damaged(Path("train-000.tar"), "it is empty")
        Traceback (most recent call last):
        elr.errors.DataError: train-000.tar cannot be read as a tar (it is empty): expected one that is whole ...
    """
    return DataError(
        f"{printable(shard)} cannot be read as a tar ({reason}): expected one that is whole and not compressed; get it "
        "again, or decompress it"
    )
