"""Images in shards, WebDataset's tars or Parquet files: rows are numbered by shard and place, read in any order."""

from __future__ import annotations

import json
import mmap
import os
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from elr.data.pictures.decoding import IMAGE_SUFFIXES, Geometry, Square
from elr.data.pictures.image_index import ImageIndex, file_state
from elr.data.pictures.image_store import HEAD, ImageStore
from elr.data.pictures.tar_members import damaged, members, shown
from elr.errors import DataError
from elr.names import plain_name, printable

KEPT_BYTES = 2**29
"""Of Parquet files, read ahead of their use."""
_LABEL, _JSON, _KEY = "cls", "json", "label"
_Example = tuple[bytes, int, int, int | str | None]


class ShardedImages(ImageStore):
    """Images whose rows run through several files.

    Args:
        shards: the files.
        counts: images of each.
        geometry: what images are brought to.

    Example:
        >>> class Blank(ShardedImages):
        ...     def _key(self, shard, place):
        ...         return f"image {place}"
        ...     def _encoded(self, row):
        ...         return b""
        >>> Blank([Path("a.bin"), Path("b.bin")], [2, 3]).name(3)
        'b.bin, image 1'
    """

    def __init__(
        self, shards: Sequence[Path], counts: Sequence[int], geometry: Geometry | Square | None = None
    ) -> None:
        super().__init__(geometry)
        self.shards = list(shards)
        self.starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _count(self) -> int:
        return int(self.starts[-1])

    def _place(self, row: int) -> tuple[int, int]:
        """Number of the shard of a row, and its place there."""
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        return shard, row - int(self.starts[shard])

    def places(self) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
        counts = np.diff(self.starts)
        shards = [{"name": shard.name} | file_state(os.fsencode(shard)) for shard in self.shards]
        column = pa.array(np.repeat(np.arange(len(shards), dtype=np.int32), counts))
        return {"shard": column}, shards, {"counts": counts.tolist()}

    @abstractmethod
    def _key(self, shard: int, place: int) -> str:
        """What an example is called in its shard."""

    def _name(self, row: int) -> str:
        shard, place = self._place(row)
        return f"{printable(self.shards[shard].name)}, {self._key(shard, place)}"


class TarImages(ShardedImages):
    """Images in uncompressed tars, read at their place without unpacking.

    Args:
        shards: the tars.
        counts: examples of each.
        keys: (N,) Arrow array of bytes, names of the examples.
        offsets: (N,) int64, where each image begins in its tar, in bytes.
        sizes: (N,) int64, of each image in bytes.
        geometry: what images are brought to.

    Example:
        >>> import io, tempfile
        >>> from PIL import Image
        >>> picture = io.BytesIO()
        >>> Image.new("RGB", (8, 8), "white").save(picture, "PNG")
        >>> with tempfile.TemporaryDirectory() as root:
        ...     shard = Path(root) / "train-000.tar"
        ...     _ = shard.write_bytes(bytes(512) + picture.getvalue())  # where `members` found it
        ...     images = TarImages(
        ...         [shard],
        ...         [1],
        ...         keys=pa.array([b"7"], pa.large_binary()),
        ...         offsets=np.array([512]),
        ...         sizes=np.array([len(picture.getvalue())]),
        ...     )
        ...     images.name(0), images[0].shape
        ('train-000.tar, 7', torch.Size([3, 224, 224]))
    """

    def __init__(
        self,
        shards: Sequence[Path],
        counts: Sequence[int],
        *,
        keys: Any,
        offsets: NDArray[np.int64],
        sizes: NDArray[np.int64],
        geometry: Geometry | Square | None = None,
    ) -> None:
        super().__init__(shards, counts, geometry)
        self.keys, self.offsets, self.sizes = keys, offsets, sizes

    @classmethod
    def indexed(cls, shards: Sequence[Path], index: ImageIndex) -> TarImages:
        """The images of a run that goes on; a CheckpointError where the tars are not those of its index."""
        index.check_shards(shards)
        offsets, sizes = (index.table.column(name).to_numpy() for name in ("offset", "size"))
        images = cls(shards, index.settings["counts"], keys=index.column("name"), offsets=offsets, sizes=sizes)
        index.check_kind(images)
        return images

    def places(self) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
        columns, shards, settings = super().places()
        columns |= {"name": self.keys, "offset": pa.array(self.offsets), "size": pa.array(self.sizes)}
        return columns, shards, settings

    def _key(self, shard: int, place: int) -> str:
        return printable(self.keys[int(self.starts[shard]) + place].as_py().decode("utf-8", "surrogateescape"))

    def _encoded(self, row: int) -> bytes:
        return self._read(row, int(self.sizes[row]))

    def _head(self, row: int) -> bytes:
        return self._read(row, min(HEAD, int(self.sizes[row])))

    def _read(self, row: int, size: int) -> bytes:
        shard = self.shards[self._place(row)[0]]
        with shard.open("rb") as file:
            file.seek(int(self.offsets[row]))
            content = file.read(size)
        if len(content) < size:
            raise damaged(shard, "it is shorter than it was when it was opened")
        return content


class ParquetImages(ShardedImages):
    """Images in a column of Parquet files.

    Groups of rows are read whole and kept, by default up to half a gigabyte of them; `order` goes through half as many
    at a time, so that each is read about once in an epoch.

    Args:
        shards: the files.
        column: of the images.
        geometry: what images are brought to.
        kept_bytes: of the groups that are kept.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     file = Path(root) / "train-000.parquet"
        ...     pq.write_table(pa.table({"image": [b"encoded"] * 10}), file, row_group_size=4)
        ...     images = ParquetImages([file], "image")
        >>> len(images), images.name(9), images.group_starts
        (10, 'train-000.parquet, row 9', array([ 0,  4,  8, 10]))
    """

    def __init__(
        self,
        shards: Sequence[Path],
        column: str,
        geometry: Geometry | Square | None = None,
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        metadata = [_parquet(shard).metadata for shard in shards]
        super().__init__(shards, [each.num_rows for each in metadata], geometry)
        self.column, self.kept_bytes = column, kept_bytes
        groups = [
            (shard, group, each.row_group(group).num_rows, each.row_group(group).total_byte_size)
            for shard, each in enumerate(metadata)
            for group in range(each.num_row_groups)
        ]
        self.groups = np.array([group[:2] for group in groups], dtype=np.int64).reshape(-1, 2)
        self.group_starts = np.concatenate([[0], np.cumsum([group[2] for group in groups])]).astype(np.int64)
        largest = max((group[3] for group in groups), default=1)
        self.window = max(1, kept_bytes // 2 // max(1, largest))
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_kept", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _kept=OrderedDict(), _lock=Lock())

    def _key(self, shard: int, place: int) -> str:
        del shard
        return f"row {place}"

    def places(self) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
        columns, shards, settings = super().places()
        return columns, shards, settings | {"kept_bytes": self.kept_bytes}

    def _order(self, rows: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        """Groups at random, and within some of them rows at random."""
        group = np.searchsorted(self.group_starts, rows, side="right") - 1
        present = np.unique(group)
        turn = np.full(len(self.groups), -1)
        turn[present[torch.randperm(len(present), generator=generator).numpy()]] = (
            np.arange(len(present)) // self.window
        )
        shuffled = torch.randperm(len(rows), generator=generator).numpy()
        return torch.from_numpy(shuffled[np.argsort(turn[group[shuffled]], kind="stable")])

    def _encoded(self, row: int) -> bytes:
        group = int(np.searchsorted(self.group_starts, row, side="right")) - 1
        value = self._read(group)[row - int(self.group_starts[group])].as_py()
        encoded = value.get("bytes") if isinstance(value, dict) else value
        if not encoded and isinstance(self.geometry, Square) and isinstance(value, dict) and value.get("path"):
            encoded = (self.shards[self._place(row)[0]].parent / value["path"]).read_bytes()  # the user's own files
        if not encoded:
            raise DataError(f"{self._name(row)} holds no image: expected its bytes in column {self.column!r}")
        return encoded

    def _read(self, number: int) -> Any:
        """The images of a group, encoded; the latest groups are kept."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
            shard, group = (int(place) for place in self.groups[number])
            try:
                file = _parquet(self.shards[shard])
                values = file.read_row_group(group, columns=[self.column]).column(0).combine_chunks()
            except (OSError, pa.ArrowException) as error:
                reason = " ".join(str(error).split())[:200]
                raise DataError(f"{printable(self.shards[shard])} cannot be read ({reason}): get it again") from error
            self._kept[number] = values
            while len(self._kept) > 2 * self.window:
                self._kept.popitem(last=False)
            return values


def _parquet(shard: Path) -> Any:
    with plain_name(shard) as named:
        return pq.ParquetFile(named)


def open_tars(
    shards: Sequence[Path], label: str | None = None, *, geometry: Geometry | Square | None = None, labeled: bool = True
) -> tuple[TarImages, list[int | str] | None, list[str]]:
    """Open tars as WebDataset has them, not compressed: labels are read, images when they are asked for.

    The members of an example follow each other and have one name up to its first dot; one is an image, the label is a
    .cls of text or a key of a .json. Names are names only: nothing is ever unpacked.

    Args:
        shards: the tars, in the order of the rows.
        label: key of the labels in a .json; "cls": that of a .cls. Default: the .cls where there is one, else "label".
        geometry: what images are brought to.
        labeled: whether each example must have a label; else they are read where all have one.

    Returns:
        The images, their labels (None where not all have one), and remarks for people.

    Raises:
        DataError: damaged or compressed tars, examples without image or label, or twice in a shard; shard and example
            are named.

    Example:
        >>> import io, tarfile, tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     shard = Path(root) / "train-000.tar"
        ...     with tarfile.open(shard, "w") as tar:
        ...         for name, content in (("7.jpg", b"pixels"), ("7.cls", b"cat")):
        ...             entry = tarfile.TarInfo(name)
        ...             entry.size = len(content)
        ...             tar.addfile(entry, io.BytesIO(content))
        ...     images, labels, remarks = open_tars([shard])
        >>> images.name(0), labels, remarks
        ('train-000.tar, 7', ['cat'], [])
    """
    keys, offsets, sizes, counts, others = [], [], [], [], 0
    labels: list[int | str] | None = []
    known: dict[str, str] = {}
    for shard in shards:
        found, left_out = _opened(shard, label, labeled=labeled)
        others += left_out
        counts.append(len(found))
        keys.append(pa.array([each[0] for each in found], pa.large_binary()))
        offsets.append(np.array([each[1] for each in found], dtype=np.int64))
        sizes.append(np.array([each[2] for each in found], dtype=np.int64))
        told = [each[3] for each in found if each[3] is not None]
        if len(told) < len(found):
            labels = None
        elif labels is not None:
            labels += [known.setdefault(each, each) if isinstance(each, str) else each for each in told]
    if not sum(counts):
        raise DataError(
            f"{printable(shards[0].parent)} has {len(shards)} tars without examples: expected images in them"
        )
    remarks = [f"{others} members of the tars, links or folders, were left out"] if others else []
    images = TarImages(
        shards,
        counts,
        keys=pa.concat_arrays(keys),
        offsets=np.concatenate(offsets),
        sizes=np.concatenate(sizes),
        geometry=geometry,
    )
    return images, labels, remarks


def _opened(shard: Path, label: str | None, *, labeled: bool) -> tuple[list[_Example], int]:
    """Key, offset, size and label of each example of a tar, and how many members are none of an example."""
    with shard.open("rb") as file:
        if not shard.stat().st_size:
            raise damaged(shard, "it is empty")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    examples, seen = [], set()
    with content:
        found, others = members(shard, content)
        for key, group in groupby(found, key=lambda member: member[0]):
            example: dict[str, tuple[int, int]] = {}
            for _, suffix, offset, size in group:
                if suffix in example:
                    raise _twice(shard, key, f"has several members .{suffix}")
                example[suffix] = (offset, size)
            if key in seen:
                raise _twice(shard, key, "stands there twice, apart")
            seen.add(key)
            pictures = [suffix for suffix in example if f".{suffix}" in IMAGE_SUFFIXES]
            if len(pictures) != 1:
                raise DataError(
                    f"{printable(shard)}, example {shown(key)} has {len(pictures)} images "
                    f"({', '.join(sorted(example))[:100]}): expected one, and its label as .{_LABEL} or .{_JSON}"
                )
            offset, size = example[pictures[0]]
            if not size:
                raise DataError(
                    f"{printable(shard)}, example {shown(key)} has an empty image: expected its bytes; write the shard "
                    "again without it"
                )
            examples.append((key, offset, size, _label(shard, content, key, example, label, needed=labeled)))
    return examples, others


def _twice(shard: Path, key: bytes, what: str) -> DataError:
    return DataError(
        f"{printable(shard)}, example {shown(key)} {what}: expected each name once in a shard, its members one after "
        "another; write the shard again"
    )


def _label(
    shard: Path, content: mmap.mmap, key: bytes, example: dict[str, tuple[int, int]], name: str | None, *, needed: bool
) -> int | str | None:
    name, asked = name or _KEY, name not in (None, _LABEL)
    if _LABEL in example and not asked:
        offset, size = example[_LABEL]
        text = content[offset : offset + size].decode("utf-8", "backslashreplace").strip()
        if text:
            return int(text) if text.lstrip("-").isdecimal() else text
    elif _JSON in example:
        offset, size = example[_JSON]
        try:
            value = json.loads(content[offset : offset + size])[name]
        except (ValueError, KeyError, TypeError) as error:
            if not needed:
                return None
            where = f"{printable(shard)}, example {shown(key)}"
            raise DataError(f"{where} has no label {name!r} in its .json ({error}): expected one") from error
        if isinstance(value, int | str) and not isinstance(value, bool):
            return value
    if not needed:
        return None
    others = f"as .{_LABEL}, or " * (not asked)
    raise DataError(
        f"{printable(shard)}, example {shown(key)} has no label: expected a number or a name {others}as {name!r} in a "
        f".{_JSON}{f'; without --label that of the .{_LABEL} is taken' * (asked and _LABEL in example)}"
    )
