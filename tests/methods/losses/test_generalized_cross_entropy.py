import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from blobs import C as CLASSES
from blobs import D, N, Rows, blobs, built, examples, impartial
from elr.errors import ArgumentError, TrainingError
from elr.methods.loss.formulas import cross_entropy
from elr.methods.losses.generalized_cross_entropy import GeneralizedCrossEntropyConfig, generalized_cross_entropy
from elr.methods.losses.mean_absolute_error import mean_absolute_error
from elr.methods.method import Batch
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from loss_checks import B, C, check, drawn

TRUNCATED = GeneralizedCrossEntropyConfig(truncated=True, warmup=2, period=3)


@pytest.mark.parametrize("q", [0.7, 0.05, 1.0])
def test_value_and_gradient(q):
    check(
        lambda logits, labels: generalized_cross_entropy(logits, labels, q=q),
        lambda probs, rows: (rows * (1.0 - probs**q) / q).sum(axis=1),
    )


def test_its_ends_are_cross_entropy_and_half_the_mean_absolute_error():
    logits, labels, _ = drawn()
    near = generalized_cross_entropy(logits, labels, q=1e-9)
    torch.testing.assert_close(near, cross_entropy(logits, labels), atol=1e-7, rtol=1e-7)
    half = 0.5 * mean_absolute_error(logits, labels)
    torch.testing.assert_close(generalized_cross_entropy(logits, labels, q=1.0), half)


def test_its_gradient_is_that_of_cross_entropy_times_the_belief():
    logits, labels, _ = drawn()
    outputs = logits.clone().requires_grad_()
    losses = generalized_cross_entropy(outputs, labels, q=0.7), cross_entropy(outputs, labels)
    [own], [plain] = (torch.autograd.grad(loss.sum(), outputs) for loss in losses)
    belief = logits.softmax(dim=1)[torch.arange(B), labels] ** 0.7
    torch.testing.assert_close(own, plain * belief[:, None])


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_its_sum_over_all_labels_lies_within_the_bounds_of_the_paper(q):
    """(C - C^(1 - q)) / q <= sum <= (C - 1) / q: the closer, the less symmetric noise moves the minimum."""
    logits = torch.cat([torch.randn(200, C) * 5, torch.zeros(1, C), torch.tensor([[99.0, 0, 0, 0]])]).double()
    total = sum(generalized_cross_entropy(logits, torch.full((len(logits),), c), q=q) for c in range(C))
    low, high = (C - C ** (1.0 - q)) / q, (C - 1) / q
    assert total.min() >= low - 1e-9
    assert total.max() <= high + 1e-9
    assert total[-2].item() == pytest.approx(low)
    assert total[-1].item() == pytest.approx(high)


def test_wrong_labels_are_learned_less_than_by_cross_entropy():
    """The same network, data and time, enough to learn by heart."""
    _, given, clean = blobs()
    wrong = torch.from_numpy(given != clean)
    believed = []
    for q in (1e-6, 0.7):
        method = built(GeneralizedCrossEntropyConfig(q=q), impartial())
        Training(method, examples(), config=TrainingConfig(epochs=60, batch_size=20, device="cpu")).run()
        probs = method.eval().predict(examples().inputs)
        believed.append(probs[wrong, torch.from_numpy(given)[wrong]].mean().item())
    assert believed[1] < 0.5 * believed[0]


# Truncated


def begun(config=TRUNCATED, epochs=3):
    """A truncated method in the middle of a run."""
    training = Training(built(config, impartial()), examples(), config=TrainingConfig(epochs=epochs, batch_size=20))
    training.run()
    return training.method


def test_rows_whose_label_is_not_believed_are_left_out_by_the_schedule():
    method, kept = built(TRUNCATED, impartial()), []
    forget = torch.ones(N, dtype=torch.bool)
    training = Training(method, examples(), config=TrainingConfig(epochs=7, batch_size=20, device="cpu"))
    begin = method.begin_epoch

    def noted(epoch, view):
        before = method.kept.clone()
        believed = method.eval().predict(examples().inputs)[torch.arange(N), examples().labels] > TRUNCATED.k
        begin(epoch, view)
        kept.append((epoch, before, believed, method.kept.clone()))

    method.begin_epoch = noted
    training.run()
    for epoch, before, believed, after in kept:
        assert torch.equal(after, believed if epoch in (2, 5) else before), epoch
    assert kept[1][3].equal(forget)
    wrong = torch.from_numpy(blobs()[1] != blobs()[2])
    assert not method.kept[wrong].any()  # the network learned the blobs before it learned them by heart
    assert method.kept[~wrong].float().mean() > 0.95
    assert training.history[0]["kept"] == 1.0
    assert training.history[-1]["kept"] == pytest.approx(method.kept.float().mean().item())


def test_what_is_left_out_costs_a_constant_and_pulls_nowhere():
    method = begun().train()
    index = torch.cat([method.kept.nonzero()[:2, 0], (~method.kept).nonzero()[:3, 0]])
    labels = examples().labels[index]
    step = method(Batch(index, examples().fetch(index), labels))
    probs = step.logits.double().softmax(dim=1)[torch.arange(5), labels].detach().numpy()
    expected = np.where(method.kept[index].numpy(), (1 - probs**0.7) / 0.7, (1 - 0.5**0.7) / 0.7).mean()
    assert step.loss.item() == pytest.approx(expected, rel=1e-5)
    assert step.terms["kept"].item() == pytest.approx(0.4)
    gradients = method.logit_gradients(index, step.logits, labels)
    assert not gradients[2:].any()
    assert gradients[:2].any(dim=1).all()
    assert not method.logit_gradients(index[2:], step.logits[2:], labels[2:]).any()


def test_a_row_comes_back_when_its_label_is_believed():
    method = begun()
    method.kept.zero_()
    method.begin_epoch(5, Rows())
    assert 0.6 * N < method.kept.sum() < N


def test_every_rank_leaves_out_what_the_first_one_does():
    class OfRankOne(Rows):
        def agreed(self, values):
            return (torch.arange(N) % 2).to(values.dtype)

    method = begun()
    method.begin_epoch(5, OfRankOne())
    assert torch.equal(method.kept, torch.arange(N) % 2 == 1)


def test_rows_of_label_probabilities_go_by_their_mean_loss():
    method = begun()
    rows = torch.nn.functional.one_hot(torch.from_numpy(blobs()[1]), CLASSES).float() * 0.7 + 0.1
    method.begin_epoch(5, Rows(rows))
    losses = method.config.losses(method.network(examples().inputs), rows)
    assert torch.equal(method.kept, losses < (1 - 0.5**0.7) / 0.7)


def test_a_choice_that_leaves_nothing_ends_the_run_in_words():
    method = built(TRUNCATED, impartial())
    with pytest.raises(TrainingError, match=r"no label is believed by more than k = 0.5 before epoch 3"):
        method.begin_epoch(2, Rows())
    assert method.kept.all()


def test_short_runs_leave_out_earlier():
    def of(epochs, **asked):
        config = GeneralizedCrossEntropyConfig.for_run(
            {"truncated": True, **asked}, steps=100, epochs=epochs, fast=False
        )
        return config.warmup, config.period

    assert of(120) == of(300) == (40, 10)
    assert of(30) == (10, 2)
    assert of(2) == (1, 1)
    assert of(30, warmup=29)[0] == 29
    with pytest.raises(ArgumentError, match="warmup is 30 of 30 epochs"):
        of(30, warmup=30)
    assert of(30, warmup=20, period=4) == (20, 4)
    with pytest.raises(ArgumentError, match="warmup is 40 of 30 epochs: nothing would be truncated"):
        of(30, warmup=40)
    plain = GeneralizedCrossEntropyConfig.for_run({"q": 0.5}, steps=100, epochs=1, fast=False)
    assert plain == GeneralizedCrossEntropyConfig(q=0.5)
    with pytest.raises(ArgumentError, match="generations is 2: new weights believe no label"):
        TRUNCATED.check_generations(2)
    plain.check_generations(2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"q": 0.0}, r"q is 0.0: expected a number in \(0, 1\]"),
        ({"q": 2.0}, "q is 2.0"),
        ({"k": 1.0}, r"k is 1.0: expected a probability in \(0, 1\)"),
        ({"warmup": 0}, "warmup is 0: expected at least 1 epoch"),
        ({"period": -1}, "period is -1: expected at least 1 epoch"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        GeneralizedCrossEntropyConfig(**settings)


def test_people_see_what_matters():
    assert GeneralizedCrossEntropyConfig(q=0.5).described() == {"name": "generalized cross entropy", "q": 0.5}
    assert TRUNCATED.described()["name"] == "truncated generalized cross entropy"
    assert "warmup=2" in repr(built(TRUNCATED))


def test_the_ends_of_the_ranges_of_settings_are_taken():
    assert GeneralizedCrossEntropyConfig(q=1.0, warmup=1, period=1).q == 1.0
    logits, labels, _ = drawn()
    config = GeneralizedCrossEntropyConfig(q=0.4)
    assert torch.equal(config.losses(logits, labels), generalized_cross_entropy(logits, labels, q=0.4))
    told = TRUNCATED.described()
    assert {name: told[name] for name in ("q", "k", "warmup", "period")} == {
        "q": 0.7,
        "k": 0.5,
        "warmup": 2,
        "period": 3,
    }


@pytest.mark.parametrize(("epoch", "chosen"), [(0, False), (1, False), (2, True), (3, False), (4, False), (5, True)])
def test_rows_are_chosen_before_the_epochs_of_the_schedule_only(epoch, chosen):
    method = built(TRUNCATED)
    with torch.no_grad():  # a network that believes class 0 of every row, and no other
        for each in method.network.parameters():
            each.zero_()
        list(method.network.parameters())[-1][0] = 9.0
    method.begin_epoch(epoch, Rows())
    expected = torch.from_numpy(blobs()[1] == 0) if chosen else torch.ones(N, dtype=torch.bool)
    assert torch.equal(method.kept, expected)


def test_a_label_that_is_believed_by_just_k_is_left_out():
    """Half of the belief each for classes 0 and 1: with q = 1 loss and constant are both exactly 0.5."""
    method = built(GeneralizedCrossEntropyConfig(truncated=True, q=1.0, k=0.5, warmup=1), impartial())
    last = [module for module in method.network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.bias[2] = -1e4
    with pytest.raises(TrainingError, match=r"no label is believed by more than k = 0.5 before epoch 2"):
        method.begin_epoch(1, Rows())


def test_what_is_kept_may_lie_elsewhere_than_the_network():
    """A network on an accelerator, and a method that was not moved there: devices without the numbers on them."""
    with FakeTensorMode():
        method = TRUNCATED.build([nn.Linear(D, CLASSES, device="cuda")], num_examples=N, num_classes=CLASSES)
        batch = Batch(
            torch.arange(N, device="cuda"),
            torch.zeros(N, D, device="cuda"),
            torch.zeros(N, dtype=torch.int64, device="cuda"),
        )
        step = method(batch)
        assert {step.loss.device.type, step.terms["kept"].device.type, step.logits.device.type} == {"cuda"}

        class Chosen(Exception):
            """The rows are chosen; what follows needs the numbers."""

        class OnAnAccelerator(Rows):
            def batches(self):
                yield batch

            def agreed(self, values):
                raise Chosen(values.device.type)

        with pytest.raises(Chosen, match="cpu"):
            method.begin_epoch(2, OnAnAccelerator())
