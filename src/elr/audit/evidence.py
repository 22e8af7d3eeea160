"""What training gathered about each row: the one table of it, evidence.parquet, with one writer and one reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from elr import files
from elr.audit.label_quality import Audit, Tally, rows_at_once
from elr.data.label_coding import Label
from elr.errors import ArgumentError, ArtifactError
from elr.names import plain_name

Chunks = Callable[[], Iterable[NDArray[np.float32]]]
"""Goes through the probabilities of all rows, (B, C) at a time, in order."""
_CLASS_NAMES, _OUT_OF_FOLD = b"class_names", b"out_of_fold"
_ADVICE = "run `elr fit` again"


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What training gathered about each row, and how people know the row.

    The probabilities are not held: they are gone through in chunks, each time that they are needed.

    Args:
        rows: (N,) int64, row of each training example in the data as they lie (from 0; of a folder of images, in order
            of the file names).
        ids: names of the rows, or None.
        class_names: the C classes.
        labels: (N,) int64, the given ones.
        margins: (N,) float32, mean margins of the given labels over the epochs
            (`elr.training.monitor.Monitor.margins`), NaN for rows that had no step.
        chunks: goes through the probabilities, rows that sum to 1.
        out_of_fold: the probabilities of each row are from networks that never saw its label; else from one that was
            trained on it.
        fingerprints: (N,) uint64, of what each row was learned from (`elr.data.matching.fingerprints`), or None.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]], dtype=np.float32)
        >>> evidence = Evidence(
        ...     rows=np.arange(3), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0, 1]),
        ...     margins=np.zeros(3, dtype=np.float32), chunks=lambda: [probs[:2], probs[2:]])
        >>> evidence.audit().is_label_issue.tolist()
        [False, True, False]
    """

    rows: NDArray[np.int64]
    ids: Sequence[str] | None
    class_names: tuple[Label, ...]
    labels: NDArray[np.int64]
    margins: NDArray[np.float32]
    chunks: Chunks
    out_of_fold: bool = False
    fingerprints: NDArray[np.uint64] | None = None

    @property
    def pred_probs(self) -> NDArray[np.float32]:
        """(N, C) the whole of `chunks`, for those who need it at once."""
        return np.concatenate(list(self.chunks()))

    def tally(self, *, score: str | None = None) -> Tally:
        """An audit of it that is still to be given the probabilities.

        Raises:
            ArgumentError: a score that is unknown or cannot be had.
        """
        classes = len(self.class_names)
        return Tally(self.labels, num_classes=classes, score=score, margins=self.margins, out_of_fold=self.out_of_fold)

    def audit(self, *, score: str | None = None) -> Audit:
        """Which given labels it contradicts, in one pass; see `elr.audit.label_quality.audit_labels`.

        Raises:
            ArgumentError: a score that is unknown or cannot be had.
        """
        tally = self.tally(score=score)
        for probs in self.chunks():
            tally.add(probs)
        return replace(tally.audit(), class_names=self.class_names)

    def probs_of(self, classes: NDArray[np.int64]) -> NDArray[np.float32]:
        """(N,) the probability of one class for each row, in one pass."""
        found, start = np.empty(len(self.labels), dtype=np.float32), 0
        for probs in self.chunks():
            part = slice(start, start + len(probs))
            found[part] = probs[np.arange(len(probs)), classes[part]]
            start += len(probs)
        return found


def silenced(chunks: Iterable[NDArray[np.float32]], rows: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    """Evidence that says nothing of some rows: all classes are as probable there, and their labels no issues.

    Args:
        chunks: the probabilities of all rows, in order.
        rows: (N,) of which nothing can be said, such as those of an empty text.

    Example:
        >>> list(silenced([np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)], np.array([True, False])))[0].tolist()
        [[0.5, 0.5], [0.20000000298023224, 0.800000011920929]]
    """
    start = 0
    for probs in chunks:
        part = rows[start : start + len(probs), None]
        yield np.where(part, np.float32(1.0 / probs.shape[1]), probs) if part.any() else probs
        start += len(probs)


def write_evidence(path: Path, evidence: Evidence) -> Audit:
    """Write the table, and audit the labels in the same pass.

    One line for each training row: row, id (where there is one), label (the class number), margin, fingerprint (where
    there is one), and pred_probs, a list of C float32. The class names, and whether the probabilities are out of fold,
    are in the metadata of the file.
    Written some rows at a time, whole or not at all.

    Args:
        path: evidence.parquet in the folder of the run.
        evidence: what there is to say.

    Raises:
        OutputError: it cannot be written.

    Example:
        >>> import tempfile
        >>> probs = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
        >>> evidence = Evidence(
        ...     rows=np.array([0, 7]), ids=["a", "b"], class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, dtype=np.float32), chunks=lambda: [probs])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     audit = write_evidence(Path(folder) / "evidence.parquet", evidence)
        ...     pq.read_table(Path(folder) / "evidence.parquet").to_pylist()[1]
        {'row': 7, 'id': 'b', 'label': 0, 'margin': 0.0, 'pred_probs': [0.20000000298023224, 0.800000011920929]}
        >>> audit.num_label_issues
        1
    """
    classes = len(evidence.class_names)
    tally, audits = evidence.tally(), []

    def write(partial: Path) -> None:
        schema = _schema(evidence)
        options = {"write_page_checksum": True, "use_dictionary": False, "write_statistics": False}
        with pq.ParquetWriter(partial, schema, compression="zstd", compression_level=1, **options) as writer:
            start = 0
            for probs in _in_steps(evidence.chunks(), rows_at_once(classes)):
                tally.add(probs)
                writer.write_table(_lines(evidence, start, probs, schema), row_group_size=len(probs))
                start += len(probs)
        audits.append(
            replace(tally.audit(), class_names=evidence.class_names)
        )  # refused here, an incomplete table does not get its name

    files.write_file(path, write)
    return audits[0]


def written_evidence(path: Path, evidence: Evidence) -> Evidence:
    """The same, with the probabilities read from the table that `write_evidence` made of it.

    For whoever goes over them again: computing them may take all ranks of a run, reading them takes one.

    Example:
        >>> import tempfile
        >>> probs = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
        >>> once = iter([probs])  # such as all ranks give together
        >>> evidence = Evidence(
        ...     rows=np.array([0, 7]), ids=None, class_names=("cat", "dog"), labels=np.array([0, 0]),
        ...     margins=np.zeros(2, dtype=np.float32), chunks=lambda: once)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "evidence.parquet"
        ...     _ = write_evidence(path, evidence)
        ...     written_evidence(path, evidence).pred_probs.shape
        (2, 2)
    """
    return replace(evidence, chunks=lambda: _read_chunks(path, len(evidence.class_names)))


def read_evidence(folder: Path, *others: Path) -> Evidence:
    """The evidence of a finished run, or the mean of several on the same labels (other seeds, other settings).

    Args:
        folder: of the run.
        others: folders of more runs on the same data.

    Raises:
        ArtifactError: not the folder of a finished run, or damaged; also while the probabilities are gone through.
        ArgumentError: runs on different rows, labels or classes.

    Example:
        >>> read_evidence(Path("no-such-run"))
        Traceback (most recent call last):
        elr.errors.ArtifactError: no-such-run is not a folder: expected the --out of a run of `elr fit`
    """
    first = _read(Path(folder))
    if not others:
        return first
    found = [first]
    for path in map(Path, others):
        other = _read(path)
        for what, same in (
            ("classes", other.class_names == first.class_names),
            ("rows", np.array_equal(other.rows, first.rows)),
            ("given labels", np.array_equal(other.labels, first.labels)),
        ):
            if not same:
                raise ArgumentError(
                    f"the runs in {folder} and {path} have different {what}: expected runs on the same data, such as "
                    "with another --seed"
                )
        found.append(other)

    def chunks() -> Iterator[NDArray[np.float32]]:
        step = rows_at_once(len(first.class_names))
        for parts in zip(*(_in_steps(each.chunks(), step) for each in found), strict=True):
            yield np.asarray(np.mean(parts, axis=0, dtype=np.float64), dtype=np.float32)

    return Evidence(
        rows=first.rows,
        ids=first.ids,
        class_names=first.class_names,
        labels=first.labels,
        margins=np.mean([each.margins for each in found], axis=0),
        chunks=chunks,
        out_of_fold=all(each.out_of_fold for each in found),
        fingerprints=first.fingerprints,
    )


def _schema(evidence: Evidence) -> pa.Schema:
    fields = [pa.field("row", pa.int64())]
    fields += [] if evidence.ids is None else [pa.field("id", pa.string())]
    fields += [pa.field("label", pa.int32()), pa.field("margin", pa.float32())]
    fields += [] if evidence.fingerprints is None else [pa.field("fingerprint", pa.uint64())]
    probs = pa.list_(pa.field("element", pa.float32(), nullable=False), len(evidence.class_names))
    fields.append(pa.field("pred_probs", probs, nullable=False))
    names = json.dumps(list(evidence.class_names), default=lambda name: name.item())
    return pa.schema(fields, metadata={_CLASS_NAMES: names, _OUT_OF_FOLD: json.dumps(evidence.out_of_fold)})


def _lines(evidence: Evidence, start: int, probs: NDArray[np.float32], schema: pa.Schema) -> pa.Table:
    """The lines of some rows."""
    part = slice(start, start + len(probs))
    numbers = pa.array(np.ascontiguousarray(probs, dtype=np.float32).ravel())
    columns = {
        "row": pa.array(evidence.rows[part]),
        "label": pa.array(evidence.labels[part].astype(np.int32)),
        "margin": pa.array(evidence.margins[part]),
        "pred_probs": pa.FixedSizeListArray.from_arrays(numbers, type=schema.field("pred_probs").type),
    }
    if evidence.ids is not None:
        columns["id"] = pa.array(map(writable, evidence.ids[part]), pa.string())
    if evidence.fingerprints is not None:
        columns["fingerprint"] = pa.array(evidence.fingerprints[part])
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def writable(name: str) -> str:
    r"""A name as it can be written: half of a pair of surrogates, which a data frame may hold, is no character.

    Example:
        >>> print(writable("caf\udce9"))
        caf\udce9
    """
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode("utf-8")


def _read(folder: Path) -> Evidence:
    """The evidence of one run: all but the probabilities is read, and those are looked up."""
    run, path = files.read_run(folder), folder / files.EVIDENCE_FILE
    with _damage_named(path), _opened(path) as file:
        schema, count = file.schema_arrow, file.metadata.num_rows
        metadata = schema.metadata or {}
        names, out_of_fold = tuple(json.loads(metadata[_CLASS_NAMES])), json.loads(metadata[_OUT_OF_FOLD])
        kind = schema.field("pred_probs").type
        if not pa.types.is_fixed_size_list(kind) or kind.list_size != len(names) or kind.value_type != pa.float32():
            raise ValueError(f"pred_probs are {kind}, for {len(names)} classes")
        kept = ("row", "id", "label", "margin", "fingerprint")
        columns = file.read([name for name in kept if name in schema.names])
        ids = [name or "" for name in columns["id"].to_pylist()] if "id" in schema.names else None
        if any(columns[name].null_count for name in columns.column_names if name != "id"):
            raise ValueError("it has empty cells")
        rows, labels, margins = (columns[name].to_numpy() for name in ("row", "label", "margin"))
        prints = columns["fingerprint"].cast(pa.uint64()).to_numpy() if "fingerprint" in schema.names else None
        if count and not 0 <= labels.min() <= labels.max() < len(names):
            raise ValueError(f"its labels go from {labels.min()} to {labels.max()}, for {len(names)} classes")
    try:
        told = (tuple(run["preprocessing"]["class_names"]), run["data"]["num_examples"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"run.json in {folder} is damaged ({error!r}): {_ADVICE}") from error
    if told != (names, count):
        raise ArtifactError(
            f"the files in {folder} do not belong together ({path.name} has {count} rows and {len(names)} classes, "
            f"{files.RUN_FILE} {told[1]} and {len(told[0])}, or they are others): {_ADVICE}"
        )
    return Evidence(
        rows=rows,
        ids=ids,
        class_names=names,
        labels=labels.astype(np.int64),
        margins=margins,
        chunks=lambda: _read_chunks(path, len(names)),
        out_of_fold=out_of_fold is True,
        fingerprints=prints,
    )


def _read_chunks(path: Path, classes: int) -> Iterator[NDArray[np.float32]]:
    with _damage_named(path), _opened(path) as file:
        for number in range(file.num_row_groups):
            column = file.read_row_group(number, columns=["pred_probs"])["pred_probs"]
            for chunk in column.chunks:
                yield chunk.flatten().to_numpy().reshape(-1, classes)


def _opened(path: Path) -> pq.ParquetFile:
    with plain_name(path) as named:
        return pq.ParquetFile(named, page_checksum_verification=True)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn a failure to read into an ArtifactError that names the file."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read ({error}): the run is incomplete or damaged; {_ADVICE}") from error
    except (pa.ArrowException, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is damaged, or no evidence of a run ({error}): {_ADVICE}") from error


def _in_steps(chunks: Iterable[NDArray[np.float32]], step: int) -> Iterator[NDArray[np.float32]]:
    """The rows of chunks of any size, `step` at a time."""
    waiting: list[NDArray[np.float32]] = []
    count = 0
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            part = chunk[start : start + step - count]
            waiting.append(part)
            start, count = start + len(part), count + len(part)
            if count == step:
                yield np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
                waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)
