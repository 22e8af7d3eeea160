import pytest
from torch import nn

from elr.errors import ArgumentError
from elr.methods.config import EXAMPLES, QUANTITIES
from elr.methods.kl_penalty import KLPenaltyConfig


def test_a_run_leaves_out_what_a_method_does_not_have_and_keeps_what_is_asked_for():
    assert KLPenaltyConfig.for_run({"lam": 5.0, "mixup": 1.0}, steps=9, epochs=3, fast=True) == KLPenaltyConfig(lam=5.0)


def test_every_quantity_has_words_and_an_example():
    assert QUANTITIES.keys() == EXAMPLES.keys()


def test_the_same_network_twice_is_refused():
    network = nn.Linear(2, 3)
    with pytest.raises(ArgumentError, match=r"has 1 network\(s\).* and 2 were passed"):
        KLPenaltyConfig().check_networks([network, network])


def test_a_run_is_one_generation_unless_the_method_says_more():
    assert KLPenaltyConfig().generations == 1
