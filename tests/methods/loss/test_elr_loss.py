"""The loss with its targets inside: step by step against Algorithm 1, in every way in which it is computed."""

import io
import shutil
import sys

import numpy as np
import pytest
import torch
from torch import nn

from elr.audit.label_quality import audit_labels
from elr.errors import ArgumentError, DataWarning, ELRError, RowIndexError
from elr.methods.ingredients.alignment import before
from elr.methods.loss.elr_loss import ELRLoss
from elr.methods.loss.fused import elr_loss
from elr.targets.dense import DenseTargets
from elr.targets.store import Targets
from reference import losses_reference as reference


def test_loss_over_steps_equals_algorithm_1_of_the_paper():
    """Targets updated before the loss, held constant in the gradient, lam times the mean of the terms."""
    rng = np.random.default_rng(0)
    loss = ELRLoss(5, 4, lam=3.0, beta=0.7, clamp=0.0)
    targets = np.zeros((5, 4))
    for _ in range(4):
        index, labels = rng.permutation(5)[:3], rng.integers(4, size=3)
        logits = rng.normal(size=(3, 4))
        probs = np.stack([reference.softmax(row) for row in logits])
        targets = reference.running_average(targets, index, probs, 0.7)
        entropies = [reference.cross_entropy(row, label) for row, label in zip(logits, labels, strict=True)]
        terms = [reference.elr_term(row, target) for row, target in zip(logits, targets[index], strict=True)]
        expected = np.mean(entropies) + 3.0 * np.mean(terms)
        tensor = torch.tensor(logits, requires_grad=True)
        value = loss(tensor, torch.tensor(labels), torch.tensor(index))
        assert value.item() == pytest.approx(expected, abs=1e-6)
        value.backward()
        gradients = [reference.elr_gradient(row, target) for row, target in zip(logits, targets[index], strict=True)]
        assert tensor.grad is not None
        np.testing.assert_allclose(
            tensor.grad.numpy(), (probs - np.eye(4)[labels] + 3.0 * np.stack(gradients)) / 3, atol=1e-6
        )


def test_eval_mode_reads_and_does_not_update():
    loss = ELRLoss(4, 2, clamp=0.0)
    arguments = torch.randn(3, 2), torch.tensor([0, 1, 1]), torch.tensor([0, 2, 3])
    loss(*arguments)
    before = loss.targets.read(torch.arange(4))
    first = loss.eval()(*arguments)
    assert torch.equal(loss(*arguments), first)
    assert torch.equal(loss.targets.read(torch.arange(4)), before)


def test_parts_are_the_loss_and_its_two_means():
    torch.manual_seed(0)
    arguments = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]), torch.arange(6)
    one, other = ELRLoss(6, 3, lam=2.0), ELRLoss(6, 3, lam=2.0)
    loss, entropy, term = one.parts(*arguments)
    torch.testing.assert_close(loss, other(*arguments))
    torch.testing.assert_close(loss, entropy + 2.0 * term)
    torch.testing.assert_close(entropy, nn.functional.cross_entropy(*arguments[:2]))
    loss, entropy, term = one.parts(*arguments, lam=5.0)
    torch.testing.assert_close(loss, entropy + 5.0 * term)


def test_small_blocks_give_the_same_step(monkeypatch):
    torch.manual_seed(0)
    whole, blocks = ELRLoss(20, 3), ELRLoss(20, 3)
    for _ in range(3):
        logits, labels, index = torch.randn(10, 3, requires_grad=True), torch.arange(10) % 3, torch.randperm(20)[:10]
        results = []
        for loss, size in ((whole, 2**19), (blocks, 12)):
            monkeypatch.setattr("elr.methods.loss.fused.BLOCK", size)
            value = loss(logits, labels, index)
            results.append((value, *torch.autograd.grad(value, logits)))
        for first, second in zip(*results, strict=True):
            torch.testing.assert_close(first, second)
    assert torch.equal(whole.targets.table, blocks.targets.table)


def test_one_sweep_as_on_a_gpu_gives_the_same_steps(monkeypatch):
    losses, rows = [ELRLoss(9, 4), ELRLoss(9, 4)], torch.Generator().manual_seed(0)
    for _ in range(3):
        index = torch.randperm(9, generator=rows)[:6]
        logits, labels = 3 * torch.randn(6, 4, generator=rows), torch.randint(4, (6,), generator=rows)
        found = []
        for number, loss in enumerate(losses):
            with monkeypatch.context() as patched:
                if number:
                    for module in ("formulas", "fused", "elr_loss"):
                        patched.setattr(f"elr.methods.loss.{module}.in_blocks", lambda _: False)
                    patched.setattr("elr.methods.loss.elr_loss.is_swept", lambda _: True)
                ours = logits.clone().requires_grad_()
                value = loss(ours, labels, index)
                (2.0 * value).backward()
                found.append((value.detach(), ours.grad, loss.targets.table))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other)
    assert losses[1].targets.table.count_nonzero() > 0


@pytest.mark.parametrize(
    ("labels", "index"),
    [([0, 5], [0, 1]), ([0, 1], [0, 9]), ([0, 1], [0, 1, 2]), ([0, 1], [0]), ([0], [0, 1])],
)
def test_a_bad_batch_leaves_the_targets_alone(labels, index):
    loss = ELRLoss(4, 2)
    with pytest.raises(ELRError):
        loss(torch.randn(2, 2), torch.tensor(labels), torch.tensor(index))
    assert loss.targets.table.abs().sum() == 0


@pytest.mark.parametrize("way", ["in blocks", "as on a GPU", "at once", "a row twice"])
@pytest.mark.parametrize("clamp", [0.0, 1e-4, 0.05])
def test_outputs_enter_the_targets_as_the_term_sees_them(way, clamp, monkeypatch):
    """As in the authors' code: clamped, divided by their sum; a row that comes twice has the mean of the two."""
    rows, loss = torch.Generator().manual_seed(0), ELRLoss(9, 4, clamp=clamp)
    if way == "as on a GPU":
        for module in ("formulas", "fused", "elr_loss"):
            monkeypatch.setattr(f"elr.methods.loss.{module}.in_blocks", lambda _: False)
        monkeypatch.setattr("elr.methods.loss.elr_loss.is_swept", lambda _: True)
    elif way == "at once":
        monkeypatch.setattr(loss.targets, "piecewise", lambda *_, **__: None)
    monkeypatch.setattr("elr.methods.loss.fused.BLOCK", 8)
    targets = np.zeros((9, 4))
    for _ in range(3):
        index = torch.randperm(9, generator=rows)[:6]
        if way == "a row twice":
            index[2] = index[0]
        logits = 6 * torch.randn(6, 4, generator=rows)
        loss(logits, index % 4, index)
        said = np.stack([reference.confined(reference.softmax(row), clamp) for row in logits.double().numpy()])
        targets = reference.running_average(targets, index.numpy(), said, loss.beta)
        np.testing.assert_allclose(loss.targets.table.numpy(), targets, atol=1e-6)


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler, g++, on a CPU")
@pytest.mark.skipif(sys.platform == "win32", reason="torch.compile needs more than g++ on Windows")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize(("clamp", "soft"), [(0.0, False), (1e-4, False), (1e-4, True)])
def test_compiled_without_a_break_it_is_the_same(clamp, soft):
    torch.compiler.reset()  # what other tests have compiled counts against the limit
    torch.manual_seed(0)
    eager, compiled = ELRLoss(20, 5, clamp=clamp), ELRLoss(20, 5, clamp=clamp)
    step = torch.compile(compiled, fullgraph=True)
    for index in (torch.randperm(20)[:8], torch.tensor([3, 1, 3, 0, 7, 9, 9, 9])):
        logits, labels = torch.randn(8, 5).mul(8.0).requires_grad_(), torch.arange(8) % 5
        if soft:
            labels = torch.rand(8, 5).softmax(dim=1)
        results = []
        for loss in (eager, step):
            value = loss(logits, labels, index)
            results.append((value.detach(), *torch.autograd.grad(0.5 * value, logits)))
        for first, second in zip(*results, strict=True):
            torch.testing.assert_close(first, second)
        torch.testing.assert_close(eager.targets.table, compiled.targets.table)
    before = compiled.targets.table.clone()
    with pytest.raises(RowIndexError, match="index 22 is out of range"):
        step(logits, labels, index + 13)
    if clamp > 0.0 and not soft:
        with pytest.raises(ArgumentError, match="label 6 is out of range"):
            step(logits, labels + 2, index)
    if clamp > 0.0 and soft:
        with pytest.raises(ArgumentError, match="labels of row 0 of the batch"):
            step(logits, labels + 2, index)
    assert torch.equal(compiled.targets.table, before)


def test_lam_zero_is_cross_entropy():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    value = ELRLoss(6, 3, lam=0.0)(logits, labels, torch.arange(6))
    torch.testing.assert_close(value, nn.functional.cross_entropy(logits, labels))


def test_targets_survive_a_state_dict():
    loss, again = ELRLoss(4, 3), ELRLoss(4, 3)
    loss(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(again.targets.read(torch.arange(4)), loss.targets.read(torch.arange(4)))
    assert again.targets.read(torch.arange(4)).sum() > 0


class RowByRow(Targets):
    """Another store, to show that ELR asks for nothing but the contract."""

    def __init__(self, num_examples, num_classes):
        super().__init__(num_examples, num_classes)
        self.rows = {}

    def read(self, index):
        return torch.stack([self.rows.get(int(row), torch.zeros(self.num_classes)) for row in index])

    def update(self, index, probs, *, beta):
        for row, p in zip(index, probs, strict=True):
            self.rows[int(row)] = beta * self.rows.get(int(row), torch.zeros(self.num_classes)) + (1 - beta) * p
        return self.read(index)


def test_another_store_gives_the_same_loss():
    torch.manual_seed(0)
    dense, sparse = ELRLoss(6, 3), ELRLoss(6, 3, targets=RowByRow(6, 3))
    for _ in range(3):
        arguments = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.randperm(6)[:4]
        torch.testing.assert_close(dense(*arguments), sparse(*arguments))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lam": -1.0}, "lam is -1.0: expected a weight >= 0"),
        ({"lam": float("nan")}, "lam is nan"),
        ({"beta": 1.0}, r"beta is 1.0: expected a momentum in \[0, 1\)"),
        ({"targets": DenseTargets(9, 2)}, "targets hold 9 x 2, the loss is for 8 x 2"),
    ],
)
def test_wrong_settings_are_refused(settings, words):
    with pytest.raises(ArgumentError, match=words):
        ELRLoss(8, 2, **settings)


# Audit


def trained(*, count=6, seen=6, targets=None):
    """A loss whose targets say class row % 3 of the first `seen` rows."""
    loss = ELRLoss(count, 3, targets=targets)
    rows = torch.arange(seen)
    for _ in range(3):
        loss(5.0 * torch.nn.functional.one_hot(rows % 3, 3), rows % 3, rows)
    return loss


GIVEN = [0, 1, 2, 0, 1, 0]  # the last one is wrong


@pytest.mark.parametrize(
    "labels",
    [GIVEN, np.array(GIVEN), np.array(GIVEN, "int32"), torch.tensor(GIVEN), torch.tensor(GIVEN, dtype=torch.int32)],
    ids=["list", "array", "int32", "tensor", "int32 tensor"],
)
def test_audit_finds_what_the_targets_contradict(labels):
    loss = trained().eval()
    audit = loss.audit(labels, class_names=["a", "b", "c"])
    assert audit.is_label_issue.tolist() == [False] * 5 + [True]
    targets = loss.targets.table / loss.targets.table.sum(dim=1, keepdim=True)
    assert np.array_equal(audit.label_quality, audit_labels(GIVEN, targets).label_quality)
    assert audit.to_frame().iloc[0]["predicted_label"] == "c"


@pytest.mark.parametrize("store", [None, DenseTargets(6, 3, dtype=torch.bfloat16), DenseTargets(6, 3).double()])
def test_audit_of_any_store(store):
    assert trained(targets=store).audit(GIVEN).ranking[0] == 5


def test_audit_in_parts_is_the_same(monkeypatch):
    loss = trained()
    whole = loss.audit(GIVEN)
    monkeypatch.setattr("elr.audit.label_quality._NUMBERS", 6)
    assert np.array_equal(loss.audit(GIVEN).label_quality, whole.label_quality)


def test_audit_says_which_rows_it_knows_nothing_of():
    with pytest.raises(ArgumentError, match="no row has a target yet, so nothing can be said"):
        ELRLoss(6, 3).audit(GIVEN)
    with pytest.warns(DataWarning, match="2 of 6 rows have no target, for no step of training had them") as caught:
        audit = trained(seen=4).audit([0, 1, 2, 1, 0, 0])
    assert caught[0].filename == __file__, "where it was asked for"
    assert audit.is_label_issue.tolist() == [False, False, False, True, False, False]
    assert audit.label_quality[4:].tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("labels", "settings", "words"),
    [
        (GIVEN[:4], {}, "labels have shape .4,., the targets are of 6 rows"),
        (torch.eye(6)[:, :3], {}, "labels have shape .6, 3."),
        ([0.0, 1.0, 2.0, 0.0, 1.0, 0.0], {}, "labels are float64"),
        (torch.tensor(GIVEN).float(), {}, "labels are float32"),
        ([0, 1, 2, 3, 1, 0], {}, "labels go from 0 to 3"),
        (["a"] * 6, {}, "labels is text, such as 'a': expected numbers; scikit-learn's LabelEncoder"),
        (GIVEN, {"score": "calibrated"}, "only evidence that is out of fold can be calibrated"),
        (GIVEN, {"class_names": ["a"]}, "1 class_names for 3 classes"),
    ],
)
def test_audit_refuses(labels, settings, words):
    with pytest.raises(ArgumentError, match=words):
        trained().audit(labels, **settings)


def test_measuring_in_train_mode_is_refused_and_moves_nothing():
    loss = ELRLoss(4, 3)
    logits, labels, index = torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([3, 1])
    with torch.no_grad(), pytest.raises(ArgumentError, match=r"train mode while gradients are off.*loss\.eval\(\)"):
        loss(logits, labels, index)
    assert not loss.targets.read(torch.arange(4)).any()
    with torch.no_grad():
        loss.eval()(logits, labels, index)


def test_what_is_set_by_itself_is_the_papers_for_cifar10():
    assert ELRLoss(4, 3).extra_repr() == "lam=3.0, beta=0.7, clamp=0.0001"
    with pytest.raises(ArgumentError, match="make it with class_shares to have them aligned"):
        ELRLoss(4, 3).realign()


@pytest.mark.parametrize("clamp", [0.0, 1e-4])
@pytest.mark.parametrize("blocks", [True, False])
def test_aligned_targets_are_those_from_before_the_step(blocks, clamp, monkeypatch):
    """Step by step against the same put together by hand, on both ways through the loss."""
    if not blocks:
        monkeypatch.setattr(ELRLoss, "_renewal", lambda *arguments: None)
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([0.5, 0.3, 0.2])
    loss, plain = (ELRLoss(6, 3, clamp=clamp, class_shares=shares) for _ in range(2))
    for _ in range(3):
        index = torch.randperm(6, generator=generator)[:4]
        logits, labels = 2.0 * torch.randn(4, 3, generator=generator), torch.tensor([0, 2, 1, 0])
        loss.realign()
        plain.realign()
        probs = logits.softmax(dim=1).clamp(clamp, 1.0 - clamp)
        former = plain.targets.read(index)
        renewed = plain.targets.update(index, probs / probs.sum(dim=1, keepdim=True), beta=0.7)
        expected = elr_loss(logits, labels, plain.alignment(before(former, renewed)), lam=3.0, clamp=clamp)[0]
        torch.testing.assert_close(loss(logits, labels, index), expected)
        torch.testing.assert_close(loss.targets.table, plain.targets.table)
    assert not torch.allclose(loss.alignment.weights, torch.ones(3)), "it made a difference"
    loss.eval()
    seen = loss.alignment(loss.targets.read(index))
    torch.testing.assert_close(loss(logits, labels, index), elr_loss(logits, labels, seen, lam=3.0, clamp=clamp)[0])
    torch.testing.assert_close(loss.renewed(index, probs, update=False), seen)
    loss.realign(class_shares=torch.tensor([1.0, 0.0, 0.0]))
    assert loss.alignment.weights[1:].max() < 1e-3, "of classes that nobody has"


def test_rows_are_counted_until_targets_are_aligned_again():
    loss = ELRLoss(2, 3, class_shares=torch.ones(3))
    loss.realign()
    step = torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor([0, 1])
    for _ in range(2):
        loss(*step)
    with pytest.raises(ArgumentError, match="realign"):
        loss(*step)
    loss.realign()
    loss(*step)
