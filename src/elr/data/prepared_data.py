"""Data ready to train on: read, encoded, with what it takes to measure a run on them."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from elr.checking import checked
from elr.data.examples import Examples, StoredInputs
from elr.data.formats.arrays import as_trained
from elr.data.formats.image_files.named import IMAGE_COLUMN
from elr.data.inspection import Inspection, columns_shown, facts_shown
from elr.data.kinds.catalog import KINDS, fit_preprocessing
from elr.data.label_coding import LabelCoding
from elr.data.labels.columns import NO_VOTE
from elr.data.labels.spelling import class_key
from elr.data.matching.overlap import conflict, copies, overlap, text_overlap, written_labels
from elr.data.pictures.decoding import Square
from elr.data.pictures.image_index import ImageIndex
from elr.data.pictures.image_store import ImageStore
from elr.data.preprocessing import Preprocessing
from elr.data.reading import Data, data_name, format_of, read_data
from elr.data.records import NO_BACKBONE, TEXT, Finding, ReadOptions, Records
from elr.errors import ArgumentError, DataError
from elr.noise.named import corrupt

_SPLIT_STREAM, _TUNING_STREAM = 1, 2  # so that no split is drawn from the random numbers of the noise


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedData:
    """Data ready to train on, and what it takes to describe them.

    Args:
        records: as read, with given labels.
        preprocessing: fitted to it.
        examples: encoded, with given labels.
        clean_labels: (N,) class numbers known to be right, for measuring only; None if not known.
        test: encoded, with labels known to be right; None if there is no test data.
        validation: held out of the training data, with their given labels, as noisy as those trained on; None if there
            are none.
        source: what was read, for people.
        options: how it was read.
        noise: what the labels were corrupted with, as NAME:RATE; None if they are as read.
        test_source: what the test data were read from; None if there are none.
        sha256: of everything above that is encoded: examples, given and clean labels, test data.
        findings: what the user should know about rows that come again, and about the test data.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": ["cat", "dog"] * 2})
        >>> prepared = prepare_data(frame, ReadOptions(label="y"))
        >>> len(prepared.records), prepared.examples.labels.tolist(), prepared.source
        (4, [0, 1, 0, 1], 'a data frame')
    """

    records: Records
    preprocessing: Preprocessing
    examples: Examples
    clean_labels: NDArray[np.int64] | None
    test: Examples | None
    validation: Examples | None
    source: str
    options: ReadOptions
    noise: str | None
    test_source: str | None
    sha256: str
    findings: tuple[Finding, ...] = ()

    @property
    def streamed(self) -> ImageStore | None:
        """The images of a user that stay on disk, whether a network sees them or features of them."""
        images = self.records.images
        return images if isinstance(images, ImageStore) and isinstance(images.geometry, Square) else None

    def image_index(self) -> ImageIndex | None:
        """The index of streamed images, for the folder of the run; see `elr.data.records.ReadOptions.index`."""
        read = self.records.labels if self.noise is None else self.records.clean_labels
        return None if self.streamed is None else ImageIndex.of(self.streamed, read)

    @property
    def probe(self) -> Examples | None:
        """Test and validation examples in this order, without labels: what is predicted in the course of a run."""
        parts = [part for part in (self.test, self.validation) if part is not None]
        if len(parts) < 2:
            return parts[0].first(len(parts[0])) if parts else None
        if any(isinstance(part.inputs, StoredInputs) for part in parts):
            raise ArgumentError("held-out images on disk beside test data are not provided for: leave one out")
        if not isinstance(parts[0].inputs, torch.Tensor):
            return Examples(sparse.vstack([part.inputs for part in parts], format="csr"), None)
        return Examples(torch.cat([part.inputs for part in parts]), None)  # type: ignore[misc]


def prepare_data(
    data: Data,
    options: ReadOptions,
    *,
    test: Data | None = None,
    test_label: str | None = None,
    noise: tuple[str, float] | None = None,
    seed: int = 0,
) -> PreparedData:
    """Read training and test data and encode them.

    Args:
        data: see `elr.data.reading.read_data`.
        options: how to read both.
        test: data whose labels are trusted, of the same kind.
        test_label: column (or array) of their labels, if it has another name than in `data`.
        noise: (name in `elr.noise.named.NOISES`, rate): for experiments, corrupt the labels first, and keep those read
            as the clean ones.
        seed: of that noise.

    Raises:
        DataError: whatever makes the data unusable, or test data without labels.
        ArgumentError: noise on labels whose clean labels are named already, or a test_label that names nothing.

    Example:
        >>> inputs, labels = np.eye(4), [0, 1, 0, 1]
        >>> prepare_data((inputs, labels), ReadOptions(), test=(inputs[:2], labels[:2])).test.labels.tolist()
        [0, 1]
    """
    if test_label is not None and test is None:
        raise ArgumentError(f"test_label is {test_label!r} and there are no test data: name them, or leave it out")
    if test_label is not None and test is not None and not format_of(test).has_names:
        raise ArgumentError(
            f"test_label is {test_label!r} and {data_name(test)} has no columns or arrays of that name: leave it out"
        )
    records = read_data(data, options)
    if records.pretrained is not None:
        options = records.resolved(options)
    options = replace(options, image=records.facts.get(IMAGE_COLUMN, options.image), index=None)
    test_source = None if test is None else data_name(test)
    test_options = options if test_label is None else options.with_label(test_label)
    test = as_trained(test, records.kind)
    test_records = None if test is None else read_data(test, records.resolved(test_options), training=False)
    if test_records is not None:
        records = replace(records, facts={**records.facts, "test": dict(test_records.facts)})
    return prepare_records(
        records,
        test_records,
        options=options,
        source=data_name(data),
        test_source=test_source,
        test_label_name=test_options.label_name,
        noise=noise,
        seed=seed,
    )


@checked
def inspect(
    data: Data, options: ReadOptions | None = None, *, test: Data | None = None, test_label: str | None = None
) -> Inspection:
    """Read data as `elr.fit` does, and say what was read, without training.

    Pretrained networks are left out: of images and texts the pixels and words are looked at.

    Args:
        data: see `elr.data.reading.read_data`.
        options: how to read them.
        test: data whose labels are trusted.
        test_label: column (or array) of their labels, if it has another name than in `data`.

    Raises:
        ELRError: see `prepare_data`.

    Example:
        >>> found = inspect(([[1.0], [2.0], [3.0], [4.0]], ["cat", "dog"] * 2))
        >>> found.kind, found.num_examples, [each["name"] for each in found.classes]
        ('features', 4, ['cat', 'dog'])
    """
    options = options or ReadOptions()
    options = replace(options, encoder=None, backbone=NO_BACKBONE, weights=None, fine_tune=None)
    return inspection_of(prepare_data(data, options, test=test, test_label=test_label))


def inspection_of(prepared: PreparedData) -> Inspection:
    """What was read, of data that are ready to train on.

    Example:
        >>> prepared = prepare_data(([[1.0], [2.0], [3.0], [4.0]], [1, 0] * 2), ReadOptions())
        >>> inspection_of(prepared).classes[0]
        {'name': '0', 'count': 2, 'share': 0.5}
    """
    records, names = prepared.records, prepared.preprocessing.coding.class_names
    assert prepared.examples.labels is not None, "prepared data have labels"
    counts = Counter(prepared.examples.labels.tolist())
    order = sorted(range(len(names)), key=lambda number: (-counts[number], number))
    test = None
    if prepared.test is not None:
        test = {"source": prepared.test_source or "test data", "num_examples": len(prepared.test)}
        test["facts"] = facts_shown(records.facts.get("test", {}))
    quiet = [found.text for found in prepared.findings if not found.loud]
    return Inspection(
        source=prepared.source,
        kind=records.kind,
        num_examples=len(records),
        labels_from=prepared.options.label_name,
        facts=facts_shown(records.facts),
        classes=[{"name": str(names[k]), "count": counts[k], "share": counts[k] / len(records)} for k in order],
        columns=columns_shown(records, prepared.preprocessing.column_reports, prepared.options),
        test=test,
        remarks=[*records.remarks, *prepared.preprocessing.remarks, *quiet],
        warnings=[found.text for found in prepared.findings if found.loud],
    )


def prepare_records(
    records: Records,
    test: Records | None,
    *,
    options: ReadOptions,
    source: str,
    test_source: str | None = None,
    test_label_name: str | None = None,
    noise: tuple[str, float] | None = None,
    seed: int = 0,
    holdout: float = 0.0,
    coding: LabelCoding | None = None,
) -> PreparedData:
    """Encode data already read; see `prepare_data`.

    `holdout` is the share of the training rows, drawn by `seed`, that is kept apart with its noisy labels; `coding` has
    the classes where they are known beforehand; `test_label_name` is what messages call the labels of the test data, if
    not what they call those trained on.

    Example:
        >>> records = read_data((np.eye(4), [0, 1, 0, 1]), ReadOptions())
        >>> prepare_records(records, None, options=ReadOptions(), source="it", holdout=0.25).validation.inputs.shape
        torch.Size([1, 4])
    """
    preprocessing = fit_preprocessing(records, options, coding=coding)
    if noise is not None:
        if records.clean_labels is not None:
            raise ArgumentError("noise was asked for, and clean labels are named: one of them must go")
        if records.annotations is not None:
            raise ArgumentError("noise was asked for, and labels of annotators are named: one of them must go")
        names = preprocessing.coding.class_names
        given = preprocessing.coding.encode(records.labels or [], column=options.label_name)
        noisy = corrupt(noise[0], given, noise_rate=noise[1], num_classes=len(names), seed=seed)
        records = replace(records, clean_labels=records.labels, labels=[names[label] for label in noisy.labels])
    records, held_out = _split(records, holdout, seed)
    encode = partial(preprocessing.encode, name=source, label_name=options.label_name)
    validation = None if held_out is None else encode(held_out)
    examples = encode(records)
    clean = None
    if records.clean_labels is not None:
        column = f"clean-label column {options.clean_label!r}"
        with records.locating():
            clean = preprocessing.coding.encode(records.clean_labels, column=column)
    label_name = test_label_name or options.label_name
    encoded_test = None
    found = [told(examples, records, columns=preprocessing.columns) for told in (conflict, copies, written_labels)]
    if test is not None:
        encoded_test, of_test = _encoded_test(test, preprocessing, label_name=label_name)
        found += [*of_test, _overlap((records, examples), (test, encoded_test))]
    return PreparedData(
        records=records,
        preprocessing=preprocessing,
        examples=examples,
        clean_labels=clean,
        test=encoded_test,
        validation=validation,
        source=source,
        options=options,
        noise=None if noise is None else f"{noise[0]}:{noise[1]:g}",
        test_source=test_source,
        sha256=_fingerprint(examples, clean, encoded_test, validation),
        findings=tuple(finding for finding in found if finding is not None),
    )


def _split(records: Records, holdout: float, seed: int) -> tuple[Records, Records | None]:
    """Training rows and those held out, both in their order."""
    if not 0.0 <= holdout < 1.0:
        raise ArgumentError(f"holdout is {holdout}: expected a share in [0, 1) of the training rows; the paper has 0.1")
    count = round(holdout * len(records))
    if not count:
        return records, None
    if len(records) - count < 2:
        raise ArgumentError(
            f"holdout {holdout} leaves {len(records) - count} of {len(records)} rows to train on: take a smaller"
        )
    order = np.random.default_rng([seed, _SPLIT_STREAM]).permutation(len(records))
    return records.take(np.sort(order[count:])), records.take(np.sort(order[:count]))


def hold_out(prepared: PreparedData, share: float, *, seed: int) -> PreparedData:
    """Some of the rows, the others kept apart with their given labels; without clean labels and test data.

    Every class keeps a row to train on, whatever the share.

    Args:
        prepared: the data.
        share: of the rows to keep apart, in (0, 1).
        seed: of the draw.

    Example:
        >>> prepared = prepare_data((np.eye(8), [0, 1] * 4), ReadOptions())
        >>> part = hold_out(prepared, 0.25, seed=0)
        >>> len(part.examples), len(part.validation)
        (6, 2)
    """
    assert prepared.examples.labels is not None, "prepared data have labels"
    records = replace(prepared.records, clean_labels=None)
    order = np.random.default_rng([seed, _TUNING_STREAM]).permutation(len(records))
    _, first = np.unique(prepared.examples.labels.numpy()[order], return_index=True)
    held = np.sort(np.delete(order, first)[: round(share * len(records))])
    parts = [records.take(rows) for rows in (np.setdiff1d(order, held), held)]
    examples, validation = (
        prepared.preprocessing.encode(part, name=prepared.source, label_name=prepared.options.label_name)
        for part in parts
    )
    return replace(
        prepared,
        records=parts[0],
        examples=examples,
        clean_labels=None,
        test=None,
        test_source=None,
        validation=validation,
        sha256=_fingerprint(examples, None, None, validation),
        findings=(),
    )


def _encoded_test(
    test: Records, preprocessing: Preprocessing, *, label_name: str
) -> tuple[Examples, tuple[Finding, ...]]:
    """Test data with their labels known to be right, if those have a column, or else the given ones; what was found.

    Rows without a label, or with -1 where that is no class, as published test sets have it, are left out.
    """
    trusted = test if test.clean_labels is None else replace(test, labels=test.clean_labels)
    labels, coding = trusted.labels, preprocessing.coding
    if not len(test):
        raise DataError("the test data have no rows: expected rows with labels to measure on")
    if labels is None:
        hint = KINDS[test.kind].label_hint if label_name == ReadOptions().label_name else ""
        why = "".join(f"; {remark}" for remark in test.remarks if "labels were not taken" in remark)
        why = why if "--test" in why else why.replace("elr fit ", "--test ")  # these are no data to train on
        raise DataError(f"the test data have no labels: expected {label_name}{hint}{why}")
    numbers = coding.numbers(labels)
    gone = [
        number < 0 and (label is None or class_key(label) == NO_VOTE)
        for label, number in zip(labels, numbers.tolist(), strict=True)
    ]
    findings = [Finding(text=f"the test data: {remark}") for remark in test.remarks]
    if any(gone):
        if all(gone):
            raise DataError(f"the test data have no labels: {label_name} is missing or -1 in all {len(gone)} rows")
        findings.append(
            Finding(text=f"{sum(gone)} of {len(gone)} rows of the test data have no label: not measured on")
        )
        trusted = trusted.take(np.flatnonzero(~np.array(gone)))
    encoded = preprocessing.encode(trusted, name="the test data", label_name=f"{label_name} of the test data")
    return encoded, (*findings, *preprocessing.findings(trusted, name="the test data"))


def _overlap(train: tuple[Records, Examples], test: tuple[Records, Examples]) -> Finding | None:
    """Test rows that stand in the training data: texts as such, all else as it was encoded."""
    if train[0].kind != TEXT:
        return overlap(train[1], test[1])
    old, new = (part.table.iloc[:, 0].tolist() for part, _ in (train, test) if part.table is not None)
    return text_overlap(old, new)


def _fingerprint(
    examples: Examples, clean_labels: NDArray[np.int64] | None, test: Examples | None, validation: Examples | None
) -> str:
    """One number for all data that a run depends on or is measured against; a resumed run must have the same."""
    digest = hashlib.sha256()
    for part in (examples, test, validation):
        if part is not None:
            _digest_inputs(part, digest)
            shares = [] if part.label_shares is None else [part.label_shares.numpy()]
            for array in [np.empty(0) if part.labels is None else part.labels.numpy(), *shares]:
                digest.update(np.ascontiguousarray(array).data)
    digest.update(b"" if clean_labels is None else np.ascontiguousarray(clean_labels).data)
    return digest.hexdigest()


def _digest_inputs(part: Examples, digest: hashlib._Hash) -> None:
    """Images on disk count by name, place and geometry: reading a million of them would take hours."""
    inputs = part.inputs
    if isinstance(inputs, StoredInputs):
        digest.update(inputs.identity())
        return
    dense = [inputs.numpy()] if isinstance(inputs, torch.Tensor) else [inputs.data, inputs.indices, inputs.indptr]
    for array in dense:
        digest.update(np.ascontiguousarray(array).data)
