"""Every store of targets through one battery: what the loss and the loop rely on."""

import pytest
import torch

from elr.targets.config import DTYPES, PLACEMENTS, TargetsConfig
from elr_batches import outputs

STORES = {
    f"{placement} {dtype}": TargetsConfig(placement=placement, dtype=dtype)
    for placement in PLACEMENTS
    for dtype in DTYPES
}


@pytest.fixture(params=STORES)
def store(request):
    return STORES[request.param].build(9, 4)


def test_rows_never_updated_are_zero(store):
    store.update(torch.tensor([4, 2]), outputs(0, 2, 4), beta=0.7)
    rows = store.read(torch.arange(9))
    assert (rows.sum(dim=1) > 0).nonzero().flatten().tolist() == [2, 4]
