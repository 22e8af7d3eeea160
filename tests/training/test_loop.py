import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from blobs import METHODS, C, N, blobs, examples, network
from elr.data.examples import Examples
from elr.data.transforms import ImageTransform
from elr.devices import computes_bfloat16
from elr.errors import ArgumentError, TrainingError
from elr.methods.cross_entropy import LossMethod
from elr.methods.elr import ELRConfig
from elr.methods.method import ParameterGroup
from elr.networks.spec import NetworkSpec
from elr.training import checkpoints
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr.training.monitor import Monitor
from elr.training.progress import read_lines


def training_of(method="elr", folder=None, **settings):
    config = TrainingConfig(**{"epochs": 3, "batch_size": 20, "device": "cpu"} | settings)
    return Training(METHODS[method](), examples(), config=config, folder=folder)


def test_each_row_comes_once_an_epoch_in_batches_of_nearly_one_size():
    training = training_of(batch_size=50)
    batches = [batch for batch, share in training._batches()]
    assert [len(batch.index) for batch in batches] == [40, 40, 40]
    rows = torch.cat([batch.index for batch in batches])
    assert sorted(rows.tolist()) == list(range(N))
    assert rows.tolist() != list(range(N))
    for batch in batches:
        assert torch.equal(batch.inputs, examples().fetch(batch.index))
        assert torch.equal(batch.labels, examples().labels[batch.index])


def test_callers_random_state_is_left_alone(tmp_path):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    training_of("elr with dropout", tmp_path).run()
    training_of("elr with dropout", tmp_path).run(resume=True)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002


def test_callers_number_of_threads_is_left_alone():
    threads = torch.get_num_threads()
    inside = []
    training_of().run(on_progress=lambda progress: inside.append(torch.get_num_threads()))
    assert set(inside) == {1}
    assert torch.get_num_threads() == threads


def test_history_is_written_while_it_runs(tmp_path):
    seen = []

    def look(progress):
        if progress.step % 6 == 0 and progress.record:
            seen.append((progress.epoch, len(read_lines(tmp_path / "metrics.jsonl"))))

    training = training_of(folder=tmp_path)
    training.run(on_progress=look)
    assert {1, 2, 3} == {epoch for epoch, _ in seen}
    assert all(lines == epoch for epoch, lines in seen)
    records = read_lines(tmp_path / "metrics.jsonl")
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert {"loss", "cross_entropy", "elr", "learning_rate", "agreement_with_given_labels", "seconds"} <= set(
        records[0]
    )
    assert records[0]["change"] is None  # there is no epoch before the first: null, not NaN


def test_measures_against_clean_labels():
    _, given, clean = blobs()
    config = TrainingConfig(epochs=8, batch_size=20, device="cpu")
    training = Training(METHODS["elr"](), examples(), config=config, monitor=Monitor(given, clean_labels=clean))
    training.run()
    last = training.history[-1]
    assert last["fraction_correct_on_wrong"] > 0.8
    total = sum(last[f"fraction_{word}_on_wrong"] for word in ("correct", "memorized", "incorrect"))
    assert total == pytest.approx(1.0)


def test_probe_is_predicted_after_each_epoch():
    config = TrainingConfig(epochs=3, batch_size=20, device="cpu")
    features, _, _ = blobs()
    training = Training(METHODS["elr"](), examples(), config=config, probe=Examples(features[:7], None))
    training.run()
    assert training.probe_labels.shape == (3, 7)
    last = training.predict(Examples(features[:7], None)).argmax(dim=1)
    assert torch.equal(training.probe_labels[-1], last)


def test_pred_probs_are_what_training_gathered_or_the_outputs():
    elr, plain = training_of(), training_of("cross entropy")
    for training in (elr, plain):
        training.run()
    targets = elr.method.stores[0].table
    torch.testing.assert_close(elr.pred_probs(), targets / targets.sum(dim=1, keepdim=True))
    assert list(plain._favored()) == []
    torch.testing.assert_close(plain.pred_probs(), plain.predict(examples()))


def test_a_diverging_run_stops_with_advice():
    class Exploding(nn.Module):
        def forward(self, logits, labels):
            return torch.full_like(logits[:, 0], torch.inf) * logits.sum(dim=1)

    training = Training(LossMethod(network(), Exploding()), examples(), config=TrainingConfig(epochs=2, batch_size=20))
    with pytest.raises(TrainingError, match="diverged; lower the learning rate"):
        training.run()


def test_too_few_examples_and_no_labels_are_refused():
    with pytest.raises(
        ArgumentError, match="120 examples are fewer than a batch of 121: choose a batch size of at most 120"
    ):
        training_of(batch_size=121)
    with pytest.raises(ArgumentError, match="no labels"):
        Training(METHODS["elr"](), Examples(blobs()[0], None), config=TrainingConfig())


def test_methods_see_every_row_in_order_between_epochs():
    seen = []

    class Looking(LossMethod):
        def begin_epoch(self, epoch, view):
            seen.append((epoch, torch.cat([batch.index for batch in view.batches()]), view.num_examples))

    Training(Looking(network()), examples(), config=TrainingConfig(epochs=2, batch_size=20, device="cpu")).run()
    assert [epoch for epoch, _, _ in seen] == [0, 1]
    assert all(torch.equal(rows, torch.arange(N)) and count == N for _, rows, count in seen)


def images(count=40, size=16):
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=count)
    pixels = rng.integers(0, 100, size=(count, 3, size, size)) + 100 * labels[:, None, None, None]
    return Examples(pixels.astype(np.uint8), labels)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_are_augmented_the_same_way_each_time(precision):
    def run():
        network = NetworkSpec("fast", 2).build(generator_seed=0)
        transform = ImageTransform([0.5] * 3, [0.25] * 3, padding=2, flip=True)
        config = TrainingConfig(epochs=15, batch_size=10, precision=precision, device="cpu")
        training = Training(LossMethod(network), images(), config=config, transform=transform)
        assert training.channels_last
        assert training.bfloat16 == (precision == "bfloat16")
        training.run()
        return training.predict(images())

    first = run()
    assert torch.equal(first, run())
    assert (first.argmax(dim=1) == images().labels).float().mean() > 0.9


def test_augmentation_reaches_the_batches_and_not_the_predictions():
    transform = ImageTransform([0.5] * 3, [0.25] * 3, padding=4, flip=True)
    network = NetworkSpec("fast", 2).build(generator_seed=0)
    config = TrainingConfig(batch_size=10, precision="float32", device="cpu")
    training = Training(LossMethod(network), images(), config=config, transform=transform)
    batch, _ = next(training._batches())
    plain = transform(images().fetch(batch.index))
    assert not torch.equal(batch.inputs, plain)
    torch.testing.assert_close(batch.inputs.mean(), plain.mean(), atol=1.0, rtol=0.0)
    rows, inputs = next(training.plain_inputs.inputs(images()))
    assert torch.equal(inputs, transform(images().fetch(rows)))


def test_a_convolutional_run_in_bfloat16_resumes_bit_identical(tmp_path, monkeypatch):
    """Batch norm, augmentation, a one-cycle schedule and low precision, broken off in the second epoch."""
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 6:
            raise Stopped

    def make(folder):
        method = ELRConfig().build([NetworkSpec("fast", 2).build(generator_seed=0)], num_examples=40, num_classes=2)
        transform = ImageTransform([0.5] * 3, [0.25] * 3, padding=2, flip=True)
        config = TrainingConfig(epochs=3, batch_size=10, precision="bfloat16", schedule="onecycle", device="cpu")
        return Training(method, images(), config=config, transform=transform, folder=folder)

    whole = make(None)
    whole.run()
    with pytest.raises(Stopped):
        make(tmp_path).run(on_progress=stop)
    resumed = make(tmp_path)
    resumed.run(resume=True)
    assert resumed.earlier_seconds > 0
    assert torch.equal(whole.predict(images()), resumed.predict(images()))
    assert torch.equal(whole.pred_probs(), resumed.pred_probs())


def test_auto_precision_is_for_convolutions_on_devices_that_have_it():
    native = computes_bfloat16(torch.device("cpu"))
    convolutional = Training(
        LossMethod(NetworkSpec("fast", 2).build(generator_seed=0)),
        images(),
        config=TrainingConfig(device="cpu", batch_size=8),
    )
    assert convolutional.bfloat16 == native
    assert not training_of().bfloat16


# Looks at the probe


@pytest.mark.parametrize(
    ("period", "epochs", "expected"),
    [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]), (2, 4, [2, 4]), (3, 2, [2]), (100, 3, [3])],
)
def test_the_probe_is_predicted_every_so_often_and_at_the_end(period, epochs, expected):
    features = blobs()[0][:7]
    config = TrainingConfig(epochs=epochs, batch_size=20, device="cpu")
    probe = Examples(features, None)
    training = Training(METHODS["elr"](), examples(), config=config, probe=probe, probe_period=period)
    every = Training(METHODS["elr"](), examples(), config=config, probe=probe)
    training.run()
    every.run()
    assert training.probe_epochs == expected
    assert every.probe_epochs == list(range(1, epochs + 1))
    assert torch.equal(training.probe_labels, every.probe_labels[[epoch - 1 for epoch in expected]])


def test_without_a_probe_there_are_no_looks():
    training = training_of()
    training.run()
    assert training.probe_epochs == []
    assert training.probe_labels.shape == (0, 0)


def test_looks_before_a_break_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 22:
            raise Stopped

    def make(folder):
        config = TrainingConfig(epochs=6, batch_size=20, device="cpu")
        probe = Examples(blobs()[0][:50], None)
        return Training(METHODS["elr+"](), examples(), config=config, probe=probe, probe_period=1, folder=folder)

    whole = make(None)
    whole.run()
    with pytest.raises(Stopped):
        make(tmp_path).run(on_progress=stop)
    resumed = make(tmp_path)
    resumed.run(resume=True)
    assert resumed.earlier_seconds > 0
    assert resumed.probe_epochs == whole.probe_epochs == [1, 2, 3, 4, 5, 6]
    assert torch.equal(resumed.probe_labels, whole.probe_labels)


def test_mirrored_predictions_are_the_mean_of_both_views():
    def predictions(examples, mirror):
        network = NetworkSpec("fast", 2).build(generator_seed=0)
        transform = ImageTransform([0.5] * 3, [0.25] * 3, mirror=mirror)
        config = TrainingConfig(batch_size=10, precision="float32", device="cpu")
        return Training(LossMethod(network), images(), config=config, transform=transform).predict(examples)

    there, mirrored = images(), Examples(images().inputs.flip(3), None)
    expected = (predictions(there, False) + predictions(mirrored, False)) / 2
    torch.testing.assert_close(predictions(there, True), expected)
    torch.testing.assert_close(predictions(mirrored, True), expected)
    assert not torch.allclose(predictions(there, False), expected)


def test_a_frozen_weight_is_left_alone_by_weight_decay():
    network = NetworkSpec("fast", 2).build(generator_seed=0)
    network.whiten(torch.randn(20, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    before = network.stem.weight.clone()
    config = TrainingConfig(epochs=2, batch_size=20, weight_decay=0.5, precision="float32", device="cpu")
    transform = ImageTransform([0.5] * 3, [0.25] * 3)
    Training(LossMethod(network), images(), config=config, transform=transform).run()
    assert torch.equal(network.stem.weight, before)


def test_targets_for_too_few_examples_are_refused():
    method = ELRConfig().build([network()], num_examples=N - 1, num_classes=C)
    with pytest.raises(ArgumentError, match=f"targets for {N - 1} examples, and there are {N}"):
        Training(method, examples(), config=TrainingConfig(batch_size=20, device="cpu"))


class Together(LossMethod):
    """Two networks whose sum is the loss, though each pass trains one of them."""

    passes = 2

    def __init__(self):
        super().__init__(network())
        self.other = network()

    def forward(self, batch):
        step = super().forward(batch)
        more = self.loss(self.other(batch.inputs), batch.labels).mean()
        return step._replace(loss=step.loss + more)

    def parameter_groups(self, number):
        return [ParameterGroup([self.network, self.other][number].parameters())]


def test_a_pass_leaves_no_gradient_to_the_next_one():
    training = Training(Together(), examples(), config=TrainingConfig(epochs=1, batch_size=N, device="cpu"))
    before = [weight.clone() for weight in training.method.other.parameters()]
    batch, share = next(training._batches())
    training._step(batch, share, 0)
    assert all(weight.grad is None for weight in training.method.parameters())
    assert all(map(torch.equal, before, training.method.other.parameters()))


def test_weights_may_come_from_parameters_of_a_module():
    training = Training(Together(), examples(), config=TrainingConfig(epochs=1, batch_size=N, device="cpu"))
    before = [weight.clone() for weight in training.method.network.parameters()]
    training.run()
    assert not any(map(torch.equal, before, training.method.network.parameters()))
