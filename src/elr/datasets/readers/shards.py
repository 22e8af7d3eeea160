"""Images in shards, WebDataset's tars or Parquet files: rows are numbered by shard and place, read in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.parquet_images import (
    parquet_class_names,
    parquet_columns,
    parquet_image_columns,
    read_parquet_columns,
)
from elr.data.pictures.shards import ParquetImages, open_tars
from elr.datasets.base import Part
from elr.errors import DataError
from elr.names import printable


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
        >>> import pyarrow as pa, pyarrow.parquet as pq, torch
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
        images, found, remarks = open_tars(tars, None if label == "label" else label, geometry=geometry)
        labels: list[Any] = [] if found is None else found
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
