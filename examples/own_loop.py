"""ELR in a training loop of your own: plain PyTorch, one line changed.

    python examples/own_loop.py

The data set gives the row number of each example beside input and label; the loss keeps a running average of the
network's outputs for every row.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset

import elr
from elr.noise.models import corrupt_symmetric

pixels, digits = load_digits(return_X_y=True)
noisy = corrupt_symmetric(digits, noise_rate=0.4, num_classes=10, seed=0)


class Indexed(Dataset):
    """(row, input, given label); a Subset of it still gives the rows of the whole."""

    def __len__(self) -> int:
        return len(pixels)

    def __getitem__(self, row: int) -> tuple[int, torch.Tensor, int]:
        return row, torch.tensor((pixels[row] - 4.9) / 6.0, dtype=torch.float32), int(noisy.labels[row])


def main(epochs: int = 60) -> float:
    """Train, find the suspects, and return the share of wrong labels among them."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    loss_function = elr.ELRLoss(num_examples=len(pixels), num_classes=10, lam=3.0, beta=0.7)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for index, inputs, labels in DataLoader(Indexed(), batch_size=64, shuffle=True):
            loss = loss_function(network(inputs), labels, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    targets = loss_function.targets.read(torch.arange(len(pixels)))
    audit = elr.audit_labels(noisy.labels, targets / targets.sum(dim=1, keepdim=True))
    precision = float(noisy.is_wrong[audit.is_label_issue].mean())
    print(f"{audit.num_label_issues} suspects, {precision:.1%} of them really wrong; worst rows: {audit.ranking[:5]}")
    return precision


if __name__ == "__main__":
    main()
