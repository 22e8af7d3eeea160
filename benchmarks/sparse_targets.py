"""What a sparse store of targets costs and what it loses: k of C classes of each row kept, against all of them.

    python benchmarks/sparse_targets.py DATA [--features FILE] [--seeds 3] [--noise NAME] [--only STORE ...]
        [--out FILE]
    python benchmarks/sparse_targets.py time [--classes 1000] [--batch 1024] [--rows 100000]

DATA is "split" (features of CIFAR-10 in FILE, as benchmarks/own_data.py keeps them; each of its classes split by
k-means into ten, which makes 100) or "made" (1,000 Gaussian classes in groups of ten, 50 rows each). Noise: 40 %
symmetric, or 30 % to the next class of the same ten. A perceptron is trained by ELR with the settings of the paper for
CIFAR-100 (lam 7, beta 0.9) on nine tenths of the rows. Printed for each store, mean and standard deviation over the
seeds: accuracy after the last epoch on clean test rows; average precision of the suspects; and accuracy on the tenth
of the noisy rows that was held out, the only one of the three that may choose anything.

"zero" in the name of a store: classes that are not stored count as 0, instead of sharing the rest of the sum evenly.

time: a whole training step (forward, loss, update, backward, SGD) of that perceptron with a sparse store, as a ratio to
the same step with a dense one in float32, in turn in one process; in the first epoch rows come for the first time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from torch import Tensor, nn

from elr.audit.scoring import score_suspects
from elr.methods.loss.elr_loss import ELRLoss
from elr.noise.models import consecutive_blocks, corrupt_asymmetric, corrupt_symmetric
from elr.targets.dense import DenseTargets
from elr.targets.sparse import SparseTargets
from elr.targets.store import Targets

LAM, BETA, EPOCHS, GROUP = 7.0, 0.9, 12, 10
BATCH = {100: 256, 1000: 512}  # by the number of classes


class ZeroRest(SparseTargets):
    """Classes that are not stored count as 0: the rest of the sum is dropped at every update."""

    def spread(self, ids: Tensor, values: Tensor, rest: Tensor, *, out: Tensor | None = None) -> Tensor:
        self.rest.zero_()
        return super().spread(ids, values, torch.zeros_like(rest), out=out)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Features and clean classes of training and test rows."""

    train: Tensor
    clean: np.ndarray
    test: Tensor
    truth: Tensor
    num_classes: int


def stores(count: int, classes: int) -> dict[str, Callable[[], Targets]]:
    """How each store that is compared is made, by name."""
    found: dict[str, Callable[[], Targets]] = {"dense": lambda: DenseTargets(count, classes)}
    for top_k in (4, 8, 16, 32):
        found[f"sparse {top_k}"] = lambda top_k=top_k: SparseTargets(count, classes, top_k=top_k)
    for top_k in (4, 16):
        found[f"sparse {top_k} zero"] = lambda top_k=top_k: ZeroRest(count, classes, top_k=top_k)
    found["sparse 16 float32"] = lambda: SparseTargets(count, classes, top_k=16, dtype=torch.float32)
    found["dense bfloat16"] = lambda: DenseTargets(count, classes, dtype=torch.bfloat16)
    return found


def made(seed: int, *, classes: int = 1000, each: int = 50, width: int = 64) -> Rows:
    """Gaussian classes around centers that lie around those of their group of ten."""
    rng = np.random.default_rng(seed)
    groups = rng.normal(size=(classes // GROUP, width)) * 0.7
    centers = groups.repeat(GROUP, axis=0) + rng.normal(size=(classes, width)) * 0.45
    train, test = np.arange(classes).repeat(each), np.arange(classes).repeat(10)
    drawn = [
        torch.from_numpy((centers[labels] + rng.normal(size=(len(labels), width))).astype(np.float32))
        for labels in (train, test)
    ]
    return Rows(train=drawn[0], clean=train, test=drawn[1], truth=torch.from_numpy(test), num_classes=classes)


def split(seed: int, file: Path, *, count: int = 20_000, width: int = 64) -> Rows:
    """Features of CIFAR-10 in their first principal components; each class in ten by k-means on the training rows."""
    stored = np.load(file)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(stored["train"]))[:count]
    train, labels, truth = stored["train"][chosen], stored["train_labels"][chosen], stored["test_labels"]
    axes = PCA(width, random_state=0).fit(train)
    train, test = (axes.transform(part) / np.sqrt(axes.explained_variance_[0]) for part in (train, stored["test"]))
    clean, true = np.zeros_like(labels), np.zeros_like(truth)
    for number in range(10):
        clusters = MiniBatchKMeans(GROUP, random_state=seed, n_init=3).fit(train[labels == number])
        clean[labels == number] = number * GROUP + clusters.labels_
        true[truth == number] = number * GROUP + clusters.predict(test[truth == number])
    parts = (torch.from_numpy(part.astype(np.float32) * 4.0) for part in (train, test))
    train, test = parts
    return Rows(train=train, clean=clean, test=test, truth=torch.from_numpy(true), num_classes=10 * GROUP)


def perceptron(width: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, classes))


def trained(rows: Rows, given: np.ndarray, held_out: np.ndarray, store: Targets, seed: int) -> dict[str, float]:
    """One run: the three numbers."""
    torch.manual_seed(seed)
    network = perceptron(rows.train.shape[1], rows.num_classes)
    used = np.setdiff1d(np.arange(len(given)), held_out)
    features, labels = rows.train[used], torch.from_numpy(given[used])
    loss = ELRLoss(len(used), rows.num_classes, lam=LAM, beta=BETA, targets=store)
    batch = BATCH[rows.num_classes]
    steps = EPOCHS * -(-len(used) // batch)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=steps)
    for _ in range(EPOCHS):
        for index in torch.randperm(len(used)).split(batch):
            optimizer.zero_grad()
            loss(network(features[index]), labels[index], index).backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        tested = network(rows.test).argmax(dim=1) == rows.truth
        agreed = network(rows.train[held_out]).argmax(dim=1).numpy() == given[held_out]
    audit = loss.audit(given[used])
    return {
        "accuracy": tested.double().mean().item(),
        "average_precision": score_suspects(audit, rows.clean[used])["average_precision"],
        "held_out": float(agreed.mean()),
    }


def measure(arguments: argparse.Namespace) -> None:
    """Every store on the same rows, noise, weights and order, seed by seed."""
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(arguments.seeds):
        rows = made(seed) if arguments.what == "made" else split(seed, arguments.features)
        classes = rows.num_classes
        if arguments.noise == "symmetric":
            noisy = corrupt_symmetric(rows.clean, noise_rate=0.4, num_classes=classes, seed=seed)
        else:
            mapping = consecutive_blocks(classes, GROUP)
            noisy = corrupt_asymmetric(rows.clean, noise_rate=0.3, num_classes=classes, mapping=mapping, seed=seed)
        given = np.asarray(noisy.labels)
        held_out = np.random.default_rng([seed, 1]).permutation(len(given))[: len(given) // 10]
        for name, make in stores(len(given) - len(held_out), classes).items():
            if arguments.only and name not in arguments.only:
                continue
            began = time.perf_counter()
            for key, value in trained(rows, given, held_out, make(), seed).items():
                found.setdefault(name, {}).setdefault(key, []).append(value)
            print(f"seed {seed} {name}: {time.perf_counter() - began:.0f} s", flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(found, indent=1))
    show(found)


def show(found: dict[str, dict[str, list[float]]]) -> None:
    """The table, and how far each store is from the dense one on the same seed."""
    print("| store | test accuracy | average precision | held-out noisy labels | accuracy - dense | AP - dense |")
    print("|---|---|---|---|---|---|")
    for name, columns in found.items():
        cells = [spell(columns[key]) for key in ("accuracy", "average_precision", "held_out")]
        for key in ("accuracy", "average_precision"):
            cells.append(spell([a - b for a, b in zip(columns[key], found["dense"][key], strict=True)], sign="+"))
        print(f"| {name} | " + " | ".join(cells) + " |")


def spell(values: list[float], sign: str = "") -> str:
    spread = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{100 * statistics.mean(values):{sign}.2f} ± {100 * spread:.2f}"


def step_times(arguments: argparse.Namespace) -> None:
    """Ratios of whole steps, the stores in turn."""
    classes, batch, count = arguments.classes, arguments.batch, arguments.rows
    kept = {
        "dense": DenseTargets(count, classes),
        "sparse": SparseTargets(count, classes),
        "sparse float32": SparseTargets(count, classes, dtype=torch.float32),
    }
    torch.manual_seed(0)
    features, labels = torch.randn(count, 64), torch.randint(classes, (count,))
    networks = {name: perceptron(64, classes) for name in kept}
    losses = {name: ELRLoss(count, classes, lam=LAM, beta=BETA, targets=store) for name, store in kept.items()}
    optimizers = {name: torch.optim.SGD(networks[name].parameters(), lr=0.05, momentum=0.9) for name in kept}

    def step(name: str, index: Tensor) -> float:
        began = time.perf_counter()
        optimizers[name].zero_grad()
        losses[name](networks[name](features[index]), labels[index], index).backward()
        optimizers[name].step()
        return time.perf_counter() - began

    for when in ("first epoch", "second epoch", "third epoch"):
        times: dict[str, list[float]] = {name: [] for name in kept}
        for number, index in enumerate(torch.randperm(count).split(batch)):
            if len(index) == batch:
                order = list(kept) if number % 2 else list(reversed(kept))
                for name in order:
                    times[name].append(step(name, index))
        ms = {name: statistics.median(values) * 1e3 for name, values in times.items()}
        print(when, {name: f"{value:.2f} ms, {value / ms['dense']:.3f}" for name, value in ms.items()}, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("split", "made", "time"))
    parser.add_argument("--features", type=Path)
    parser.add_argument("--noise", choices=("symmetric", "next"), default="symmetric")
    parser.add_argument("--only", nargs="+", help="names of stores, dense among them; default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    if given.what == "time":
        step_times(given)
    else:
        measure(given)
