"""The operations that stores of targets are made of."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.errors import RowIndexError
from elr.targets.dense import STORAGE_DTYPES, DenseTargets
from elr.targets.updating import blend, has_repeats, mean_over_repeats, update_rows
from elr_batches import outputs

ROWS = st.lists(st.integers(0, 6), min_size=1, max_size=25)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_repeats_are_seen(rows):
    assert has_repeats(torch.tensor(rows)) == (len(set(rows)) < len(rows))


@given(ROWS, st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_rows_that_repeat_get_the_mean_of_their_outputs(rows, seed):
    index, probs = torch.tensor(rows), outputs(seed, len(rows), 3)
    expected = torch.stack([probs[index == row].mean(dim=0) for row in rows])
    before = probs.clone()
    torch.testing.assert_close(mean_over_repeats(index, probs), expected)
    assert torch.equal(probs, before), "outputs may be buffers of the caller"


@pytest.mark.parametrize("dtype", STORAGE_DTYPES)
def test_a_blend_moves_its_rows_and_no_others(dtype):
    table, index, probs = outputs(0, 6, 3).to(dtype), torch.tensor([4, 1]), outputs(1, 2, 3)
    expected = table.clone()
    full = torch.float64 if dtype == torch.float64 else torch.float32
    expected[index] = (0.7 * table[index].to(full) + 0.3 * probs).to(dtype)
    out = torch.empty(2, 3, dtype=dtype)
    found = blend(table, index, probs, 0.7, out=out)
    assert found.dtype == full
    torch.testing.assert_close(table, expected)
    assert torch.equal(found, table[index].to(full)), "what it returns is what was stored"
    assert torch.equal(out, table[index])


def test_an_update_as_one_operation_is_the_update_of_the_store():
    store, index, probs = DenseTargets(6, 3), torch.tensor([3, 1, 3]), outputs(2, 3, 3)
    table = store.table.clone()
    expected = store.update(index, probs, beta=0.7)
    torch.testing.assert_close(update_rows(table, index, probs, 0.7), expected)
    torch.testing.assert_close(table, store.table)
    torch.library.opcheck(torch.ops.elr.update_rows, (table, index, probs, 0.7))
    with pytest.raises(RowIndexError, match="index 6"):
        update_rows(table, torch.tensor([0, 6, 1]), probs, 0.7)
    torch.testing.assert_close(table, store.table)
