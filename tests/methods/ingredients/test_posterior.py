"""What a prediction and a given label say together; and targets that are weighed so between generations."""

import copy

import numpy as np
import pytest
import torch

from blobs import C, built, examples
from elr.data.examples import Examples
from elr.data.preprocessing import Augmentation
from elr.data.transforms import ImageTransform
from elr.errors import ArgumentError
from elr.methods.catalog import method_from_json
from elr.methods.elr import ELRConfig
from elr.methods.ingredients.posterior import TransitionCounts, label_posterior
from elr.networks.spec import NetworkSpec
from elr.noise.transitions import count_transitions, transition_matrix
from elr.runs.plan import Plan
from elr.training.config import TrainingConfig
from elr.training.loop import Training


def drawn(rows=50, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(classes), size=rows), rng.integers(classes, size=rows), rng.dirichlet([1] * 4, size=4)


def reference(probs, labels, transitions):
    joint = probs * transitions[:, labels].T
    return joint / joint.sum(axis=1, keepdims=True)


def confident_transitions(labels, probs):
    surest, predicted = probs.max(axis=1).astype(np.float64), probs.argmax(axis=1)
    kept = [surest[row] >= surest[predicted == predicted[row]].mean() * (1 - 1e-6) for row in range(len(labels))]
    assert 0 < sum(kept) < len(kept)
    return transition_matrix(count_transitions(labels[kept], predicted[kept], num_classes=probs.shape[1]))


def test_it_is_bayes_rule():
    probs, labels, transitions = drawn()
    found = label_posterior(torch.tensor(probs), torch.tensor(labels), torch.tensor(transitions))
    np.testing.assert_allclose(found, reference(probs, labels, transitions), rtol=1e-9)


def test_soft_labels_average_the_likelihood():
    probs, labels, transitions = (torch.tensor(part) for part in drawn())
    sure = torch.nn.functional.one_hot(labels, 4)
    torch.testing.assert_close(label_posterior(probs, sure, transitions), label_posterior(probs, labels, transitions))
    even = torch.full_like(probs, 0.25)
    expected = probs * transitions.mean(dim=1)
    torch.testing.assert_close(label_posterior(probs, even, transitions), expected / expected.sum(dim=1, keepdim=True))


def test_a_label_that_is_plausible_prevails_and_an_impossible_one_does_not():
    noise = torch.full((10, 10), 0.04).fill_diagonal_(0.64)
    probs = torch.full((3, 10), 0.001)
    probs[0, [2, 7]] = torch.tensor([0.2, 0.8 - 0.008])  # hesitates between 2 and 7
    probs[1, [2, 7]] = torch.tensor([0.05, 0.95 - 0.008])  # more than sixteen times as probable
    probs[2, [2, 7]] = torch.tensor([0.06, 0.94 - 0.008])  # a little less
    found = label_posterior(probs, torch.tensor([2, 2, 2]), noise)
    assert found.argmax(dim=1).tolist() == [2, 7, 2]
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))


def test_a_label_that_no_class_allows_leaves_the_prediction():
    probs = torch.tensor([[0.3, 0.7, 0.0], [0.2, 0.0, 0.8]])
    never = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(label_posterior(probs, torch.tensor([2, 2]), never), probs)


@pytest.mark.parametrize(
    ("labels", "transitions"),
    [(torch.zeros(3), torch.eye(2)), (torch.zeros(4), torch.eye(3)), (torch.zeros(4, 3),) * 2],
)
def test_shapes_that_do_not_belong_together_are_refused(labels, transitions):
    with pytest.raises(ArgumentError, match=r"shapes \(4, 2\).*expected probabilities \(B, C\)"):
        label_posterior(torch.full((4, 2), 0.5), labels.long(), transitions)


def test_counts_in_batches_are_those_of_confident_rows():
    probs, labels, _ = drawn(rows=60)
    probs[:, 3] = 0.0  # a class that is never predicted
    counts, soft = TransitionCounts(4), TransitionCounts(4)
    parts = [torch.tensor(part) for part in np.array_split(np.arange(60), 7)]
    probs, labels = torch.tensor(probs), torch.tensor(labels)
    for part in parts:
        counts.look(probs[part])
        soft.look(probs[part])
    for part in parts:
        counts.add(probs[part], labels[part])
        soft.add(probs[part], torch.nn.functional.one_hot(labels[part], 4).float())
    expected = confident_transitions(labels.numpy(), probs.numpy())
    np.testing.assert_allclose(counts.transitions, expected, rtol=1e-6)
    np.testing.assert_allclose(soft.transitions, expected, rtol=1e-6)


def test_predictions_that_are_all_as_sure_as_each_other_all_count():
    counts = TransitionCounts(3)
    probs = torch.tensor([[0.7, 0.2, 0.1]]).repeat(11, 1)
    counts.look(probs)
    counts.add(probs, torch.tensor([0] * 8 + [2] * 3))
    torch.testing.assert_close(counts.transitions[0], torch.tensor([8 / 11, 0.0, 3 / 11]))


def test_hesitant_errors_do_not_pass_for_noise():
    """Of 300 rows a network gets the 60 that it is least sure of wrong; a third of all labels flips from 0 to 1."""
    rng = np.random.default_rng(0)
    true = rng.integers(2, size=300)
    noisy = np.where((true == 0) & (rng.random(300) < 1 / 3), 1, true)
    sure = np.where(np.arange(300) < 60, 0.55, 0.95)
    predicted = np.where(np.arange(300) < 60, 1 - true, true)
    probs = torch.tensor(np.where(np.arange(2) == predicted[:, None], sure[:, None], 1 - sure[:, None]))
    counts = TransitionCounts(2)
    counts.look(probs)
    counts.add(probs, torch.tensor(noisy))
    every = transition_matrix(count_transitions(noisy, predicted, num_classes=2))
    truth = transition_matrix(count_transitions(noisy, true, num_classes=2))
    assert np.abs(counts.transitions.numpy() - truth).max() < 0.1 < np.abs(every - truth).max()


def training_of(epochs=4, generations=2, **settings):
    torch.manual_seed(0)
    method = built(ELRConfig(posterior=True, hold=1.0, **settings))
    config = TrainingConfig(
        epochs=epochs, generations=generations, batch_size=20, device="cpu", momentum=0.9, learning_rate=0.01
    )
    return Training(method, examples(), config=config)


@pytest.mark.parametrize("settings", [{}, {"networks": 2, "gamma": 0.9, "mixup": 1.0}, {"snapshots": 1}])
def test_a_generation_ends_with_the_posterior_as_targets(settings, monkeypatch):
    training = training_of(epochs=6, generations=3, **settings)
    expected = []
    begin = Training._begin_generation

    def watched(training):
        was = copy.deepcopy(training.method.state_dict())
        probs = training.predict(training.examples).numpy()
        labels = training.labels.numpy()
        transitions = confident_transitions(labels, probs)
        expected.append(reference(probs.astype(np.float64), labels, transitions))
        assert was.keys() == training.method.state_dict().keys()
        begin(training)
        for store in training.method.stores:
            np.testing.assert_allclose(store.table, expected[-1], atol=1e-6)

    monkeypatch.setattr(Training, "_begin_generation", watched)
    training.run()
    assert len(expected) == 2
    assert not np.allclose(expected[0], expected[1], atol=1e-4)
    probs, labels = training.predict(training.examples).numpy(), training.labels.numpy()
    last = reference(probs.astype(np.float64), labels, confident_transitions(labels, probs))
    assert not np.allclose(last, expected[1], atol=1e-4)
    for store in training.method.stores:  # held to the end, and weighed once more
        np.testing.assert_allclose(store.table, last, atol=1e-6)
    assert training.method.training
    training.run()  # again: nothing changes
    for store in training.method.stores:
        np.testing.assert_allclose(store.table, last, atol=1e-6)


def test_targets_are_weighed_over_mirror_images_where_predictions_are():
    images = torch.randint(256, (60, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = Examples(images, torch.arange(60) % C)
    tables = []
    for mirror in (True, False):
        torch.manual_seed(0)
        net = NetworkSpec("fast", C, widths=(4, 4, 4)).build(generator_seed=0)
        method = ELRConfig(posterior=True, hold=1.0).build([net], num_examples=60, num_classes=C)
        config = TrainingConfig(epochs=2, generations=2, batch_size=20, device="cpu", precision="float32")
        training = Training(method, data, config=config, transform=ImageTransform([0.5] * 3, [0.2] * 3, mirror=mirror))
        training.run()
        probs = training.predict(data).numpy()
        labels = data.labels.numpy()
        expected = reference(probs.astype(np.float64), labels, confident_transitions(labels, probs))
        np.testing.assert_allclose(method.stores[0].table, expected, atol=1e-5)
        tables.append(method.stores[0].table)
    assert not torch.allclose(*tables, atol=1e-3)


def test_posterior_without_anything_to_weigh_is_refused():
    with pytest.raises(ArgumentError, match="posterior sets the targets anew, and without ensembling there are none"):
        ELRConfig(posterior=True, ensembling=False, gamma=0.9)
    with pytest.raises(ArgumentError, match="relabel is for later generations, and there is one"):
        Plan(
            method=ELRConfig(posterior=True, relabel=True, hold=1.0),
            network=NetworkSpec("linear", 3, num_features=2),
            training=TrainingConfig(epochs=2),
            augmentation=Augmentation(),
        )
    with pytest.raises(ArgumentError, match="'cross_entropy' has no setting 'posterior'"):
        method_from_json({"name": "cross_entropy", "posterior": True})
