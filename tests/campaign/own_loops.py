"""Mistakes that people make in loops of their own: the right result, or an error that says what to do."""

from __future__ import annotations

import copy
import io
import pickle
import random
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, TensorDataset

import elr
from campaign.trials import DIFFERS, SILENT, TRACEBACK, UNCLEAR, FaultFound, need, trial
from elr.errors import ELRError

N, C, D = 120, 3, 4


def blobs(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(N) % C
    inputs = torch.randn(N, D, generator=generator) + 4.0 * torch.eye(C, D)[labels]
    return inputs, labels


def wrong_in(labels: Tensor) -> tuple[Tensor, list[int]]:
    given, wrong = labels.clone(), [4, 35, 77, 101]
    given[wrong] = (given[wrong] + 1) % C
    return given, wrong


def trained(loss: elr.ELRLoss, batches: object, epochs: int = 12) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Linear(D, C)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss.train()
    for _ in range(epochs):
        for inputs, labels, index in batches:  # type: ignore[attr-defined]
            optimizer.zero_grad()
            loss(network(inputs), labels, index).backward()
            optimizer.step()
    return network


def found_by(loss: elr.ELRLoss, given: Tensor, wrong: list[int]) -> None:
    suspects = sorted(loss.audit(given).ranking[: len(wrong)].tolist())
    need(suspects == wrong, SILENT, f"the audit finds {suspects} where {wrong} are wrong")


def says(call: object, *words: str) -> None:
    """It must be an error of elr with these words."""
    try:
        call()  # type: ignore[operator]
    except ELRError as error:
        missing = [word for word in words if word.lower() not in str(error).lower()]
        need(not missing, UNCLEAR, f"{missing} are not in: {error}")
        return
    except Exception as error:
        raise FaultFound(TRACEBACK, f"{type(error).__name__}: {error}") from error
    raise FaultFound(SILENT, "it went through without a word")


def batch(size: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(size, C, requires_grad=True), torch.arange(size) % C, torch.arange(size)


@trial("own_loops", quick=True)
def with_index_of_a_shuffled_subset_finds_the_wrong_labels(_: Path, generator: random.Random) -> None:
    inputs, labels = blobs()
    given, wrong = wrong_in(labels)
    rows = list(range(N))
    generator.shuffle(rows)
    for dataset in (
        Subset(elr.with_index(TensorDataset(inputs, given)), rows),  # rows of the data set itself
        elr.with_index(TensorDataset(inputs, given)),
    ):
        loss = elr.ELRLoss(N, C)
        trained(loss, DataLoader(dataset, batch_size=20, shuffle=True))
        found_by(loss, given, wrong)


@trial("own_loops", quick=True)
def index_made_around_a_subset_keeps_the_rows_of_the_whole(_: Path, generator: random.Random) -> None:
    """Positions in a subset are never rows: the loss is for the whole set, and what is left out is told of."""
    inputs, labels = blobs()
    given, wrong = wrong_in(labels)
    rows = list({*generator.sample(range(N), 90), *wrong})
    generator.shuffle(rows)
    dataset = elr.with_index(Subset(TensorDataset(inputs, given), rows))
    need(dataset.num_examples == N, SILENT, f"{dataset.num_examples} examples, the rows go up to {N - 1}")
    loss = elr.ELRLoss(dataset.num_examples, C)
    trained(loss, DataLoader(dataset, batch_size=16, shuffle=True))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found_by(loss, given, wrong)
    told = any(str(N - len(rows)) in str(each.message) for each in caught)
    need(told, SILENT, "rows that the subset leaves out are not told of")


@trial("own_loops", quick=True)
def labels_and_rows_of_other_integers(_: Path, __: random.Random) -> None:
    logits, labels, index = batch()
    expected = elr.ELRLoss(N, C)(logits, labels, index)
    for dtype in (torch.int32, torch.int16, torch.uint8, torch.int8):
        found = elr.ELRLoss(N, C)(logits, labels.to(dtype), index.to(dtype))
        need(torch.equal(found, expected), DIFFERS, f"{dtype}: {found} for {expected}")
    found = elr.ELRLoss(N, C)(logits, labels.tolist(), index.numpy())  # type: ignore[arg-type]
    need(torch.equal(found, expected), DIFFERS, f"lists and arrays: {found} for {expected}")


@trial("own_loops", quick=True)
def labels_as_decimals_are_refused(_: Path, __: random.Random) -> None:
    logits, labels, index = batch()
    says(lambda: elr.ELRLoss(N, C)(logits, labels.float(), index), "int64")
    says(lambda: elr.ELRLoss(N, C)(logits, labels[:, None], index), "labels have shape")
    says(lambda: elr.ELRLoss(N, C)(logits, labels, index.float()), "int64")


@trial("own_loops", quick=True)
def labels_out_of_range_are_refused_and_move_nothing(_: Path, generator: random.Random) -> None:
    logits, labels, index = batch()
    loss = elr.ELRLoss(N, C)
    wrong = labels.clone()
    wrong[2] = generator.choice([-1, -100, C, 255])
    says(lambda: loss(logits, wrong, index), "label", "out of range")
    need(loss.targets.read(torch.arange(N)).abs().sum().item() == 0, SILENT, "targets moved by a refused batch")


@trial("own_loops", quick=True)
def too_few_examples_are_named(_: Path, __: random.Random) -> None:
    logits, labels, index = batch()
    says(lambda: elr.ELRLoss(4, C)(logits, labels, index), "index 5", "4 examples")
    says(lambda: elr.ELRLoss(N, C)(logits, labels, index - 1), "index -1")


@trial("own_loops", quick=True)
def another_number_of_classes_is_refused(_: Path, __: random.Random) -> None:
    logits, labels, index = batch()
    says(lambda: elr.ELRLoss(N, C + 1)(logits, labels, index), "logits", "shape")
    says(lambda: elr.ELRLoss(N, 1), "class")
    says(lambda: elr.ELRLoss(N, C)(logits[:, 0], labels, index), "logits")


@trial("own_loops", quick=True)
def eval_mode_forgotten_while_validating(_: Path, __: random.Random) -> None:
    """Rows of a validation set, numbered from 0 as those of training, through the loss in train mode, no gradient."""
    inputs, labels = blobs()
    given, wrong = wrong_in(labels)
    loss = elr.ELRLoss(N, C)
    batches = [(inputs[part], given[part], part) for part in torch.arange(N).split(30)]
    network = trained(loss, batches)
    before = loss.targets.read(torch.arange(N)).clone()
    told: list[str] = []
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always")
        try:
            loss(network(inputs.flip(0)), given, torch.arange(N))
        except ELRError as error:
            told.append(str(error))
    told += [str(each.message) for each in caught]
    moved = not torch.equal(loss.targets.read(torch.arange(N)), before)
    need(not moved or any("eval" in words for words in told), SILENT, "validation rows moved targets without a word")
    found_by(loss, given, wrong)


@trial("own_loops", quick=True)
def loss_called_twice_in_a_step(_: Path, __: random.Random) -> None:
    """Two calls are two updates, as two epochs are: the targets are t = (1 - beta^2) p and nothing else."""
    logits, labels, index = batch()
    loss = elr.ELRLoss(N, C, beta=0.7, clamp=0.0)
    one = loss(logits, labels, index)
    two = loss(logits, labels, index)
    probs = logits.detach().softmax(dim=1)
    gap = (loss.targets.read(index) - (1 - 0.7**2) * probs).abs().max().item()
    need(gap < 1e-6, DIFFERS, f"targets differ by {gap}")
    (one + two).backward()


@trial("own_loops", quick=True)
def gradient_accumulation_is_one_large_batch(_: Path, __: random.Random) -> None:
    inputs, labels = blobs()
    networks = [nn.Linear(D, C) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    losses = [elr.ELRLoss(N, C) for _ in range(2)]
    rows = torch.arange(60)
    losses[0](networks[0](inputs[rows]), labels[rows], rows).backward()
    for part in rows.split(20):
        (losses[1](networks[1](inputs[part]), labels[part], part) / 3).backward()
    gap = (networks[0].weight.grad - networks[1].weight.grad).abs().max().item()
    need(gap < 1e-5, DIFFERS, f"gradients differ by {gap}")
    gap = (losses[0].targets.read(rows) - losses[1].targets.read(rows)).abs().max().item()
    need(gap < 1e-6, DIFFERS, f"targets differ by {gap}")


@trial("own_loops", quick=True)
def half_precision_that_overflows(_: Path, __: random.Random) -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [torch.inf, 0.0, 0.0], [torch.nan, 0.0, 0.0]], dtype=torch.float16)
    logits.requires_grad_()
    loss = elr.ELRLoss(N, C)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = loss(logits, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    need(not found.isfinite(), SILENT, "a loss of overflowed outputs is finite: a GradScaler would not skip the step")
    need(any("not finite" in str(each.message) for each in caught), SILENT, "nothing was said of outputs not finite")
    rows = loss.targets.read(torch.arange(N))
    need(bool(rows.isfinite().all()), SILENT, "targets are not finite")
    need(rows[0].sum().item() > 0, DIFFERS, "the row that was finite has no target")


@trial("own_loops", quick=True)
def low_precision_logits_in_the_whole(_: Path, generator: random.Random) -> None:
    dtype = generator.choice([torch.float16, torch.bfloat16])
    logits, labels, index = batch()
    low = logits.detach().to(dtype).requires_grad_()
    found = elr.ELRLoss(N, C)(low, labels, index)
    expected = elr.ELRLoss(N, C)(low.detach().float(), labels, index)
    need(abs(found.item() - expected.item()) < 1e-5, DIFFERS, f"{dtype}: {found.item()} for {expected.item()}")
    found.backward()
    need(low.grad is not None and low.grad.dtype == dtype, DIFFERS, "the gradient has another type than the logits")


def _alike(one: elr.ELRLoss, other: elr.ELRLoss, what: str) -> None:
    logits, labels, index = batch()
    first, second = one(logits, labels, index), other(logits, labels, index)
    need(torch.equal(first, second), DIFFERS, f"{what}: {second} for {first}")
    every = torch.arange(N)
    need(torch.equal(one.targets.read(every), other.targets.read(every)), DIFFERS, f"{what}: other targets")
    before = one.targets.read(every).clone()
    other(logits + 1.0 * torch.arange(C), labels, index)
    need(torch.equal(one.targets.read(every), before), SILENT, f"{what}: the copy writes into the targets of the first")


@trial("own_loops", quick=True)
def copies_have_targets_of_their_own(_: Path, __: random.Random) -> None:
    loss = elr.ELRLoss(N, C)
    loss(*batch())
    _alike(copy.deepcopy(loss), copy.deepcopy(loss), "deepcopy")
    _alike(pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), "pickle")
    kept = io.BytesIO()
    torch.save(loss.state_dict(), kept)
    kept.seek(0)
    other = elr.ELRLoss(N, C)
    other.load_state_dict(torch.load(kept, weights_only=True))
    _alike(loss, other, "state_dict")


@trial("own_loops", quick=True)
def moved_in_the_middle(_: Path, __: random.Random) -> None:
    loss, other = elr.ELRLoss(N, C), elr.ELRLoss(N, C)
    for each in (loss, other):
        each(*batch())
    loss.to("cpu").float().double().float()
    gap = (loss.targets.read(torch.arange(N)) - other.targets.read(torch.arange(N))).abs().max().item()
    need(gap == 0.0, SILENT, f".to() changed targets by {gap}")
    loss.half()
    need(loss.targets.read(torch.arange(N)).dtype == torch.float32, DIFFERS, ".half() changed the type of targets")
    loss(*batch())


@trial("own_loops", quick=True)
def state_of_another_training_set_is_refused(_: Path, __: random.Random) -> None:
    state = elr.ELRLoss(N, C).state_dict()
    says(lambda: elr.ELRLoss(N + 1, C).load_state_dict(state), "training set")


@trial("own_loops", repeats=2, seconds=600)
def compiled_with_batches_of_changing_size(_: Path, __: random.Random) -> None:
    torch._dynamo.reset()
    plain, compiled = elr.ELRLoss(N, C), elr.ELRLoss(N, C)
    call = torch.compile(compiled)
    for size in (16, 16, 7, 1, 16, 33):
        logits = torch.randn(size, C, requires_grad=True)
        labels, index = torch.arange(size) % C, torch.arange(size) + 5
        one, two = plain(logits, labels, index), call(logits, labels, index)
        need(abs(one.item() - two.item()) < 1e-4, DIFFERS, f"batch of {size}: {two.item()} for {one.item()}")
    gap = (plain.targets.read(torch.arange(N)) - compiled.targets.read(torch.arange(N))).abs().max().item()
    need(gap < 1e-5, DIFFERS, f"targets differ by {gap}")


@trial("own_loops", quick=True)
def audit_before_training_and_of_rows_never_seen(_: Path, __: random.Random) -> None:
    says(lambda: elr.ELRLoss(N, C).audit(np.zeros(N, dtype=int)), "no row has a target")
    loss = elr.ELRLoss(N, C)
    loss(*batch())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = loss.audit(np.zeros(N, dtype=int))
    need(any(str(N - 6) in str(each.message) for each in caught), SILENT, "rows never seen are not told of")
    need(not found.is_label_issue[6:].any(), SILENT, "rows never seen are suspects")


@trial("own_loops", quick=True)
def audit_with_labels_that_are_not_those_of_training(_: Path, __: random.Random) -> None:
    inputs, labels = blobs()
    given, _wrong = wrong_in(labels)
    loss = elr.ELRLoss(N, C)
    trained(loss, [(inputs[part], given[part], part) for part in torch.arange(N).split(30)])
    says(lambda: loss.audit(given[:-1]), "labels have shape")
    says(lambda: loss.audit(given + 1), "label")
    says(lambda: loss.audit(["cat"] * N), "label")
