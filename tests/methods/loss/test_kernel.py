"""The kernel of the compiled loss, beside the same in float64."""

import pytest
import torch
from torch.nn import functional as F

from elr.methods.loss import kernel
from elr.methods.loss.formulas import confined
from elr.methods.loss.fused import elr_loss
from elr.methods.loss.kernel import has_kernel, kernel_takes, rows_repeat, run_kernel

SETTINGS = {"beta": 0.7, "lam": 3.0, "clamp": 1e-4}
pytestmark = pytest.mark.skipif(not has_kernel(), reason="no compiler to build the kernel")


def batch_of(classes):
    """Logits, half of them learned, one beyond all doubt; labels, rows and a table of targets."""
    generator = torch.Generator().manual_seed(classes)
    labels = torch.randint(classes, (32,), generator=generator)
    logits = 4.0 * torch.randn(32, classes, generator=generator)
    logits[::2] += 12.0 * F.one_hot(labels[::2], classes)
    logits[5] = 200.0 * F.one_hot(labels[5], classes)
    table = 0.9 * torch.softmax(3.0 * torch.randn(64, classes, generator=generator), dim=1)
    return logits, labels, torch.randperm(64, generator=generator)[:32], table


@pytest.mark.parametrize("classes", [2, 17, 1000, 21841])
def test_the_kernel_is_the_update_and_then_the_loss(classes):
    logits, labels, index, table = batch_of(classes)
    exact, outputs = table.double(), logits.double().softmax(dim=1)
    exact[index] = 0.7 * exact[index] + 0.3 * confined(outputs, 1e-4)
    plain = logits.double().requires_grad_()
    loss, entropy, term = elr_loss(plain, labels, exact[index], lam=3.0, clamp=1e-4)
    (expected,) = torch.autograd.grad(loss, plain)
    gradient, parts, missed = run_kernel(logits, labels, index, table, **SETTINGS)
    torch.testing.assert_close(table, exact.float(), rtol=3e-5, atol=1e-8)  # sums of 21,841 in float32
    torch.testing.assert_close(gradient * 32, expected.float() * 32, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parts.mean(dim=1), torch.stack([entropy, term]).float(), rtol=1e-5, atol=1e-6)
    assert not missed.any()


def test_rows_whose_outputs_are_not_finite_stay_what_they_were():
    logits, labels, index, table = batch_of(17)
    logits[3, 1], logits[4, 0], logits[6] = torch.nan, torch.inf, -torch.inf
    logits[7, (labels[7] + 1) % 17] = -torch.inf  # says only that this class has no share
    bad = torch.zeros(32, dtype=torch.bool).index_fill_(0, torch.tensor([3, 4, 6]), True)
    before = table.clone()
    gradient, parts, missed = run_kernel(logits, labels, index, table, **SETTINGS)
    assert torch.equal(missed, bad)
    assert torch.equal(table[index[bad]], before[index[bad]])
    assert gradient[bad].isnan().all()
    assert gradient[~bad].isfinite().all()
    assert torch.equal(parts.isnan().all(dim=0), bad)
    assert table.isfinite().all()


def test_the_kernel_is_for_class_numbers_and_single_precision():
    logits, labels, _, table = batch_of(2)
    assert kernel_takes(logits, labels, table)
    assert kernel_takes(logits.bfloat16(), labels, table)
    assert not kernel_takes(logits.double(), labels, table)
    assert not kernel_takes(logits, F.one_hot(labels, 2).float(), table)
    assert not kernel_takes(logits, labels, table.bfloat16())


def test_what_need_not_lie_in_a_row_is_taken_as_it_is():
    logits, labels, index, table = batch_of(17)
    other = table.clone()
    found = run_kernel(logits.t().contiguous().t(), labels, index, table, **SETTINGS)
    wide = torch.stack([labels, index], dim=1)
    expected = run_kernel(logits, wide[:, 0], wide[:, 1], other, **SETTINGS)
    assert all(torch.equal(one, two) for one, two in zip((*found, table), (*expected, other), strict=True))
    assert not kernel_takes(logits, labels, table.t())
    assert not kernel_takes(logits, labels.to("meta"), table)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("keep + held * part", "keep + held * move"),
        ("!(std::isfinite(largest) && std::isfinite(total))", "0"),
        ("g[label] -= share", "g[label] -= 1.0f"),
        ("p >= clamp && p <= most", "true"),
        ("if (found[slot] == row) return 1;", ""),
        ("extern", "no such word"),
    ],
)
def test_a_kernel_that_is_wrong_or_cannot_be_built_is_left_out(given, written, monkeypatch):
    assert given in kernel._SOURCE
    monkeypatch.setattr(kernel, "_SOURCE", kernel._SOURCE.replace(given, written))
    assert kernel._kernel.__wrapped__() is None


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 1000])
def test_rows_that_repeat_are_found_wherever_they_lie(count):
    generator = torch.Generator().manual_seed(count)
    for most in (count, 2**20, 2**62):
        rows = torch.randint(most // max(count, 1) + 1, (count,), generator=generator).cumsum(0) + torch.arange(count)
        rows = rows[torch.randperm(count, generator=generator)]
        assert not rows_repeat(rows)
        if count > 1:
            rows[count // 2] = rows[0]
            assert rows_repeat(rows)


def test_without_what_builds_it_there_is_no_kernel(monkeypatch):
    monkeypatch.setattr("torch._inductor.codecache.CppCodeCache.load", None)
    assert kernel._kernel.__wrapped__() is None
