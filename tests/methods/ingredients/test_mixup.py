"""The mixing of examples, against the formula one row at a time."""

import numpy as np
import pytest
import torch

from elr.methods.ingredients.mixup import Mixing, draw_mixing

CPU = torch.device("cpu")


def drawn(count, alpha, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return draw_mixing(count, alpha=alpha, device=CPU)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 4, 4)])
def test_each_row_is_mixed_with_its_partner(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mixing = Mixing(0.75, torch.tensor([4, 1, 0, 2, 2]))
    mixed = mixing.mix(values)
    for row, partner in enumerate(mixing.partner.tolist()):
        torch.testing.assert_close(mixed[row], 0.75 * values[row] + 0.25 * values[partner])


def test_a_full_weight_changes_nothing():
    values = torch.randn(4, 2)
    assert torch.equal(Mixing(1.0, torch.tensor([1, 0, 3, 2])).mix(values), values)


def test_mixed_labels_stay_probabilities():
    labels = torch.eye(4)
    mixed = drawn(4, 1.0).mix(labels)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(4))
    assert (mixed.diagonal() >= 0.5).all()


def test_inputs_of_every_form_are_mixed_alike():
    mixing = drawn(6, 1.0)
    first, second = torch.randn(6, 2), torch.randn(6, 3, 2)
    assert torch.equal(mixing.mix_inputs(first), mixing.mix(first))
    mixed = mixing.mix_inputs({"a": first, "b": second})
    assert set(mixed) == {"a", "b"}
    assert torch.equal(mixed["a"], mixing.mix(first))
    assert torch.equal(mixed["b"], mixing.mix(second))


def test_what_is_mixed_is_left_as_it_was():
    values = torch.randn(6, 2)
    before = values.clone()
    drawn(6, 1.0).mix(values)
    assert torch.equal(values, before)


def test_mixing_keeps_precision_and_passes_gradients():
    mixing = Mixing(0.75, torch.tensor([1, 0]))
    assert mixing.mix(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16
    values = torch.ones(2, 3, requires_grad=True)
    mixing.mix(values)[0].sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([[0.75] * 3, [0.25] * 3]))


@pytest.mark.parametrize("alpha", [0.1, 1.0, 8.0])
def test_a_draw_is_one_weight_and_a_permutation(alpha):
    for seed in range(20):
        mixing = drawn(7, alpha, seed)
        assert isinstance(mixing.weight, float)
        assert 0.5 <= mixing.weight <= 1.0
        assert sorted(mixing.partner.tolist()) == list(range(7))


def test_the_papers_weight_is_uniform_on_the_upper_half():
    weights = np.array([drawn(1, 1.0, seed).weight for seed in range(500)])
    assert abs(weights.mean() - 0.75) < 0.02
    assert abs(weights.std() - 0.5 / 12**0.5) < 0.02
    concentrated = np.array([drawn(1, 50.0, seed).weight for seed in range(50)])
    assert concentrated.max() < 0.7


def test_a_draw_follows_torchs_generator_of_the_processor():
    first, again, other = drawn(50, 1.0, 3), drawn(50, 1.0, 3), drawn(50, 1.0, 4)
    assert first.weight == again.weight != other.weight
    assert torch.equal(first.partner, again.partner)
    assert not torch.equal(first.partner, other.partner)


def test_a_single_example_is_its_own_partner():
    values = torch.randn(1, 3)
    torch.testing.assert_close(drawn(1, 1.0).mix(values), values)


def test_the_share_itself_may_be_taken():
    """Whichever half it lies in: the same draws, not turned to the upper one."""
    for seed in range(20):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            plain = draw_mixing(5, alpha=1.0, device=CPU, nearer=False)
        turned = drawn(5, 1.0, seed)
        assert turned.weight == max(plain.weight, 1.0 - plain.weight)
        assert torch.equal(turned.partner, plain.partner)
