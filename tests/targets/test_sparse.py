"""Targets of which the largest of each row are kept, and the others as one number."""

import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.errors import ArgumentError, RowIndexError
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.loss.formulas import confined, elr_term
from elr.targets.dense import DenseTargets
from elr.targets.sparse import STORAGE_DTYPES, SparseTargets
from elr_batches import outputs
from reference.losses_reference import running_average


def cut(rows, top_k):
    """Rows (B, C) with all but the k largest replaced by their mean."""
    order = np.argsort(-rows, axis=1, kind="stable")
    found = rows.copy()
    for row, places in zip(found, order, strict=True):
        if len(places) > top_k:
            row[places[top_k:]] = row[places[top_k:]].mean()
    return found


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.floats(0, 1), st.integers(0, 1000), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_update_is_that_of_whole_rows_cut_to_the_largest(rows, beta, seed, top_k):
    store = SparseTargets(10, 8, top_k=top_k, dtype=torch.float64)
    expected = np.zeros((10, 8))
    for step in range(4):
        probs = outputs(seed + step, len(rows), 8).double()
        returned = store.update(torch.tensor(rows), probs, beta=beta)
        moved = running_average(expected, np.array(rows), probs.numpy(), beta)
        expected[rows] = cut(moved[rows], top_k)
        np.testing.assert_allclose(returned.numpy(), expected[rows], atol=1e-12)
    np.testing.assert_allclose(store.read(torch.arange(10)).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(store.mean().numpy(), expected.mean(axis=0), atol=1e-12)


@given(st.integers(0, 1000), st.floats(0, 0.99))
@settings(max_examples=30, deadline=None)
def test_with_all_classes_stored_it_is_the_dense_store(seed, beta):
    sparse, dense = SparseTargets(6, 5, top_k=16, dtype=torch.float32), DenseTargets(6, 5)
    for step in range(3):
        index, probs = torch.tensor([4, 1, 4, 0]), outputs(seed + step, 4, 5)
        found, expected = sparse.update(index, probs, beta=beta), dense.update(index, probs, beta=beta)
        assert torch.equal(found, expected)
    assert torch.equal(sparse.read(torch.arange(6)), dense.table)
