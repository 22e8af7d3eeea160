"""Aligned targets and other cures of drift, on small networks: accuracy, balanced accuracy, share of class 0 predicted.

    python benchmarks/alignment.py [--seeds 2 3 4] [--lam 3] [--epochs 60] [--only "gauss70, none"]

Each line is a mean over the seeds on test rows with true labels. Sets: gaussians with shares of the classes (800
training rows, 10 features, centers 1.5 from the origin), scikit-learn's breast_cancer and digits. Noise: one-sided
(30 % of one class given as another), symmetric 40 %, each class as the next 30 %, none. Ways:

- cross entropy; published (ELR); aligned (to pi, the given shares); to sqrt(pi); to equal shares;
- half: the weights of `aligned` to the power of 1/2; by log pi: weights 1 / pi, whatever the targets are;
- marginal: published, and a penalty 2 lam KL(pi || mean p of the batch).

A perceptron of two hidden layers of 128, AdamW, learning rate 1e-3, weight decay 1e-2, batches of 64.
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

from elr import ELRLoss

SHARES = {"gauss50": (0.5, 0.5), "gauss70": (0.7, 0.3), "gauss4": (0.4, 0.3, 0.2, 0.1)}
CASES = (
    ("gauss50", "1 as 0"),
    ("gauss70", "1 as 0"),
    ("gauss70", "0 as 1"),
    ("cancer", "1 as 0"),
    ("cancer", "0 as 1"),
    ("gauss70", "symmetric"),
    ("gauss4", "symmetric"),
    ("cancer", "symmetric"),
    ("digits", "next"),
    ("gauss70", "none"),
)
POWERS = {"aligned": 1.0, "to sqrt(pi)": 0.5, "to equal shares": 0.0, "half": 1.0, "by log pi": 1.0}
WAYS = ("cross entropy", "published", *POWERS, "marginal")


def rows(name: str, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Training features and true labels, test features and labels; standardized."""
    if name in SHARES:
        shares = SHARES[name]
        labels = rng.choice(len(shares), size=2800, p=shares)
        features = rng.normal(size=(2800, 10)) + 1.5 * np.eye(10)[labels]
        count = 800
    else:
        features, labels = {"cancer": load_breast_cancer, "digits": load_digits}[name](return_X_y=True)
        order = rng.permutation(len(labels))
        features, labels, count = features[order], labels[order], min(len(labels) * 7 // 10, 1000)
    mean, spread = features[:count].mean(axis=0), features[:count].std(axis=0) + 1e-9
    features = np.clip((features - mean) / spread, -5, 5).astype(np.float32)
    return features[:count], labels[:count], features[count:], labels[count:]


def corrupted(labels: np.ndarray, noise: str, rng: np.random.Generator) -> np.ndarray:
    """The given labels."""
    given, drawn, classes = labels.copy(), rng.random(len(labels)), int(labels.max()) + 1
    if noise in ("1 as 0", "0 as 1"):
        true, false = int(noise[0]), int(noise[-1])
        given[(labels == true) & (drawn < 0.3)] = false
    elif noise == "symmetric":
        wrong = drawn < 0.4
        given[wrong] = (labels[wrong] + rng.integers(1, classes, size=wrong.sum())) % classes
    elif noise == "next":
        given[drawn < 0.3] = (labels[drawn < 0.3] + 1) % classes
    return given


def train(features: torch.Tensor, given: torch.Tensor, way: str, *, lam: float, epochs: int) -> nn.Module:
    """A network trained in one of the ways."""
    classes, count = int(given.max()) + 1, len(given)
    shares = torch.bincount(given, minlength=classes) / count
    network = nn.Sequential(
        nn.Linear(features.shape[1], 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, classes)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
    goal = shares ** POWERS[way] if way in POWERS else None
    loss = ELRLoss(count, classes, lam=0.0 if way == "cross entropy" else lam, class_shares=goal)
    for _ in range(epochs):
        if loss.alignment is not None:
            loss.realign()
            if way == "half":
                loss.alignment.weights.sqrt_()
            elif way == "by log pi":
                loss.alignment.weights.copy_(1.0 / shares)
        for index in torch.randperm(count).split(64):
            logits = network(features[index])
            value = loss(logits, given[index], index)
            if way == "marginal":
                mean = logits.softmax(dim=1).mean(dim=0).clamp(min=1e-8)
                value = value + 2.0 * lam * (shares * (shares / mean).log()).sum()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
    return network


def measure(name: str, noise: str, way: str, *, seed: int, lam: float, epochs: int) -> tuple[float, float, float]:
    """Accuracy, balanced accuracy and share of class 0 predicted, on test rows."""
    rng = np.random.default_rng([seed, 7])
    features, labels, others, truth = rows(name, rng)
    given = corrupted(labels, noise, rng)
    torch.manual_seed(seed)
    network = train(torch.from_numpy(features), torch.from_numpy(given), way, lam=lam, epochs=epochs)
    with torch.no_grad():
        found = network(torch.from_numpy(others)).argmax(dim=1).numpy()
    recalls = [(found[truth == label] == label).mean() for label in np.unique(truth)]
    return float((found == truth).mean()), float(np.mean(recalls)), float((found == 0).mean())


def main(seeds: list[int], *, lam: float = 3.0, epochs: int = 60, only: str = "") -> dict[str, np.ndarray]:
    """Print the table; returns (cases, 3) means of each way."""
    torch.set_num_threads(1)
    cases = [case for case in CASES if only in ", ".join(case)]
    found: dict[str, list[np.ndarray]] = {way: [] for way in WAYS}
    print(f"| set, noise | {' | '.join(WAYS)} |\n|{'---|' * (len(WAYS) + 1)}")
    for name, noise in cases:
        cells = []
        for way in WAYS:
            each = [measure(name, noise, way, seed=seed, lam=lam, epochs=epochs) for seed in seeds]
            found[way].append(np.mean(each, axis=0))
            cells.append(" ".join(f"{value:.3f}"[1:] if value < 1 else "1." for value in found[way][-1]))
        print(f"| {name}, {noise} | {' | '.join(cells)} |", flush=True)
    means = {way: np.array(values) for way, values in found.items()}
    cells = [" ".join(f"{value:.3f}"[1:] for value in values.mean(axis=0)[:2]) for values in means.values()]
    print(f"| mean | {' | '.join(cells)} |")
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--lam", type=float, default=3.0)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    main(options.seeds, lam=options.lam, epochs=options.epochs, only=options.only)
