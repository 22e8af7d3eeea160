"""The nearest rows, dense and sparse."""

import numpy as np
from scipy import sparse

from elr.audit.explanation.gathering import nearest_rows
from elr.data.examples import Examples


def test_twins_do_not_hide_the_others():
    found, _ = nearest_rows(Examples(np.zeros((9, 2), dtype="float32"), None), [3])
    assert len(found[3]) == 5
    assert 3 not in [at for at, _ in found[3]]


def test_sparse_rows_by_cosine():
    rows = sparse.csr_array(np.array([[1.0, 0.0], [0.0, 1.0], [9.0, 0.1]]))
    found, space = nearest_rows(Examples(rows, None), [0])
    assert found[0][0][0] == 2
    assert space.startswith("cosine")
