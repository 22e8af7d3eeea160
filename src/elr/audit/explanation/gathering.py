"""What explains a label while the data are at hand: the nearest rows, by the prepared features, which know no label."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from elr import files
from elr.audit.explanation.differences import Difference, column_differences
from elr.audit.suspects import clip
from elr.data.columns.reading import DATE
from elr.data.examples import Examples, StoredInputs
from elr.data.kinds.catalog import KINDS

if TYPE_CHECKING:
    from elr.audit.label_quality import Audit
    from elr.data.prepared_data import PreparedData

NEAREST = 5
MOST_ROWS = 2_000
_ROOM = 2**27  # bytes that a product of matrices has to find
_WORK = 10**10  # numbers compared
_FIELDS, _LONG, _SHORT = 6, 200, 40  # of what a neighbor holds


def nearest_rows(examples: Examples, rows: Sequence[int]) -> tuple[dict[int, list[tuple[int, float]]], str]:
    """The nearest rows of some, and in what space: cosine of sparse features, else Euclidean; pixels of images.

    Args:
        examples: the training set. Images on disk have no neighbors: all of them would have to be read.
        rows: the most interesting first; so many are looked at as 10^10 numbers to compare allow, at most `MOST_ROWS`.

    Returns:
        Row -> (row, distance) of up to `NEAREST` others, the nearest first; and the space in words.

    Example:
        >>> import numpy as np
        >>> found, space = nearest_rows(Examples(np.array([[0.0], [5.0], [1.0]], dtype="float32"), None), [0])
        >>> found, space
        ({0: [(2, 1.0), (1, 5.0)]}, 'Euclidean distance of the prepared features')
    """
    inputs = examples.inputs
    if isinstance(inputs, StoredInputs):
        return {}, ""
    sparse = not isinstance(inputs, torch.Tensor)
    values = inputs if sparse else inputs.reshape(len(examples), -1).float().numpy()
    wide = max(1, values.shape[1] if not sparse else inputs.nnz // max(1, len(examples)) * 10)
    chosen = list(rows)[: min(MOST_ROWS, _WORK // (len(examples) * wide))]
    if not chosen or len(examples) < 2:
        return {}, ""
    model = NearestNeighbors(n_neighbors=min(NEAREST + 1, len(examples)), algorithm="brute")
    model.set_params(metric="cosine" if sparse else "euclidean").fit(values)
    np.empty(_ROOM, dtype=np.uint8)  # a MemoryError: OpenBLAS waits for ever where it gets no room
    distances, places = model.kneighbors(values[chosen])
    found = {
        row: [(int(at), float(far)) for at, far in zip(*pair, strict=True) if at != row][:NEAREST]
        for row, *pair in zip(chosen, places, distances, strict=True)
    }
    kind = "pixels" if len(examples.inputs.shape) == 4 else "prepared features"
    return found, f"{'cosine' if sparse else 'Euclidean'} distance of the {kind}"


class AboutRows(NamedTuple):
    """What is told of some rows, by their positions.

    Args:
        neighbors: row -> (row, distance) of the nearest ones.
        space: in which they are nearest.
        contents: what rows hold, in short: of those that are neighbors.
        differences: row -> the columns in which it differs from its class.

    Example:
        >>> about = AboutRows({7: [(3, 0.5)]}, "cosine distance", {3: "hue red"}, {})
        >>> [about.contents[row] for row, distance in about.neighbors[7]]
        ['hue red']
    """

    neighbors: Mapping[int, Sequence[tuple[int, float]]]
    space: str
    contents: Mapping[int, str]
    differences: Mapping[int, Sequence[Difference]]


def about_rows(prepared: PreparedData, audit: Audit) -> AboutRows:
    """Gather what explains the labels of the worst suspects, then of others, as many as `nearest_rows` looks at.

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> prepared = prepare_data((np.eye(2).repeat(3, axis=0), [0, 0, 0, 1, 1, 0]), ReadOptions())
        >>> audit = audit_labels(prepared.examples.labels.numpy(), [[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 3)
        >>> sorted(row for row, distance in about_rows(prepared, audit).neighbors[5] if not distance)
        [3, 4]
    """
    neighbors, space = nearest_rows(prepared.examples, audit.ranking.tolist())
    records, columns = prepared.records, list(prepared.preprocessing.columns or [])
    near = np.unique([at for found in neighbors.values() for at, _ in found]).astype(np.int64)
    cells = KINDS[records.kind].cells(records, near, columns[:_FIELDS]) if len(near) else {}
    contents = {
        int(at): _in_short({name: column[place] for name, column in cells.items()}) for place, at in enumerate(near)
    }
    table = prepared.preprocessing.plain(records, name=str(prepared.source))
    differences = {}
    if table is not None:
        dates = [name for name, kind in (prepared.preprocessing.columns or {}).items() if kind == DATE]
        differences = column_differences(
            table, audit.labels, audit.predicted_labels, list(neighbors), trusted=~audit.is_label_issue, dates=dates
        )
    return AboutRows(neighbors, space, {at: text for at, text in contents.items() if text}, differences)


def _in_short(cells: Mapping[str, Any]) -> str:
    """A row in a line: the only cell, or name and cell of several."""
    told = {name: " ".join(str(cell).split()) for name, cell in cells.items() if cell is not None}
    if len(cells) == 1:
        return clip("".join(told.values()), _LONG)
    return ", ".join(f"{clip(name, _SHORT)} {clip(text, _SHORT)}" for name, text in told.items())


def write_explanations(
    path: Path,
    *,
    epochs: Sequence[int],
    given: NDArray[np.float16],
    favored: NDArray[np.float16],
    votes: NDArray[np.float16] | None,
    about: AboutRows,
) -> None:
    """Write explanations.parquet, a line for each training row.

    Args:
        path: in the folder of the run.
        epochs: the E that were kept.
        given: (N, E) probabilities of the given classes.
        favored: (N, E) of those that the evidence favors.
        votes: (N, S, 3) of the blind networks of S settings: class, its probability, that of the given class.
        about: what is told of some rows.

    Raises:
        OutputError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "explanations.parquet"
        ...     course = np.array([[0.5, 0.25]], dtype=np.float16)
        ...     write_explanations(
        ...         path, epochs=[1, 2], given=course, favored=course, votes=None, about=AboutRows({}, "", {}, {}))
        ...     pq.read_table(path)["given"].to_pylist()
        [[0.5, 0.25]]
    """
    count = len(given)
    empty = np.empty((count, 0), dtype=np.float32)
    said = empty if votes is None else votes.reshape(count, -1).astype(np.float32)
    parts = {"given": given.astype(np.float32), "favored": favored.astype(np.float32), "votes": said}
    columns: dict[str, Any] = {
        name: pa.ListArray.from_arrays(
            np.arange(count + 1, dtype=np.int32) * each.shape[1], pa.array(np.ascontiguousarray(each).ravel())
        )
        for name, each in parts.items()
    }
    near = {row: [(at, far, about.contents.get(at)) for at, far in found] for row, found in about.neighbors.items()}
    for name, told in (("neighbors", near), ("differences", about.differences)):
        lines = [json.dumps(told[row]) if row in told else None for row in range(count)]
        columns[name] = pa.array(lines, pa.string())
    head = {b"epochs": json.dumps(list(epochs)), b"space": about.space}
    table = pa.table(columns).replace_schema_metadata(head)
    files.write_file(path, lambda partial: pq.write_table(table, partial, compression="zstd", write_page_checksum=True))
