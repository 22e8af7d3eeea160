import numpy as np
import pytest
import torch

from elr.methods.losses.estimation import estimated_transitions
from elr.methods.method import Batch, View

TRUE = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.25, 0.25, 0.5]])


class Said(View):
    """Rows whose inputs are what a network says of them, in batches of some size."""

    def __init__(self, probs, size=64):
        self.probs, self.size, self.num_examples = torch.as_tensor(probs), size, len(probs)

    def batches(self):
        for rows in torch.arange(len(self.probs)).split(self.size):
            yield Batch(rows, self.probs[rows], torch.zeros(len(rows), dtype=torch.int64))


def said(probs, percentile, size=64):
    return estimated_transitions(Said(probs, size), lambda inputs: inputs, percentile=percentile)


def by_numpy(probs, percentile):
    """Of each class the row that is highest below the percentile, as the authors take it."""
    rows = []
    for column in probs.T:
        threshold = np.percentile(column, percentile, method="higher")
        rows.append(np.where(column >= threshold, -1.0, column).argmax() if percentile < 100 else column.argmax())
    return probs[rows] / probs[rows].sum(axis=1, keepdims=True)


@pytest.mark.parametrize("percentile", [100.0, 97.0, 90.0, 50.0])
@pytest.mark.parametrize("size", [7, 64, 1000])
def test_it_is_read_off_the_row_below_the_percentile(percentile, size):
    probs = np.random.default_rng(0).dirichlet([0.5] * 5, size=400)
    np.testing.assert_allclose(said(probs, percentile, size), by_numpy(probs, percentile), rtol=1e-12)


def test_it_is_exact_where_rows_are_sure_and_the_network_is_right():
    rng = np.random.default_rng(1)
    clean = np.concatenate([rng.dirichlet([1.0] * 3, size=500), np.eye(3)])
    np.testing.assert_allclose(said(clean @ TRUE, 100.0), TRUE, atol=1e-12)
    sure = rng.dirichlet([0.05] * 3, size=2000)  # most rows are all but sure
    np.testing.assert_allclose(said(sure @ TRUE, 97.0), TRUE, atol=2e-3)


def test_a_few_rows_that_were_learned_by_heart_do_no_harm_below_the_percentile():
    clean = np.random.default_rng(2).dirichlet([0.05] * 3, size=1000)
    probs = clean @ TRUE
    probs[:20] = np.eye(3)[np.arange(20) % 3]
    assert np.abs(said(probs, 100.0).numpy() - np.eye(3)).max() < 1e-9
    np.testing.assert_allclose(said(probs, 97.0), TRUE, atol=5e-3)


def test_few_rows_and_rows_all_alike_have_an_estimate():
    np.testing.assert_allclose(said(np.array([[0.7, 0.3]]), 97.0), [[0.7, 0.3], [0.7, 0.3]])
    np.testing.assert_allclose(said(np.full((50, 2), 0.5), 97.0), np.full((2, 2), 0.5))


def test_rows_that_do_not_quite_sum_to_one_are_divided_by_their_sum():
    """As float16 and float32 leave them."""
    probs = np.array([[0.8, 0.4], [0.1, 0.4]])
    np.testing.assert_allclose(said(probs[:1], 100.0), [[2 / 3, 1 / 3]] * 2)
    np.testing.assert_allclose(said(np.array([[0.9, 0.3], [0.1, 0.4]]), 100.0), [[0.75, 0.25], [0.2, 0.8]])
