"""What the tests of architectures and of specs share."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from elr.networks.spec import NETWORKS, NetworkSpec
from tiny_networks import spec_of


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The batches here are tiny: on a busy machine a second thread costs more than it gives."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=NETWORKS)
def built(request: pytest.FixtureRequest) -> tuple[NetworkSpec, nn.Module]:
    """One network of each name, as built: the tests that change it restore it or take a new one."""
    spec = spec_of(request.param)
    return spec, spec.build(generator_seed=0)
