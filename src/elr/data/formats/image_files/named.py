"""A table of the names of image files, read as those images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from elr.data.formats.images import read_images
from elr.data.pictures.image_index import index_at
from elr.data.pictures.image_store import FileImages
from elr.data.pictures.named import image_column, image_folder
from elr.data.records import TABLE, ReadOptions, Records
from elr.errors import RowError
from elr.names import printable

IMAGE_COLUMN = "image_column"
"""Under which name `Records.facts` has the column that names the images."""


def named_images(records: Records, options: ReadOptions, folder: Path, *, place: str) -> Records:
    """Records of the images that a column of a table names, if it does; else the records as they are.

    Args:
        records: of the table, with their labels.
        options: how it was read; `options.image` names the column.
        folder: where the table lies.
        place: how messages name it.

    Raises:
        DataError: names of files that are not there, unless `options.skip_unreadable`.
        CheckpointError: they are not those of the run that goes on.

    Example:
        >>> import pandas as pd
        >>> records = Records(kind="table", rows=np.arange(1), table=pd.DataFrame({"x": [1.5]}))
        >>> named_images(records, ReadOptions(), Path(), place="it") is records
        True
    """
    if records.table is None or records.kind != TABLE:
        return records
    column = options.image or image_column(records.table, folder)
    if column is None:
        return records
    others = [str(name) for name in records.table.columns if name != column]
    if options.image is None and others:
        remark = f"column {column!r} of {place} names images: --image {column} learns from them, and from nothing else"
        return replace(records, remarks=[*records.remarks, remark])
    names = records.table[column]
    base = image_folder(folder, names)
    texts = ["" if pd.isna(name) else str(name) for name in names.tolist()]
    there = np.array([bool(text) and os.path.isfile(base / text) for text in texts], dtype=bool)  # noqa: PTH113
    if not there.all() and not options.skip_unreadable:
        missing = np.flatnonzero(~there)
        raise RowError(
            f"column {column!r} of {place} names {len(missing)} of {len(there)} images that are not there, first in ",
            records.rows[missing].tolist(),
            f": {names.iloc[missing[0]]!r} (looked for in {printable(base)}); mend the names, or pass "
            "--skip-unreadable (skip_unreadable=True) to leave such rows out",
        )

    def files() -> Iterator[tuple[Path | None, str]]:
        return ((base / text if text else None, text) for text in texts)

    encoded = pa.array([os.fsencode(text) for text in texts], pa.large_binary())
    store = FileImages(base, encoded, anywhere=True)
    index = index_at(options.index)
    if index is not None:
        index.check_files(store)
    found, decoded = read_images(files, len(texts), options, store=store, index=index)
    kept = records.take(decoded.rows)
    remark = f"the images that column {column!r} of {place} names were read, from {printable(base)}"
    return replace(
        found,
        rows=kept.rows,
        labels=kept.labels,
        annotations=kept.annotations,
        clean_labels=kept.clean_labels,
        ids=kept.ids or [texts[row] for row in decoded.rows],
        remarks=[*kept.remarks, remark, *found.remarks],
        facts={**kept.facts, **found.facts, IMAGE_COLUMN: column},
    )
