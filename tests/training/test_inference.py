import numpy as np
import pytest
import torch
from torch import nn

from blobs import METHODS, C, N, blobs, examples, network
from elr.audit.evidence import Evidence, write_evidence
from elr.data.examples import Examples
from elr.data.transforms import ImageTransform, Transform
from elr.methods.elr import ELR, ELRConfig
from elr.methods.method import Batch
from elr.networks.spec import NetworkSpec
from elr.targets.dense import DenseTargets
from elr.training import inference
from elr.training.config import ALL, ANEW, TrainingConfig
from elr.training.inference import PlainInputs, ahead, gathered_probs, predicted_probs, settle_statistics, softmax_of
from elr.training.loop import Training

CPU = torch.device("cpu")


def test_all_examples_come_once_in_order_and_in_every_view():
    pixels = torch.arange(5 * 3 * 4 * 4, dtype=torch.uint8).reshape(5, 3, 4, 4)
    transform = ImageTransform([0.5] * 3, [0.25] * 3, mirror=True, flip=True)
    inputs = PlainInputs(transform=transform, device=CPU, channels_last=True)
    [(rows, (plain, mirrored))] = inputs.views(Examples(pixels, None))
    assert rows.tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(plain.flip(3), mirrored)
    assert plain.is_contiguous(memory_format=torch.channels_last)
    [(_, alone)] = inputs.inputs(Examples(pixels, None))
    assert torch.equal(alone, plain)


def test_predictors_and_views_are_averaged_in_eval_mode_without_gradient():
    pair = nn.ModuleList([nn.Sequential(network(), nn.Dropout(0.9)) for _ in range(2)])
    views = [examples().inputs[:7], examples().inputs[7:14]]
    [probs] = predicted_probs(pair, [views], predictors=[softmax_of(each) for each in pair])
    assert pair.training
    assert not probs.requires_grad
    expected = torch.stack([each[0](view).softmax(dim=1) for each in pair for view in views]).mean(dim=0)
    assert torch.equal(probs, expected)


def test_the_mode_comes_back_where_a_prediction_fails():
    module = network().train()

    def fail(inputs):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(predicted_probs(module, [[torch.zeros(1, 8)]], predictors=[fail]))
    assert module.training
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("sizes", [[3], [1, 2], [2, 1], [1, 1, 1]])
def test_rows_of_which_nothing_was_gathered_get_what_is_given_instead(sizes, monkeypatch):
    monkeypatch.setattr(inference, "_NUMBERS", 2 * C)  # two rows at a time
    method = METHODS["elr"]()
    method.stores[0].update(torch.arange(N), torch.eye(C)[torch.arange(N) % C], beta=0.0)
    unseen = torch.tensor([0, 4, 7])
    instead = torch.full((3, C), 1 / C) + torch.tensor([[0.0], [0.1], [0.2]])
    parts = list(gathered_probs(method, N, unseen=unseen, instead=instead.split(sizes)))
    assert torch.equal(torch.cat([rows for rows, _ in parts]), torch.arange(N))
    probs = torch.cat([chunk for _, chunk in parts])
    assert torch.equal(probs[unseen], instead)
    seen = torch.ones(N, dtype=torch.bool)
    seen[unseen] = False
    assert torch.equal(probs[seen], torch.eye(C)[torch.arange(N) % C][seen])


def test_a_method_without_memory_of_rows_gathers_nothing():
    assert list(gathered_probs(METHODS["cross entropy"](), N)) == []


class Watched(DenseTargets):
    """Targets that record the most rows read at a time."""

    most = 0

    def read(self, index):
        self.most = max(self.most, len(index))
        return super().read(index)


@pytest.mark.parametrize("sampling", [ALL, ANEW])
def test_no_part_of_a_run_asks_a_store_for_more_rows_than_a_chunk(sampling, tmp_path, monkeypatch):
    """The end of an epoch, of training and of a run: of 120 rows, never more than a chunk or a batch at a time."""
    monkeypatch.setattr(inference, "_NUMBERS", 16 * C)
    store = Watched(N, C)
    method = ELR([network()], ELRConfig(), stores=[store])
    config = TrainingConfig(epochs=2, batch_size=8, device="cpu")
    if sampling == ANEW:
        config = TrainingConfig(epochs=2, batch_size=8, device="cpu", sampling=ANEW, num_batches=6)
    training = Training(method, examples(), config=config)
    training.run()
    assert store.most == 16
    evidence = Evidence(
        rows=np.arange(N),
        ids=None,
        class_names=tuple(range(C)),
        labels=training.labels.numpy(),
        margins=training.state.monitor.margins.astype(np.float32),
        chunks=lambda: (probs.numpy() for probs in training.pred_prob_chunks()),
    )
    audit = write_evidence(tmp_path / "evidence.parquet", evidence)
    assert store.most == 16
    np.testing.assert_array_equal(audit.error_probs, 1 - evidence.pred_probs[range(N), blobs()[1]].astype(np.float64))
    assert torch.equal(training.pred_probs(), torch.from_numpy(evidence.pred_probs))


def test_features_go_through_as_they_are():
    [(_, [view])] = PlainInputs(transform=Transform(), device=CPU).views(examples())
    assert torch.equal(view, examples().inputs)


def test_ahead_keeps_order_and_begins_early():
    begun = []
    items = ahead((begun.append(item) or item for item in range(5)), 2)
    assert next(items) == 0
    assert begun == [0, 1, 2]
    assert list(items) == [1, 2, 3, 4]
    assert list(ahead([], 2)) == []


def convolutional():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_a_network_that_was_trained_for_a_few_steps_predicts_what_it_has_learned(gamma):
    """Averages of batch normalization lag behind: without settling them, eval mode sees one class only."""
    labels = np.arange(40) % 2
    pixels = np.random.default_rng(0).integers(0, 80, size=(40, 3, 16, 16)) + 150 * labels[:, None, None, None]
    images = Examples(torch.from_numpy(pixels.astype(np.uint8)), labels)
    transform = ImageTransform([0.45] * 3, [0.3] * 3)
    config = TrainingConfig(epochs=10, batch_size=40, learning_rate=0.1, nesterov=True, device="cpu")
    settings = {"gamma": gamma, "predict_with": "averaged"} if gamma else {}
    net = NetworkSpec("fast", 2, in_channels=3, widths=(8, 16, 16)).build(generator_seed=0)
    method = ELRConfig(**settings).build([net], num_examples=40, num_classes=2)
    training = Training(method, images, config=config, transform=transform, probe=images)
    training.run()
    assert training.history[-1]["agreement_with_given_labels"] > 0.95
    for predicted in (training.predict_labels(images), training.probe_labels[-1]):  # also where test data are measured
        assert (predicted.numpy() == labels).mean() > 0.9


@pytest.mark.parametrize(("tracked", "settled"), [(99, True), (100, False)])
def test_statistics_that_have_seen_their_batches_stay_as_they_are(tracked, settled):
    net = convolutional()
    net[1].num_batches_tracked.fill_(tracked)
    method = ELRConfig().build([net], num_examples=9, num_classes=2)
    before, asked = net[1].running_mean.clone(), []
    index = torch.arange(3)

    def batches(epoch):
        asked.append(epoch)
        return [(Batch(index, torch.ones(3, 3, 8, 8), index % 2), 1.0)] * 4

    settle_statistics(method, batches)
    assert asked == ([0, 1, 2] if settled else []), "at least ten batches"
    assert torch.equal(net[1].running_mean, before) != settled
