"""Images in shards, WebDataset's tars or Parquet files: rows are numbered by shard and place, read in any order."""

from __future__ import annotations

import json
import mmap
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
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

from elr.data.formats.parquet import parquet_class_names, parquet_columns, parquet_image_columns, read_parquet_columns
from elr.data.pictures.decoding import IMAGE_SUFFIXES, Geometry
from elr.data.pictures.image_store import ImageStore
from elr.datasets.base import Part
from elr.datasets.readers.tar_members import damaged, members, shown
from elr.errors import DataError
from elr.files import printable

_KEPT_BYTES = 2**29  # of Parquet files, read ahead of their use
_LABEL, _JSON = "cls", "json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shards:
    """Opened shards.

    Args:
        part: their examples, in the order of the shards' names and of the examples in each.
        class_names: C names, by class number; the numbers as text where there are no names.
        remarks: what the user should know about these files.

    Example:
        >>> found = Shards(part=Part(labels=np.array([0, 1])), class_names=("cat", "dog"))
        >>> len(found.part), found.remarks
        (2, [])
    """

    part: Part
    class_names: tuple[str, ...]
    remarks: list[str] = field(default_factory=list)


def open_shards(
    folder: Path,
    *,
    pattern: str = "",
    label: str = "label",
    class_names: Sequence[str] | None = None,
    geometry: Geometry | None = None,
) -> Shards:
    """Open the shards of a folder: the labels are read, the images when they are asked for.

    A set that does not fit one disk is put together by links: the folder may hold links to shards elsewhere.

    - Tars as WebDataset has them, not compressed: the members of an example follow each other and have one name up to
      its first dot; one is an image, the label is a .cls of text or the key `label` of a .json.
    - Parquet files with a column of encoded images (records with bytes, as on the Hugging Face hub, or bytes) and one
      of labels. Rows of a group are read together: an epoch goes through some groups at a time.

    Args:
        folder: with *.tar or *.parquet, not both; their names give the order.
        pattern: with what the names of the shards begin, such as "train".
        label: column or key of the labels, integers or names.
        class_names: C names, where the labels are numbers below C, or some of these names. Default: those of the
            labels.
        geometry: what images are brought to.

    Raises:
        DataError: no shards or both kinds, damaged or compressed ones, examples without image or label, labels that are
            no classes; the shard and the example are named.

    Example:
        >>> import io, tempfile
        >>> from PIL import Image
        >>> picture = io.BytesIO()
        >>> Image.new("RGB", (8, 8), "white").save(picture, "PNG")
        >>> with tempfile.TemporaryDirectory() as root:
        ...     table = pa.table({"image": [picture.getvalue()] * 3, "label": ["dog", "cat", "dog"]})
        ...     pq.write_table(table, f"{root}/train-000.parquet")
        ...     found = open_shards(Path(root), geometry=Geometry(resize=4, crop=4))
        ...     found.part.labels, found.class_names, found.part.images.fetch(torch.tensor([2])).shape
        (array([1, 0, 1]), ('cat', 'dog'), torch.Size([1, 3, 4, 4]))
    """
    tars, tables = (sorted(folder.glob(f"{pattern}*.{kind}")) for kind in ("tar", "parquet"))
    if bool(tars) == bool(tables):
        found = "shards of both kinds" if tars else "no shards"
        raise DataError(
            f"{printable(folder)} holds {found}: expected {pattern}*.tar (WebDataset) or {pattern}*.parquet"
            + (", and not both" if tars else "; compressed tars have to be decompressed first")
        )
    if tars:
        images, labels, remarks = _open_tars(tars, label, geometry)
        places = images.name
    else:
        images, labels, remarks = _open_tables(tables, label, geometry)
        class_names = class_names or parquet_class_names(tables[0], label)
        places = images.name
    numbers, names = _classes(labels, class_names, places)
    return Shards(part=Part(labels=numbers, images=images), class_names=names, remarks=remarks)


def _classes(labels: list[Any], names: Sequence[str] | None, places: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers, and the names of the classes."""
    if all(isinstance(label, int) for label in labels):
        count = len(names) if names is not None else max(labels) + 1
        wrong = next((row for row, label in enumerate(labels) if not 0 <= label < count), None)
        if wrong is not None:
            raise DataError(f"{places(wrong)} has the label {labels[wrong]}: expected 0 to {count - 1}")
        return np.array(labels, dtype=np.int64), tuple(names or map(str, range(count)))
    texts = [str(label) for label in labels]
    known = tuple(names) if names is not None else tuple(sorted(set(texts)))
    number = {name: position for position, name in enumerate(known)}
    wrong = next((row for row, label in enumerate(texts) if label not in number), None)
    if wrong is not None:
        raise DataError(f"{places(wrong)} has the label {texts[wrong][:80]!r}: expected one of {', '.join(known[:10])}")
    return np.array([number[label] for label in texts], dtype=np.int64), known


class _ShardedImages(ImageStore):
    """Images whose rows run through several files."""

    def __init__(self, shards: Sequence[Path], counts: Sequence[int], geometry: Geometry | None) -> None:
        super().__init__(geometry)
        self.shards = list(shards)
        self.starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def _count(self) -> int:
        return int(self.starts[-1])

    def _place(self, row: int) -> tuple[int, int]:
        """Number of the shard of a row, and its place there."""
        shard = int(np.searchsorted(self.starts, row, side="right")) - 1
        return shard, row - int(self.starts[shard])

    @abstractmethod
    def _key(self, shard: int, place: int) -> str:
        """What an example is called in its shard."""

    def _name(self, row: int) -> str:
        shard, place = self._place(row)
        return f"{printable(self.shards[shard].name)}, {self._key(shard, place)}"


class TarImages(_ShardedImages):
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
        geometry: Geometry | None = None,
    ) -> None:
        super().__init__(shards, counts, geometry)
        self.keys, self.offsets, self.sizes = keys, offsets, sizes

    def _key(self, shard: int, place: int) -> str:
        return printable(self.keys[int(self.starts[shard]) + place].as_py().decode("utf-8", "surrogateescape"))

    def _encoded(self, row: int) -> bytes:
        with self.shards[self._place(row)[0]].open("rb") as file:
            file.seek(int(self.offsets[row]))
            return file.read(int(self.sizes[row]))


class ParquetImages(_ShardedImages):
    """Images in a column of Parquet files.

    Groups of rows are read whole and kept, up to half a gigabyte of them; `order` goes through half as many at a time,
    so that each is read about once in an epoch.

    Args:
        shards: the files.
        column: of the images.
        geometry: what images are brought to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     file = Path(root) / "train-000.parquet"
        ...     pq.write_table(pa.table({"image": [b"encoded"] * 10}), file, row_group_size=4)
        ...     images = ParquetImages([file], "image")
        >>> len(images), images.name(9), images.group_starts
        (10, 'train-000.parquet, row 9', array([ 0,  4,  8, 10]))
    """

    def __init__(self, shards: Sequence[Path], column: str, geometry: Geometry | None = None) -> None:
        metadata = [pq.ParquetFile(shard).metadata for shard in shards]
        super().__init__(shards, [each.num_rows for each in metadata], geometry)
        self.column = column
        groups = [
            (shard, group, each.row_group(group).num_rows, each.row_group(group).total_byte_size)
            for shard, each in enumerate(metadata)
            for group in range(each.num_row_groups)
        ]
        self.groups = np.array([group[:2] for group in groups], dtype=np.int64).reshape(-1, 2)
        self.group_starts = np.concatenate([[0], np.cumsum([group[2] for group in groups])]).astype(np.int64)
        largest = max((group[3] for group in groups), default=1)
        self.window = max(1, _KEPT_BYTES // 2 // max(1, largest))
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_kept", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _kept=OrderedDict(), _lock=Lock())

    def _key(self, shard: int, place: int) -> str:
        del shard
        return f"row {place}"

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
                file = pq.ParquetFile(self.shards[shard])
                values = file.read_row_group(group, columns=[self.column]).column(0).combine_chunks()
            except (OSError, pa.ArrowException) as error:
                reason = " ".join(str(error).split())[:200]
                raise DataError(f"{printable(self.shards[shard])} cannot be read ({reason}): get it again") from error
            self._kept[number] = values
            while len(self._kept) > 2 * self.window:
                self._kept.popitem(last=False)
            return values


def _open_tables(
    shards: list[Path], label: str, geometry: Geometry | None
) -> tuple[ParquetImages, list[Any], list[str]]:
    labels: list[Any] = []
    columns = set()
    for shard in shards:
        names, pictures = parquet_columns(shard), parquet_image_columns(shard)
        if label not in names or len(pictures) != 1:
            raise DataError(
                f"{printable(shard)} has the columns {', '.join(names)[:200]}, with images in {len(pictures)} of them: "
                f"expected one column of images, and {label!r}"
            )
        columns.add(pictures[0])
        found = read_parquet_columns(shard, [label])[label]
        if found.isna().any():
            row = int(found.isna().to_numpy().argmax())
            raise DataError(f"{printable(shard)}, row {row} has no label in column {label!r}: mend or remove it")
        labels += found.tolist()
    if len(columns) > 1:
        raise DataError(f"the shards have images in different columns, {', '.join(sorted(columns))}: expected one")
    return ParquetImages(shards, columns.pop(), geometry), labels, []


def _open_tars(shards: list[Path], label: str, geometry: Geometry | None) -> tuple[TarImages, list[Any], list[str]]:
    keys, offsets, sizes, labels, counts, others = [], [], [], [], [], 0
    for shard in shards:
        before = len(keys)
        with shard.open("rb") as file:
            if not shard.stat().st_size:
                raise damaged(shard, "it is empty")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with content:
            found, left_out = members(shard, content)
            others += left_out
            for key, group in groupby(found, key=lambda member: member[0]):
                example = {suffix: (offset, size) for _, suffix, offset, size in group}
                pictures = [suffix for suffix in example if f".{suffix}" in IMAGE_SUFFIXES]
                if len(pictures) != 1:
                    raise DataError(
                        f"{printable(shard)}, example {shown(key)} has {len(pictures)} images "
                        f"({', '.join(sorted(example))[:100]}): expected one, and its label as .{_LABEL} or .{_JSON}"
                    )
                keys.append(key)
                offsets.append(example[pictures[0]][0])
                sizes.append(example[pictures[0]][1])
                labels.append(_label(shard, content, key, example, label))
        counts.append(len(keys) - before)
    if not keys:
        raise DataError(
            f"{printable(shards[0].parent)} has {len(shards)} tars without examples: expected images in them"
        )
    remarks = [f"{others} members of the tars, links or folders, were left out"] if others else []
    arrays = {"offsets": np.array(offsets, dtype=np.int64), "sizes": np.array(sizes, dtype=np.int64)}
    return (
        TarImages(shards, counts, keys=pa.array(keys, pa.large_binary()), geometry=geometry, **arrays),
        labels,
        remarks,
    )


def _label(shard: Path, content: mmap.mmap, key: bytes, example: dict[str, tuple[int, int]], name: str) -> int | str:
    if _LABEL in example:
        offset, size = example[_LABEL]
        text = content[offset : offset + size].decode("utf-8", "backslashreplace").strip()
        if text:
            return int(text) if text.lstrip("-").isdecimal() else text
    elif _JSON in example:
        offset, size = example[_JSON]
        try:
            value = json.loads(content[offset : offset + size])[name]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{printable(shard)}, example {shown(key)} has no label {name!r} in its .json ({error}): expected one"
            ) from error
        if isinstance(value, int | str) and not isinstance(value, bool):
            return value
    raise DataError(
        f"{printable(shard)}, example {shown(key)} has no label: expected a number or a name as .{_LABEL}, or as "
        f"{name!r} in a .{_JSON}"
    )
