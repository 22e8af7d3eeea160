"""Images that stay where they lie and are decoded when a batch asks for them: row i is row i for ever."""

from __future__ import annotations

import copy
import hashlib
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from elr.data.images import MOST_PIXELS, as_rgb
from elr.errors import ArgumentError, DataError
from elr.files import printable

_CENTER = 0.5
_AT_ONCE = 1000
_TASKS_PER_CORE = 4  # into which a batch is cut
_HASHED_AT_ONCE = 10_000
_FRAMES = (0xC0, 0xC1, 0xC2)  # JPEG's markers: of baseline, extended and progressive frames, which have the size,
_EXIF, _ADOBE = 0xE1, 0xEE  # of records that may turn the image, or say that its colors are not those of a JPEG,
_SEGMENTS = (0xC4, 0xFE)  # and of all segments that have a length
_RGB_MODE = 3  # of torchvision's ImageReadMode
_NAMES = pa.large_binary()
_LEADS_OUT = r"(^|/)\.\.(/|$)|^/|\x00"


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What an image is brought to: its shorter side to `resize` pixels, then a square of `crop` pixels is cut out.

    Args:
        resize: pixels, at least `crop`. Default 256, as the paper for Clothing1M.
        crop: pixels, at least 1. Default 224, as the paper for Clothing1M.

    Raises:
        ArgumentError: sizes out of range.

    Source: Liu et al., NeurIPS 2020, appendix G.
    """

    resize: int = 256
    crop: int = 224

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ArgumentError(f"crop is {self.crop}, resize {self.resize}: expected 1 <= crop <= resize pixels")


class ImageStore(ABC):
    """Images on disk, (N, 3, crop, crop) uint8 as they are fetched.

    Reading and decoding take all cores (threads: decoders release the interpreter). The result depends on the file, the
    geometry and the place of the crop only, not on who asks or when.

    Args:
        geometry: what images are brought to.
    """

    def __init__(self, geometry: Geometry | None = None) -> None:
        self.geometry = geometry or Geometry()
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
        return torch.randperm(len(rows), generator=generator)

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

    def order(self, generator: torch.Generator) -> Tensor:
        """(N,) int64: a random order of all positions, by `generator` alone, in which reading them is fast."""
        rows = np.arange(self._count()) if self._rows is None else self._rows
        return self._order(rows, generator)

    def take(self, positions: NDArray[np.int64]) -> ImageStore:
        """A store of some of the images, in that order, over the same files."""
        taken = copy.copy(self)
        rows = np.asarray(positions, dtype=np.int64)
        taken._rows = rows if self._rows is None else self._rows[rows]
        return taken

    def brought_to(self, geometry: Geometry) -> ImageStore:
        """The same images in another geometry."""
        changed = copy.copy(self)
        changed.geometry = geometry
        return changed

    def start(self, index: Tensor, places: Tensor | None = None) -> Callable[[], Tensor]:
        """Begin to fetch some images; the call that it gives waits for them: see `fetch`."""
        rows = index.tolist()
        at = [(_CENTER, _CENTER)] * len(rows) if places is None else [(y, x) for y, x in places.tolist()]
        side = self.geometry.crop
        images = np.empty((len(rows), side, side, 3), dtype=np.uint8)

        def decode(positions: range) -> None:
            for position in positions:
                images[position] = self._decoded(rows[position], at[position]).permute(1, 2, 0).numpy()

        size = max(1, len(rows) // (_TASKS_PER_CORE * (os.cpu_count() or 1)))
        pending = [
            _pool().submit(decode, range(first, min(first + size, len(rows)))) for first in range(0, len(rows), size)
        ]

        def wait() -> Tensor:
            for task in pending:
                task.result()
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

    def __getitem__(self, rows: int | slice | Tensor) -> Tensor:
        if isinstance(rows, int | np.integer):
            return self.fetch(torch.tensor([int(rows)]))[0]
        return self.fetch(torch.arange(len(self))[rows])

    def _row(self, position: int) -> int:
        return position if self._rows is None else int(self._rows[position])

    def _decoded(self, position: int, place: tuple[float, float]) -> Tensor:
        row = self._row(position)
        try:
            return decode_crop(self._encoded(row), self.geometry, place)
        except DataError:
            raise
        except Exception as error:  # decoders fail in many ways on damaged files
            raise DataError(f"image {self._name(row)} cannot be read ({_reason(error)}): get it again") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is empty or no image"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return " ".join(str(error).split())[:200] or type(error).__name__


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="elr-decode")


def decode_crop(encoded: bytes, geometry: Geometry, place: tuple[float, float] = (_CENTER, _CENTER)) -> Tensor:
    """One encoded image as (3, crop, crop) uint8: shorter side to `resize`, then the crop at `place`.

    Only the part of the image that the crop shows is resized; bilinear with antialiasing. A JPEG of more than twice the
    size is decoded at a half, a quarter or an eighth of it.

    Args:
        encoded: the file's bytes.
        geometry: the sizes.
        place: (y, x) in [0, 1], of the crop between top and bottom, and left and right.

    Raises:
        Exception: whatever decoders raise on what is no image; ValueError for one of too many pixels.
    """
    pixels = _pixels(encoded, geometry.resize)
    height, width = pixels.shape[:2]
    scale = min(height, width) / geometry.resize
    window = geometry.crop * scale
    top, left = place[0] * (height - window), place[1] * (width - window)
    rows, columns = (_span(start, window, length) for start, length in ((top, height), (left, width)))
    # Copied by NumPy, since torch would wake its own threads in each of ours; and with a batch axis that has a stride,
    # since without one torch does not see that pixels lie together, and takes half as long again.
    shown = torch.from_numpy(np.ascontiguousarray(pixels[rows, columns]))
    part = shown.view(1, *shown.shape).permute(0, 3, 1, 2)
    size = (geometry.crop, geometry.crop)
    if part.shape[2:] == size:
        return part[0]
    return F.interpolate(part, size=size, mode="bilinear", antialias=True)[0]


def _span(start: float, window: float, length: int) -> slice:
    """The pixels that a window touches, at least one."""
    first = min(max(0, round(start)), length - 1)
    return slice(first, max(first + 1, min(length, round(start + window))))


def _pixels(encoded: bytes, resize: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, upright, shorter side at least `resize` where the image has it."""
    shape = _plain_jpeg(encoded)
    if shape is not None:
        _check_pixels(*shape)
    if shape is not None and min(shape) < 2 * resize and (decode := _jpeg_decoder()):
        planes = decode(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), _RGB_MODE, False)
        return planes.permute(1, 2, 0).numpy()
    with Image.open(io.BytesIO(encoded)) as image:
        _check_pixels(image.height, image.width)
        image.draft("RGB", (resize, resize))
        return np.array(as_rgb(ImageOps.exif_transpose(image)))


def _check_pixels(height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"it has {width:,} x {height:,} pixels, more than {MOST_PIXELS:,}: too large, or a decompression bomb"
        )


def _plain_jpeg(encoded: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG in gray or color that no EXIF record can turn; None for all else.

    Pillow would say it too, in a tenth of the time that decoding takes.
    """
    if encoded[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 10 <= len(encoded) and encoded[position] == 0xFF:
        kind, length = encoded[position + 1], int.from_bytes(encoded[position + 2 : position + 4], "big")
        if kind in _FRAMES:
            height, width = (int.from_bytes(encoded[at : at + 2], "big") for at in (position + 5, position + 7))
            return (height, width) if encoded[position + 9] in (1, 3) and height and width else None
        if kind in (_EXIF, _ADOBE) or not _SEGMENTS[0] <= kind <= _SEGMENTS[1]:
            return None
        position += 2 + length
    return None


@cache
def _jpeg_decoder() -> Callable[..., Tensor] | None:
    """torchvision's operator, faster than Pillow where nothing can be left out; None where it has none.

    Its public function warns at each call, since torchvision 0.29, that it will be removed.
    """
    import torchvision.io  # noqa: F401 - registers it; a second that other data need not wait for

    return getattr(torch.ops.image, "decode_jpeg", None)


class FileImages(ImageStore):
    """Images in files below a folder.

    A name that leads out of the folder, by "..", from the root of the file system or through a symbolic link, is
    refused: the former two at once, the latter when the image is read.

    Args:
        root: the folder; it may itself be a link.
        names: N paths relative to it, "/" between their parts: as text, or as an Arrow array of bytes, which need not
            be UTF-8.
        geometry: what images are brought to.

    Raises:
        DataError: a name that leads out of the folder by itself.
    """

    def __init__(self, root: Path, names: Sequence[str] | pa.Array, geometry: Geometry | None = None) -> None:
        super().__init__(geometry)
        self.root = Path(os.path.realpath(root))
        self.names: Any = (
            names if isinstance(names, pa.Array) else pa.array([os.fsencode(name) for name in names], _NAMES)
        )
        self._inside = os.fsencode(self.root) + b"/"
        self._plain_folders: dict[bytes, bool] = {}
        astray = pc.match_substring_regex(self.names, _LEADS_OUT)
        if pc.any(astray).as_py():
            first = pc.filter(self.names, astray)[0].as_py()
            raise DataError(
                f"{printable(os.fsdecode(first))!r} leads out of {printable(self.root)}: expected names of files below "
                "that folder; do not use a list that has such names"
            )

    def _count(self) -> int:
        return len(self.names)

    def _path(self, row: int) -> bytes:
        return self._inside + self.names[row].as_py()

    def _name(self, row: int) -> str:
        return printable(os.fsdecode(self._path(row)))

    def _identify(self, digest: hashlib._Hash) -> None:
        for start in range(0, len(self.names), _HASHED_AT_ONCE):
            digest.update(b"\0".join(self.names.slice(start, _HASHED_AT_ONCE).to_pylist()) + b"\0")

    def _encoded(self, row: int) -> bytes:
        path = self._path(row)
        if self._astray(path):
            raise DataError(
                f"image {self._name(row)} leads out of {printable(self.root)}: expected files below that folder; put a "
                "copy there, or make the folder itself the link"
            )
        with open(path, "rb") as file:  # noqa: PTH123 - bytes, for names that are no UTF-8
            return file.read()

    def _astray(self, path: bytes) -> bool:
        """Whether a link leads out of the folder; what is known of a folder inside it is kept."""
        folder = os.path.dirname(path)  # noqa: PTH120
        if folder not in self._plain_folders:
            self._plain_folders[folder] = os.path.realpath(folder) == folder
        if self._plain_folders[folder] and not os.path.islink(path):  # noqa: PTH114
            return False
        return not os.path.realpath(path).startswith(self._inside)

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


def images_per_call(side: int) -> int:
    """How many images of a side are decoded or predicted at a time: 1000 up to 64 pixels, fewer above.

    Example:
        >>> images_per_call(32), images_per_call(224)
        (1000, 81)
    """
    return max(1, int(_AT_ONCE * min(1.0, (64 / max(side, 1)) ** 2)))
