"""Images that stay where they lie and are decoded when a batch asks for them: row i is row i for ever."""

from __future__ import annotations

import copy
import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from PIL import UnidentifiedImageError
from torch import Tensor

from elr.data.examples import StoredInputs, permutation
from elr.data.pictures.decoding import CENTER, Geometry, Square
from elr.errors import ArgumentError, DataError
from elr.names import printable

_PIECES_PER_CORE = 4  # into which a batch is cut
_HASHED_AT_ONCE = 10_000
HEAD = 32
"""Bytes from which one sees what kind of image a file holds."""
_NAMES = pa.large_binary()
_LEADS_OUT = r"(^|/)\.\.(/|$)|^/|\x00"


class ImageStore(StoredInputs):
    """Images on disk, (N, 3, crop, crop) uint8 as they are fetched.

    Reading and decoding take all cores (threads: decoders release the interpreter). The result depends on the file, the
    geometry and the place of the crop only, not on who asks or when.

    Args:
        geometry: what images are brought to.

    Example:
        >>> from elr.data.pictures.decoding import thumbnail
        >>> class Shades(ImageStore):
        ...     def _count(self):
        ...         return 3
        ...     def _name(self, row):
        ...         return f"shade {row}"
        ...     def _encoded(self, row):
        ...         return thumbnail(torch.full((3, 8, 8), row, dtype=torch.uint8))
        >>> Shades(Geometry(resize=8, crop=8)).fetch(torch.tensor([2]))[0, 0, 0, :3].tolist()
        [2, 2, 2]
    """

    def __init__(self, geometry: Geometry | Square | None = None) -> None:
        self.geometry: Geometry | Square = geometry or Geometry()
        self._rows: NDArray[np.int64] | None = None

    @abstractmethod
    def _count(self) -> int:
        """How many images there are in all."""

    @abstractmethod
    def _name(self, row: int) -> str:
        """Printable name of an image, for people."""

    @abstractmethod
    def _encoded(self, row: int) -> bytes:
        """The image as it is stored; an OSError or DataError where it cannot be read. Called from many threads."""

    def _order(self, rows: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        """A random order of the positions of `rows`, in which reading is fast; by default any order is."""
        return permutation(len(rows), generator)

    def identity(self) -> bytes:
        """32 bytes that tell these images, by where they lie, and this geometry from others."""
        rows = range(self._count()) if self._rows is None else self._rows
        digest = hashlib.sha256(repr((type(self).__name__, self.geometry, len(rows))).encode())
        self._identify(digest)
        digest.update(np.ascontiguousarray(rows, dtype=np.int64).data)
        return digest.digest()

    def _identify(self, digest: hashlib._Hash) -> None:
        """Tell a hash the names of all images, wherever they lie."""
        for row in range(self._count()):
            digest.update(self._name(row).encode() + b"\0")

    def __len__(self) -> int:
        return self._count() if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 3, crop, crop)."""
        return len(self), 3, self.geometry.crop, self.geometry.crop

    def name(self, position: int) -> str:
        """Printable name of an image."""
        return self._name(self._row(position))

    def encoded(self, position: int) -> bytes:
        """An image as it is stored."""
        return self._encoded(self._row(position))

    def head(self, position: int) -> bytes:
        """The first bytes of an image as it is stored; none where it cannot be read."""
        with suppress(OSError, DataError):
            return self._head(self._row(position))
        return b""

    def _head(self, row: int) -> bytes:
        return self._encoded(row)[:HEAD]

    def heads(self) -> Iterator[bytes]:
        """The first bytes of all images, some of them read at a time."""
        for start in range(0, len(self), _HASHED_AT_ONCE):
            yield from _pool().map(self.head, range(start, min(start + _HASHED_AT_ONCE, len(self))))

    def order(self, generator: torch.Generator) -> Tensor:
        """(N,) int32 or int64: a random order of all positions, by `generator` alone, in which reading them is fast."""
        rows = np.arange(self._count()) if self._rows is None else self._rows
        return self._order(rows, generator)

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """Which of all images were taken; None for all of them."""
        return self._rows

    def whole(self) -> ImageStore:
        """All images, of which some were taken."""
        whole = copy.copy(self)
        whole._rows = None
        return whole

    def places(self) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
        """Where all images lie, for `elr.data.pictures.image_index.ImageIndex`: columns, shards and settings."""
        return {"name": pa.array([self._name(row) for row in range(self._count())])}, [], {}

    def take(self, positions: NDArray[np.int64]) -> ImageStore:
        """A store of some of the images, in that order, over the same files."""
        taken = copy.copy(self)
        rows = np.asarray(positions, dtype=np.int64)
        taken._rows = rows if self._rows is None else self._rows[rows]
        return taken

    def brought_to(self, geometry: Geometry | Square) -> ImageStore:
        """The same images in another geometry."""
        changed = copy.copy(self)
        changed.geometry = geometry
        return changed

    def start(self, index: Tensor, places: Tensor | None = None) -> Callable[[], Tensor]:
        """Begin to fetch some images; the call that it gives waits for them: see `fetch`."""
        rows = index.tolist()
        at = [(CENTER, CENTER)] * len(rows) if places is None else [(y, x) for y, x in places.tolist()]
        side = self.geometry.crop
        images = np.empty((len(rows), side, side, 3), dtype=np.uint8)

        def decode(positions: range) -> None:
            for position in positions:
                images[position] = self._decoded(rows[position], at[position]).permute(1, 2, 0).numpy()

        size = max(1, len(rows) // (_PIECES_PER_CORE * (os.cpu_count() or 1)))
        pending = [
            _pool().submit(decode, range(first, min(first + size, len(rows)))) for first in range(0, len(rows), size)
        ]

        def wait() -> Tensor:
            for each in pending:
                each.result()
            return torch.from_numpy(images).permute(0, 3, 1, 2)

        return wait

    def fetch(self, index: Tensor, places: Tensor | None = None) -> Tensor:
        """Images (B, 3, crop, crop) uint8, in memory pixel by pixel (channels_last), as decoders give them.

        Args:
            index: (B,) int64 positions, on the CPU.
            places: (B, 2) in [0, 1], where each crop lies between top and bottom, and left and right; default: in the
                middle.

        Raises:
            DataError: an image is missing or cannot be read; it is named.
        """
        return self.start(index, places)()

    def unreadable(self) -> list[int]:
        """The positions of all images that cannot be decoded: all are, once, and nothing of them is kept."""

        def fails(position: int) -> bool:
            try:
                self._decoded(position, (CENTER, CENTER))
            except DataError:
                return True
            return False

        found: list[int] = []
        for start in range(0, len(self), _HASHED_AT_ONCE):
            positions = range(start, min(start + _HASHED_AT_ONCE, len(self)))
            failing = _pool().map(fails, positions)
            found += [position for position, failed in zip(positions, failing, strict=True) if failed]
        return found

    def __getitem__(self, rows: int | slice | Tensor) -> Tensor:
        if isinstance(rows, int | np.integer):
            return self.fetch(torch.tensor([int(rows)]))[0]
        return self.fetch(torch.arange(len(self))[rows])

    def _row(self, position: int) -> int:
        return position if self._rows is None else int(self._rows[position])

    def _decoded(self, position: int, place: tuple[float, float]) -> Tensor:
        row = self._row(position)
        try:
            return self.geometry.decode(self._encoded(row), place)
        except (ArgumentError, DataError, MemoryError):
            raise
        except Exception as error:  # decoders fail in many ways on damaged files
            own = isinstance(self.geometry, Square)
            advice = "mend or remove it and begin anew, or pass --skip-unreadable, which looks at all of them first"
            advice = advice if own else "get it again"
            raise DataError(f"image {self._name(row)} cannot be read ({_reason(error)}): {advice}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is empty or no image"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return " ".join(str(error).split())[:200] or type(error).__name__


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="elr-decode")


class FileImages(ImageStore):
    """Images in files below a folder.

    A name that leads out of the folder, by "..", from the root of the file system or through a symbolic link, is
    refused: the former two at once, the latter when the image is read.

    Args:
        root: the folder; it may itself be a link.
        names: N paths relative to it, "/" between their parts: as text, or as an Arrow array of bytes, which need not
            be UTF-8.
        geometry: what images are brought to.
        anywhere: whether names and links may lead out of the folder, where the list is the user's own.

    Raises:
        DataError: a name that leads out of the folder by itself.

    Example:
        >>> import tempfile
        >>> from elr.data.pictures.decoding import thumbnail
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "1.png").write_bytes(thumbnail(torch.zeros(3, 60, 40, dtype=torch.uint8)))
        ...     FileImages(Path(folder), ["1.png"], Geometry(resize=40, crop=32))[0].shape
        torch.Size([3, 32, 32])
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str] | pa.Array,
        geometry: Geometry | Square | None = None,
        *,
        anywhere: bool = False,
    ) -> None:
        super().__init__(geometry)
        self.anywhere = anywhere
        self.root = root if anywhere else Path(os.path.realpath(root))
        self.names: Any = (
            names if isinstance(names, pa.Array) else pa.array([os.fsencode(name) for name in names], _NAMES)
        )
        self._inside = os.fsencode(self.root) + b"/"
        self._plain_folders: dict[bytes, bool] = {}
        astray = None if anywhere else pc.match_substring_regex(self.names, _LEADS_OUT)
        if astray is not None and pc.any(astray).as_py():
            first = pc.filter(self.names, astray)[0].as_py()
            raise DataError(
                f"{printable(os.fsdecode(first))!r} leads out of {printable(self.root)}: expected names of files below "
                "that folder; do not use a list that has such names"
            )

    def _count(self) -> int:
        return len(self.names)

    def _path(self, row: int) -> bytes:
        return os.path.join(self._inside, self.names[row].as_py())  # noqa: PTH118

    def _name(self, row: int) -> str:
        return printable(os.fsdecode(self._path(row)))

    def _identify(self, digest: hashlib._Hash) -> None:
        for start in range(0, len(self.names), _HASHED_AT_ONCE):
            digest.update(b"\0".join(self.names.slice(start, _HASHED_AT_ONCE).to_pylist()) + b"\0")

    def _encoded(self, row: int) -> bytes:
        with self._opened(row) as file:
            return file.read()

    def _head(self, row: int) -> bytes:
        with self._opened(row) as file:
            return file.read(HEAD)

    def _opened(self, row: int) -> FileIO:
        path = self._path(row)
        if not self.anywhere and self._astray(path):
            raise DataError(
                f"image {self._name(row)} leads out of {printable(self.root)}: expected files below that folder; put a "
                "copy there, or make the folder itself the link"
            )
        # By bytes, for names that are no UTF-8; read at once, so that a buffer would only be in the way.
        return open(path, "rb", buffering=0)  # noqa: PTH123

    def _astray(self, path: bytes) -> bool:
        """Whether a link leads out of the folder; what is known of a folder inside it is kept."""
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder not in self._plain_folders:
            self._plain_folders[folder] = os.path.realpath(folder) == folder
        if self._plain_folders[folder] and not os.path.islink(path):  # noqa: PTH114
            return False
        return not os.path.realpath(path).startswith(self._inside)

    def places(self) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
        sizes, times = self.states()
        return {"name": self.names, "size": pa.array(sizes), "mtime": pa.array(times)}, [], {}

    def states(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Size in bytes and time of change in nanoseconds of each file; -1 of what is not there."""
        states = np.full((2, len(self.names)), -1, dtype=np.int64)
        for row in range(len(self.names)):
            with suppress(OSError):
                found = os.stat(self._path(row))  # noqa: PTH116 - bytes, for names that are no UTF-8
                states[:, row] = found.st_size, found.st_mtime_ns
        return states[0], states[1]

    def absent(self) -> list[str]:
        """The printable names of all images that have no file, found by listing folders: a second for 100,000."""
        listed: dict[bytes, set[bytes]] = {}
        missing = []
        for position in range(len(self)):
            folder, _, name = self._path(self._row(position)).rpartition(b"/")
            if folder not in listed:
                listed[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()  # noqa: PTH208, PTH112
            if name not in listed[folder]:
                missing.append(self.name(position))
        return missing
