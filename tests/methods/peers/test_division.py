"""The mixture of two Gaussians, against one fitted here, and on losses whose origin is known."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from elr.errors import TrainingError
from elr.methods.peers.division import clean_probs_of, unit_losses


def planted(count=400, share=0.3, seed=0):
    """Losses, and which of them are of wrong labels."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(count) < share
    losses = np.where(wrong, rng.normal(3.0, 0.6, count), rng.gamma(1.5, 0.2, count)).clip(0.0)
    return torch.from_numpy(losses).float(), wrong


def test_planted_losses_are_told_apart():
    losses, wrong = planted()
    probs = clean_probs_of(unit_losses(losses))
    assert ((probs > 0.5).numpy() == ~wrong).mean() > 0.98


@pytest.mark.parametrize("seed", range(3))
def test_it_is_scikit_learns_mixture_with_the_published_settings(seed):
    losses, _ = planted(seed=seed)
    scaled = ((losses - losses.min()) / (losses.max() - losses.min())).double().numpy()[:, None]
    mixture = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(scaled)
    expected = mixture.predict_proba(scaled)[:, mixture.means_.argmin()]
    np.testing.assert_allclose(clean_probs_of(unit_losses(losses)).numpy(), expected, atol=1e-5)


def test_the_same_losses_give_the_same_division():
    losses = unit_losses(planted()[0])
    np.random.seed(1)  # noqa: NPY002 - scikit-learn would take it where no seed is given
    first = clean_probs_of(losses)
    np.random.seed(2)  # noqa: NPY002
    assert torch.equal(first, clean_probs_of(losses))


def test_losses_lie_between_zero_and_one():
    scaled = unit_losses(torch.tensor([2.0, torch.nan, 4.0, torch.inf, 3.0]))
    assert scaled[[0, 2, 4]].tolist() == [0.0, 1.0, 0.5]
    assert scaled[[1, 3]].isfinite().tolist() == [False, False]
    assert unit_losses(torch.full((3,), 7.0)).tolist() == [0.0] * 3


def test_losses_that_are_alike_speak_against_no_label():
    assert clean_probs_of(torch.zeros(5)).tolist() == [1.0] * 5
    assert clean_probs_of(torch.tensor([0.3])).tolist() == [1.0]


def test_a_loss_that_is_not_finite_speaks_against_its_label():
    losses, _ = planted()
    losses[7], losses[8] = torch.nan, torch.inf
    probs = clean_probs_of(unit_losses(losses))
    assert probs[[7, 8]].tolist() == [0.0, 0.0]
    others = [row for row in range(400) if row not in (7, 8)]
    assert torch.equal(probs[others], clean_probs_of(unit_losses(losses[others])))


def test_losses_none_of_which_is_finite_are_refused():
    with pytest.raises(TrainingError, match="no training example has a finite loss: training diverged"):
        clean_probs_of(unit_losses(torch.full((4,), torch.nan)))


def test_published_steps_that_do_not_converge_are_no_warning():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean_probs_of(unit_losses(torch.from_numpy(rng.exponential(size=3000)).float()))
        clean_probs_of(torch.tensor([0.0, 1.0, 0.0, 1.0]))
