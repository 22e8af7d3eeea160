import random
import threading
import time

import numpy as np
import torch
from torch import nn

from elr.training import engine
from elr.training.engine import SMALL_NETWORK, is_lost_rank, preserved_random_state, threads_for


def test_random_state_comes_back_for_all_three():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    with preserved_random_state():
        random.seed(7)
        np.random.seed(7)  # noqa: NPY002
        torch.manual_seed(7)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_only_small_perceptrons_are_computed_in_one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for network, expected in (
            (nn.Linear(2, 2), 1),
            (nn.Linear(SMALL_NETWORK, 1), 2),
            (nn.Conv2d(1, 1, 1), 2),
            (nn.Linear(SMALL_NETWORK, 1).requires_grad_(False), 1),
        ):
            with threads_for(network):
                assert torch.get_num_threads() == expected
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_under_several_processes_an_error_of_the_group_is_that_another_has_ended(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_lost_rank(RuntimeError("[gloo] Connection reset by peer"))
    assert is_lost_rank(torch.distributed.DistBackendError("NCCL error"))
    assert not is_lost_rank(RuntimeError("shapes do not fit"))
    assert not is_lost_rank(OSError("Connection reset by peer"))


def test_threads_make_the_engine_one_by_one(monkeypatch):
    at_once, most = [], []

    def slow(**_):
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.02)
        at_once.pop()

    monkeypatch.setattr(engine, "Accelerator", slow)
    threads = [threading.Thread(target=engine.make_accelerator, args=("cpu",)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert most == [1] * 4
