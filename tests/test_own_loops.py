"""The loops of docs/guides/own-loop.md: plain PyTorch, torchvision's reference, timm's, with the lines changed there."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

import elr

WRONG = [3, 20, 31]  # rows: red pictures are in "a", blue ones in "b", but for these


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for row in range(40):
        given, red = ("a", row not in WRONG) if row < 20 else ("b", row in WRONG)
        pixels = rng.integers(0, 60, size=(16, 16, 3))
        pixels[..., 0 if red else 2] += 180
        path = tmp_path / given / f"{row:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return tmp_path


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


def optimizer_of(model):
    return torch.optim.SGD(model.parameters(), lr=1.0)


def suspects(loss, labels):
    return sorted(loss.audit(labels).ranking[: len(WRONG)].tolist())


def test_torchvisions_reference_loop(folder):
    """As `train_one_epoch` of references/classification/train.py: a loader of (image, target), a criterion."""
    dataset = ImageFolder(str(folder), transforms.Compose([transforms.RandomHorizontalFlip(), transforms.ToTensor()]))
    labels = dataset.targets
    dataset = elr.with_index(dataset)
    model, criterion = network(), elr.ELRLoss(dataset.num_examples, 2)
    optimizer = optimizer_of(model)
    for _ in range(15):
        model.train()
        for image, target, index in DataLoader(dataset, batch_size=8, shuffle=True):
            loss = criterion(model(image), target, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert suspects(criterion, labels) == WRONG


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prefetcher", [True, False])
def test_timms_loop(folder, prefetcher):
    """As `train_one_epoch` of timm's train.py: its loader makes the transforms, and knows pairs only."""
    data = pytest.importorskip("timm.data")
    dataset = ImageFolder(str(folder))
    labels = dataset.targets
    dataset = elr.with_index(dataset, packed=True)
    loader = data.create_loader(
        dataset, input_size=(3, 16, 16), batch_size=8, is_training=True, use_prefetcher=prefetcher, num_workers=0,
        persistent_workers=False, device=torch.device("cpu"), color_jitter=0.0, num_aug_repeats=0,
    )  # fmt: skip
    model, loss_fn = network(), elr.ELRLoss(dataset.num_examples, 2)
    optimizer = optimizer_of(model)
    seen = []
    for _ in range(15):
        for images, target in loader:
            target, index = target.unbind(1)
            seen += index.tolist()
            assert target.tolist() == [labels[row] for row in index]
            loss = loss_fn(model(images), target, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert set(seen) == set(range(40))
    assert suspects(loss_fn, labels) == WRONG


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_rows_and_labels_of_other_integers_are_the_same_rows(dtype):
    logits, rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 2])
    losses = [elr.ELRLoss(4, 3) for _ in range(2)]
    values = [losses[0](logits, rows, rows), losses[1](logits, rows.to(dtype), rows.to(dtype))]
    assert torch.equal(*values)
    assert torch.equal(losses[0].targets.table, losses[1].targets.table)


@pytest.mark.parametrize(("labels", "index"), [(torch.float32, torch.int64), (torch.int64, torch.float32)])
def test_numbers_that_are_no_integers_are_refused(labels, index):
    rows = torch.tensor([0, 1])
    loss = elr.ELRLoss(4, 3)
    with pytest.raises(elr.ELRError, match="float32|labels"):
        loss(torch.zeros(2, 3), rows.to(labels), rows.to(index))
    assert not loss.targets.table.any()


def test_too_few_examples_are_refused_by_name():
    dataset = elr.with_index(TensorDataset(torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64)))
    loss = elr.ELRLoss(num_examples=4, num_classes=2)
    with pytest.raises(elr.ELRError, match="index 4 is out of range for 4 examples"):
        for inputs, labels, index in DataLoader(dataset, batch_size=5):
            loss(inputs, labels, index)
