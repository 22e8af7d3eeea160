"""Which training rows are nearest to a row, by the prepared features, which know nothing of any label."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from elr import files
from elr.data.examples import Examples, StoredInputs

NEAREST = 5
MOST_ROWS = 1_000
_WORK = 10**10  # numbers compared


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
    distances, places = model.kneighbors(values[chosen])
    found = {
        row: [(int(at), float(far)) for at, far in zip(*pair, strict=True) if at != row][:NEAREST]
        for row, *pair in zip(chosen, places, distances, strict=True)
    }
    kind = "pixels" if len(examples.inputs.shape) == 4 else "prepared features"
    return found, f"{'cosine' if sparse else 'Euclidean'} distance of the {kind}"


def write_explanations(
    path: Path,
    *,
    epochs: Sequence[int],
    given: NDArray[np.float16],
    favored: NDArray[np.float16],
    votes: NDArray[np.float16] | None,
    neighbors: Mapping[int, Sequence[tuple[int, float]]],
    space: str,
) -> None:
    """Write explanations.parquet, a line for each training row.

    Args:
        path: in the folder of the run.
        epochs: the E that were kept.
        given: (N, E) probabilities of the given classes.
        favored: (N, E) of those that the evidence favors.
        votes: (N, S, 3) of the blind networks of S settings: class, its probability, that of the given class.
        neighbors: position of a row -> (position, distance) of the nearest ones.
        space: in which they are nearest.

    Raises:
        OutputError: it cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "explanations.parquet"
        ...     course = np.array([[0.5, 0.25]], dtype=np.float16)
        ...     write_explanations(
        ...         path, epochs=[1, 2], given=course, favored=course, votes=None, neighbors={}, space="")
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
    columns["neighbors"] = [json.dumps(neighbors[row]) if row in neighbors else None for row in range(count)]
    columns["neighbors"] = pa.array(columns["neighbors"], pa.string())
    about = {b"epochs": json.dumps(list(epochs)), b"space": space}
    table = pa.table(columns).replace_schema_metadata(about)
    files.write_file(path, lambda partial: pq.write_table(table, partial, compression="zstd", write_page_checksum=True))
