"""Rows as their largest numbers and the sum of the others."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from elr.devices import built_library
from elr.targets import largest
from elr.targets.largest import in_order, moved_largest, rivals_of, spread
from elr_batches import Elsewhere, outputs


@pytest.fixture(params=["numpy", "kernel"], autouse=True)
def finder(request, monkeypatch):
    """Every test of this file with rivals found by numpy, and by what is built."""
    if request.param == "kernel" and largest._kernel() is None:
        pytest.skip("there is no compiler")
    monkeypatch.setattr(largest, "WORTH", -1 if request.param == "kernel" else 2**62)
    return request.param


def test_many_rivals_are_the_largest_at_least():
    probs = outputs(0, 5, 200)
    ids = torch.arange(4).repeat(5, 1)
    rivals, absent = rivals_of(ids, probs, torch.zeros(5, 1))
    assert rivals.shape[1] < 40
    for row in range(5):
        expected = set(probs[row].topk(4).indices.tolist()) - {0, 1, 2, 3}
        assert expected <= set(rivals[row][~absent[row]].tolist())


def test_one_row_of_many_rivals_brings_its_largest_alone():
    probs = outputs(0, 40, 400)
    ids, least = torch.arange(4).repeat(40, 1), torch.full((40, 1), 2.0)
    least[7] = -1.0
    rivals, absent = rivals_of(ids, probs, least)
    assert 4 <= rivals.shape[1] < 40
    expected = set(probs[7].topk(4).indices.tolist()) - {0, 1, 2, 3}
    assert expected <= set(rivals[7][~absent[7]].tolist())
    assert int((~absent).any(dim=1).sum()) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_order_is_that_of_a_stable_sort(dtype):
    generator = torch.Generator().manual_seed(3)
    values = torch.randint(0, 6, (50, 23), generator=generator).to(dtype) / 4
    values[:, ::5] = -1.0
    values[::2, 3] = -0.0
    values[4, 7], values[5, 8] = float("inf"), 1e-42
    expected = values.sort(dim=1, descending=True, stable=True).indices[:, :9]
    assert torch.equal(in_order(values, 9), expected)


def test_a_row_does_not_depend_on_the_others():
    ids, values = torch.arange(4).repeat(5, 1), torch.tensor([0.1, 0.3, 0.2, 0.25]).repeat(5, 1)
    rest, probs = torch.full((5,), 0.15), outputs(1, 5, 50)
    probs[2] = spread(ids, values, rest, 50)[2]
    together = moved_largest(ids, values, rest, probs, 0.5)
    for row in range(5):
        some = slice(row, row + 1)
        alone = moved_largest(ids[some], values[some], rest[some], probs[some], 0.5)
        assert all(torch.equal(a, b[some]) for a, b in zip(alone, together, strict=True))


def rows_of(count, num_classes, top_k, seed):
    """Rows as a store has them, in sixty-fourths, so that sums and halves are exact and many are equal."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randperm(num_classes, generator=draw)[:top_k] for _ in range(count)])
    share = torch.randint(0, 3, (count, 1), generator=draw).double() / 64
    values = share + torch.randint(0, 5, (count, top_k), generator=draw) / 64
    probs = torch.randint(0, 5, (count, num_classes), generator=draw).double() / 64
    probs[::3] = 0.0
    probs[1::3] *= torch.rand(1, num_classes, generator=draw) < 0.3
    return ids, values, share[:, 0] * (num_classes - top_k), probs


SHAPES = [(5, 4), (5, 5), (10, 4), (14, 4), (30, 1), (50, 4), (200, 16), (203, 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("beta", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("num_classes", "top_k"), SHAPES)
def test_rows_are_moved_as_if_they_were_written_out(num_classes, top_k, beta, dtype):
    for seed in range(3):
        ids, *parts = rows_of(12, num_classes, top_k, seed)
        values, rest, probs = (each.to(dtype) for each in parts)
        given = probs.clone()
        new_ids, kept, others = moved_largest(ids, values, rest, probs, beta)
        found = moved_largest(ids, values, rest, probs.as_subclass(Elsewhere), beta)
        elsewhere = [each.as_subclass(torch.Tensor) for each in found]
        assert torch.equal(probs, given)
        moved = beta * spread(ids, values, rest, num_classes) + (1 - beta) * given
        for row in range(12):
            known = ids[row].tolist()
            order = known + [each for each in range(num_classes) if each not in known]
            sorted_ones = sorted(order, key=lambda each: -moved[row, each])[:top_k]
            if beta == 1.0 or set(sorted_ones) == set(known):  # then their order is left alone
                sorted_ones = known
            assert new_ids[row].tolist() == sorted_ones
            assert torch.equal(kept[row], moved[row, sorted_ones])
            assert torch.equal(others[row], moved[row].sum() - kept[row].sum())
        assert torch.equal(elsewhere[1].sort().values, kept.sort().values)  # of equal ones any may come there
        assert torch.equal(elsewhere[1], moved.gather(1, elsewhere[0]))
        assert torch.equal(elsewhere[2], others)


@pytest.mark.parametrize(("num_classes", "top_k"), SHAPES)
def test_rows_are_written_out_into_memory_that_is_given(num_classes, top_k):
    ids, values, rest, _ = rows_of(7, num_classes, top_k, 0)
    out = torch.full((7, num_classes), torch.nan, dtype=torch.float64)
    assert spread(ids, values, rest, num_classes, out=out) is out
    assert torch.equal(out, spread(ids, values, rest, num_classes))
    assert torch.equal(out.gather(1, ids), values)
    assert torch.equal(out.sum(dim=1), values.sum(dim=1) + rest)
    assert torch.equal(out.scatter(1, ids, -1.0).amax(dim=1).clamp(min=0.0), rest / max(num_classes - top_k, 1))


def test_a_row_whose_values_are_rounded_does_not_depend_on_the_others():
    """In bfloat16 a stored value may stand below the share of the others: the k largest outputs are not enough."""
    generator, classes = torch.Generator().manual_seed(1), 200
    for trial in range(200):
        k = 2 + trial % 7
        share = torch.tensor(0.5 / (classes - k)).bfloat16().float()
        ids = torch.randperm(classes, generator=generator)[:k][None]
        values = (share * (1 + 0.003 * torch.rand(1, k, generator=generator))).bfloat16().float()
        rest = (share * (classes - k))[None].bfloat16().float()
        probs = torch.full((1, classes), 1e-5)
        nearly = torch.randperm(classes, generator=generator)[: 2 * k - trial % k]
        probs[0, nearly] = 0.05 * (1 + 1.2e-7 * torch.randint(0, 4, (len(nearly),), generator=generator))
        probs[0, ids[0, : k // 2]] = 0.05 * (1 + 1e-6)
        alone = moved_largest(ids, values, rest, probs, 0.97)
        many = (torch.arange(k)[None], torch.zeros(1, k), torch.zeros(1), torch.full((1, classes), 1 / classes))
        beside = moved_largest(*(torch.cat(each) for each in zip((ids, values, rest, probs), many, strict=True)), 0.97)
        assert all(torch.equal(one, both[:1]) for one, both in zip(alone, beside, strict=True))


# What is built


@pytest.mark.parametrize("classes", [9, 64, 77, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_the_kernel_finds_the_very_same(monkeypatch, classes, share):
    if largest._kernel() is None:
        pytest.skip("there is no compiler")
    generator = torch.Generator().manual_seed(classes)
    numbers = torch.rand(40, classes, generator=generator).mul_(64).floor_().numpy()  # many are equal
    numbers[3, 2] = np.nan
    ids = torch.rand(40, classes, generator=generator).argsort(dim=1)[:, :5].contiguous()
    limits = np.quantile(np.nan_to_num(numbers), 1.0 - share, axis=1, keepdims=True).astype(np.float32)
    limits[7], limits[8] = -1.0, np.inf
    for most in (classes, 12, 0):
        found = []
        for worth in (-1, 2**62):
            monkeypatch.setattr(largest, "WORTH", worth)
            found.append(largest._above(numbers, limits, ids, most=most))
        if found[0] is None or found[1] is None:
            assert found == [None, None]
        else:
            assert np.array_equal(found[0][0], found[1][0])
            assert np.array_equal(found[0][1], found[1][1])


def test_rows_of_another_layout_or_type_are_the_same():
    probs = outputs(0, 6, 80)
    ids, least = torch.arange(4).repeat(6, 1), torch.full((6, 1), 0.02)
    expected = rivals_of(ids, probs, least)
    wide = probs.repeat_interleave(2, dim=1)[:, ::2]
    ranks = torch.arange(8).repeat(6, 1)[:, ::2] // 2
    for found in (rivals_of(ranks, wide, least), rivals_of(ids, probs.double(), least.double())):
        assert all(map(torch.equal, found, expected))


def test_it_is_built_when_there_was_enough_to_look_through(monkeypatch, finder):
    asked = []
    monkeypatch.setattr(largest, "_kernel", lambda: asked.append(largest._looked))
    monkeypatch.setattr(largest, "WORTH", 1000)
    monkeypatch.setattr(largest, "_looked", 0)
    for _ in range(4):
        rivals_of(torch.arange(2).repeat(5, 1), outputs(0, 5, 80), torch.full((5, 1), 0.9))
    assert asked == [1200, 1600]


def test_without_a_compiler_there_is_none_and_a_line_says_so(monkeypatch, caplog):
    def refuse(_):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("elr.devices.built_library", refuse)
    with caplog.at_level("INFO", logger="elr.devices"):
        assert largest._kernel.__wrapped__() is None
    assert "found by numpy: no C++ compiler" in caplog.text


@pytest.mark.parametrize("wrong", ["nothing is found", "there is always room"])
def test_what_is_built_wrong_is_not_taken(monkeypatch, caplog, wrong):
    right = largest._kernel()
    if right is None:
        pytest.skip("there is no compiler")

    class Finder:
        def __call__(self, *arguments):
            return 0 if wrong == "nothing is found" else min(right.elr_above(*arguments), 0)

    monkeypatch.setattr("elr.devices.built_library", lambda _: SimpleNamespace(elr_above=Finder()))
    assert largest._kernel.__wrapped__() is None
    assert "is wrong on a test" in caplog.text


def test_where_there_is_a_compiler_what_it_builds_is_right():
    try:
        built_library(largest._SOURCE)
    except Exception as error:
        pytest.skip(f"there is no compiler: {error}")
    assert largest._kernel() is not None
