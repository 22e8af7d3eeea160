"""ELR in a training loop of your own: plain PyTorch, one line changed.

    python examples/own_loop.py

`elr.with_index` has the data set give the row number of each example beside input and label; the loss keeps a running
average of the network's outputs for every row, and audits the labels by it.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import elr
from elr.noise.models import corrupt_symmetric

pixels, digits = load_digits(return_X_y=True)
noisy = corrupt_symmetric(digits, noise_rate=0.4, num_classes=10, seed=0)
inputs = torch.tensor((pixels - 4.9) / 6.0, dtype=torch.float32)
train_set = elr.with_index(TensorDataset(inputs, torch.from_numpy(noisy.labels)))


def main(epochs: int = 60) -> float:
    """Train, find the suspects, and return the share of wrong labels among them."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    loss_function = elr.ELRLoss(num_examples=train_set.num_examples, num_classes=10, lam=3.0, beta=0.7)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for inputs, labels, index in DataLoader(train_set, batch_size=64, shuffle=True):
            loss = loss_function(network(inputs), labels, index)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    audit = loss_function.audit(noisy.labels)
    precision = float(noisy.is_wrong[audit.is_label_issue].mean())
    print(f"{audit.num_label_issues} suspects, {precision:.1%} of them really wrong; worst rows: {audit.ranking[:5]}")
    return precision


if __name__ == "__main__":
    main()
