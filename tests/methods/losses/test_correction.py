import json

import numpy as np
import pytest
import torch
from torch import nn

from blobs import NEXT_CLASS, C, N, Rows, built, examples, impartial
from elr.data.examples import Examples
from elr.errors import ArgumentError, TrainingError
from elr.methods.catalog import method_from_json
from elr.methods.losses.backward_correction import BackwardCorrectionConfig
from elr.methods.losses.forward_correction import ForwardCorrectionConfig
from elr.methods.method import Batch
from elr.networks.spec import NetworkSpec
from elr.noise.models import corrupt_transition
from elr.training.config import TrainingConfig
from elr.training.loop import Training

BOTH = pytest.mark.parametrize("config", [ForwardCorrectionConfig, BackwardCorrectionConfig])
TRUE = np.array([[0.65, 0.35, 0.0], [0.0, 0.8, 0.2], [0.1, 0.1, 0.8]])


def training_of(method, **changes):
    return Training(
        method, examples(), config=TrainingConfig(**{"epochs": 6, "batch_size": 20, "device": "cpu"} | changes)
    )


def planted(count=3000):
    """Examples of three classes that overlap a little, labels by TRUE, and their true classes."""
    rng = np.random.default_rng(0)
    clean = rng.integers(3, size=count)
    features = (2.5 * np.eye(3)[clean] + rng.normal(size=(count, 3)) * 0.7).astype(np.float32)
    given = corrupt_transition(clean, transition_matrix=TRUE, seed=0).labels
    return Examples(features, given), torch.from_numpy(clean)


@BOTH
def test_the_estimate_is_close_to_the_true_matrix_in_a_planted_case(config):
    data, clean = planted()
    network = NetworkSpec("mlp", 3, num_features=3, hidden=(32,)).build(generator_seed=0)
    method = config(warmup=10).build([network], num_examples=len(clean), num_classes=3)
    loop = TrainingConfig(epochs=20, batch_size=100, learning_rate=0.05, weight_decay=0.0, device="cpu")
    training = Training(method, data, config=loop)
    training.run()
    assert np.abs(method.transitions.numpy() - TRUE).max() < 0.08
    torch.testing.assert_close(method.transitions.sum(dim=1), torch.ones(3))
    assert (training.predict(data).argmax(dim=1) == clean).float().mean() > 0.97


@BOTH
def test_probabilities_are_of_what_is_true_and_those_of_cross_entropy_of_what_is_given(
    config,
):
    data, clean = planted()
    said = {}
    for matrix in (TRUE, np.eye(3)):  # without noise it is cross entropy
        method = config(transition=matrix).build([nn.Linear(3, 3)], num_examples=len(clean), num_classes=3)
        loop = TrainingConfig(epochs=20, batch_size=100, learning_rate=0.05, weight_decay=0.0, device="cpu")
        training = Training(method, data, config=loop)
        training.run()
        probs = training.predict(data)
        said[bool(matrix[0, 1])] = torch.stack([probs[clean == c].mean(dim=0) for c in range(3)]).numpy()
    assert np.abs(said[True] - np.eye(3)).max() < 0.08
    assert np.abs(said[False] - TRUE).max() < 0.08


@BOTH
def test_the_second_part_starts_from_the_first_weights(config):
    network = impartial()
    first = {name: value.clone() for name, value in network.state_dict().items()}
    method = built(config(warmup=2), network)
    seen, known = [], []

    def note(module, arguments):
        if method.training:
            seen.append({name: value.clone() for name, value in network.state_dict().items()})
            known.append(method.known)

    method.register_forward_pre_hook(note)
    training_of(method, epochs=4).run()
    assert known == [False] * 12 + [True] * 12 or known.index(True) in (11, 12)
    for name, value in first.items():
        assert torch.equal(seen[0][name], value)
        assert torch.equal(seen[known.index(True)][name], value)
    assert any(not torch.equal(seen[known.index(True) - 1][name], value) for name, value in first.items())


def test_the_warm_up_does_not_see_the_rows_held_out_and_the_rest_of_the_run_does():
    method, rows = built(ForwardCorrectionConfig(warmup=2, held_out=0.25), impartial()), {}

    def note(module, arguments):
        if method.training:
            rows.setdefault(method.known, set()).update(arguments[0].index.tolist())

    method.register_forward_pre_hook(note)
    training_of(method, epochs=4).run()
    assert len(rows[False]) == 0.75 * N
    assert len(rows[True]) == N


def test_the_matrix_is_read_from_the_network_that_was_best_on_the_rows_held_out():
    method = built(ForwardCorrectionConfig(warmup=3), impartial())
    view = Rows()
    method.begin_epoch(0, view)
    held = sorted(set(range(N)) - set(method.epoch_rows(0, 0).tolist()))
    states, losses = [], []
    for scale in (0.3, 2.0):  # the second is too sure of itself
        for weight in method.network.parameters():
            nn.init.normal_(weight, std=scale, generator=torch.Generator().manual_seed(1))
        states.append({name: value.clone() for name, value in method.network.state_dict().items()})
        logits = method.network(examples().fetch(torch.tensor(held)))
        losses.append(nn.functional.cross_entropy(logits, examples().labels[held], reduction="sum").item())
        method.begin_epoch(len(states), view)
    assert losses[0] < losses[1]
    assert method.lowest == pytest.approx(losses[0], rel=1e-5)
    for name, value in method.best.state_dict().items():
        assert torch.equal(value, states[0][name])


def test_without_rows_held_out_it_is_the_last_network_that_counts():
    method = built(ForwardCorrectionConfig(warmup=3, held_out=0.0), impartial())
    method.begin_epoch(0, Rows())
    assert method.epoch_rows(0, 0) is None
    with torch.no_grad():
        for weight in method.network.parameters():
            weight += 1.0
    method.begin_epoch(1, Rows())
    for name, value in method.best.state_dict().items():
        assert torch.equal(value, method.network.state_dict()[name])


def test_where_the_loop_has_generations_the_first_is_the_warm_up():
    """And the second has optimizer and schedule from their beginning."""
    method = built(ForwardCorrectionConfig(), impartial())
    training = training_of(method, epochs=6, generations=2)
    known = []
    method.register_forward_pre_hook(lambda *_: known.append(method.known) if method.training else None)
    training.run()
    assert 17 <= known.index(True) <= 18
    assert not method.transitions.equal(torch.zeros(C, C))
    rates = [record["learning_rate"] for record in training.history]
    assert rates[:3] == rates[3:]


def test_until_the_estimate_it_is_cross_entropy():
    method = built(BackwardCorrectionConfig()).train()
    index = torch.tensor([4, 9])
    step = method(Batch(index, examples().fetch(index), examples().labels[index]))
    torch.testing.assert_close(step.loss, nn.functional.cross_entropy(step.logits, examples().labels[index]))


def test_a_run_that_ends_before_the_estimate_says_so():
    with pytest.raises(TrainingError, match="would be estimated after 60 epochs, so that nothing was corrected"):
        training_of(built(ForwardCorrectionConfig(warmup=60)), epochs=2).run()


def test_a_network_that_says_nothing_finite_of_the_rows_held_out_gives_no_estimate():
    """The first weights, which were there before the warm-up, do not stand in for it."""
    method = built(ForwardCorrectionConfig(warmup=1))
    method.begin_epoch(0, Rows())
    with torch.no_grad():
        next(method.network.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingError, match=r"never had a finite cross entropy.*diverged; lower the learning rate"):
        method.begin_epoch(1, Rows())


class OfRankOne(Rows):
    """The rows as the second of two ranks has them, where the first one has found other values."""

    def __init__(self, first):
        super().__init__()
        self.first = first

    def agreed(self, values):
        first = self.first.get(values.ndim, values)
        assert (first.shape, first.dtype) == (values.shape, values.dtype), "the ranks send the same kind of numbers"
        return first


def test_every_rank_has_the_estimate_of_the_first_one():
    method = built(ForwardCorrectionConfig(warmup=1))
    view = OfRankOne({2: torch.tensor(NEXT_CLASS, dtype=torch.float64), 1: torch.tensor([2.5], dtype=torch.float64)})
    method.begin_epoch(0, view)
    method.begin_epoch(1, view)
    torch.testing.assert_close(method.transitions, torch.tensor(NEXT_CLASS))
    assert method.lowest == 2.5


def test_an_estimate_that_cannot_be_inverted_ends_the_run_in_words():
    method = built(BackwardCorrectionConfig(warmup=1), impartial())  # which says the same of all rows
    method.begin_epoch(0, Rows())
    with pytest.raises(TrainingError, match="the estimated transition matrix has condition number"):
        method.begin_epoch(1, Rows())


@BOTH
def test_a_run_has_a_generation_for_the_estimate_or_as_many_epochs_as_are_asked_for(config):
    def of(epochs, **asked):
        return config.for_run(asked, steps=100, epochs=epochs, fast=False)

    assert of(240).warmup is None
    assert of(240).generations == 2
    assert of(11, warmup=3).warmup == 3
    assert of(11, warmup=3).generations == 1
    with pytest.raises(ArgumentError, match="of 11 epochs: the transition matrix would be estimated when"):
        of(11, warmup=11)
    known = of(1, transition=NEXT_CLASS)
    assert known.transition == tuple(map(tuple, NEXT_CLASS))
    assert known.generations == 1
    known.check_generations(1)
    with pytest.raises(ArgumentError, match=r"generations is 1, and .* at the end of the first of two: set training's"):
        config().check_generations(1)


@BOTH
def test_a_recipe_that_is_cut_short_has_a_shorter_warm_up(config):
    long = config(warmup=10)
    assert long.resized(0.25, generations=1).warmup == 2
    assert long.resized(0.01, generations=1).warmup == 1
    assert long.resized(0.5, generations=2).warmup is None
    assert config().resized(0.5, generations=2) == config()


@BOTH
def test_a_matrix_goes_through_json_and_arrays(config):
    given = config(transition=NEXT_CLASS)
    assert (
        given
        == config(transition=np.array(NEXT_CLASS))
        == config(transition=torch.tensor(NEXT_CLASS, dtype=torch.float64))
    )
    assert method_from_json(json.loads(json.dumps(given.to_json()))) == given
    torch.testing.assert_close(built(given).transitions, torch.tensor(NEXT_CLASS))


@BOTH
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transition": [[0.9, 0.1]]}, r"transition has shape \(1, 2\); expected \(C, C\)"),
        ({"transition": [[0.9, 0.1], [0.1]]}, "transition is no array"),
        ({"transition": "true"}, "transition is .true.; expected a row for each true class"),
        ({"transition": [[0.9, 0.2], [0.1, 0.9]]}, r"row 0 of transition sums to 1\.1; expected 1"),
        ({"transition": [[1.1, -0.1], [0.1, 0.9]]}, "transition has a negative or not finite entry"),
        ({"percentile": 0.0}, r"percentile is 0.0: expected a number in \(0, 100\]"),
        ({"warmup": 0}, "warmup is 0: expected at least 1 epoch"),
        ({"held_out": 1.0}, r"held_out is 1.0: expected a share of the rows in \[0, 1\)"),
        ({"held_out": "much"}, "held_out is 'much': expected a number"),
    ],
)
def test_settings_that_cannot_be_are_refused(config, settings, message):
    with pytest.raises(ArgumentError, match=message):
        config(**settings)


def test_a_matrix_for_other_classes_is_refused():
    with pytest.raises(ArgumentError, match=r"transition is for 2 classes, and there are 3: expected \(3, 3\)"):
        built(ForwardCorrectionConfig(transition=[[0.9, 0.1], [0.1, 0.9]]))


@BOTH
def test_gradients_of_the_logits_are_those_of_the_losses(config):
    method = built(config(transition=NEXT_CLASS)).train()
    index = torch.tensor([4, 9, 11])
    labels = examples().labels[index]
    logits = method(Batch(index, examples().fetch(index), labels)).logits.detach().requires_grad_()
    losses = method.config.corrected(logits, labels, method.factors)
    [expected] = torch.autograd.grad(losses.sum(), logits)
    torch.testing.assert_close(method.logit_gradients(index, logits.detach(), labels), expected)
    plain = built(config())  # which knows nothing yet
    [expected] = torch.autograd.grad(nn.functional.cross_entropy(logits, labels, reduction="sum"), logits)
    torch.testing.assert_close(plain.logit_gradients(index, logits.detach(), labels), expected)


def test_a_state_brings_back_whether_there_was_an_estimate_and_how_good_the_best_network_was():
    method = built(ForwardCorrectionConfig(warmup=1))
    method.begin_epoch(0, Rows())
    method.begin_epoch(1, Rows())
    again = built(ForwardCorrectionConfig(warmup=1))
    assert (again.known, again.lowest) == (False, float("inf"))
    again.load_state_dict(method.state_dict())
    assert (again.known, again.lowest) == (True, method.lowest)
    assert 0.0 < again.lowest < float("inf")
    assert torch.equal(again.transitions, method.transitions)
    assert not any(each.requires_grad for each in (*again.first.parameters(), *again.best.parameters()))


def test_a_run_that_ends_within_its_generation_says_so():
    with pytest.raises(TrainingError, match="would be estimated after a generation, so that nothing was corrected"):
        built(ForwardCorrectionConfig()).end_training(Rows())
