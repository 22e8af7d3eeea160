"""Suspect labels by one run of ELR beside cleanlab's five folds, AUM and the loss ranking of plain cross entropy.

    python benchmarks/audit.py DATASET [--data FOLDER] [--features FILE] [--seeds 3] [--first-seed 0] [--rows N]
                               [--epochs E] [--json]

DATASET: digits-20, digits-40, digits-60 (symmetric noise); cifar10-sym40, cifar10-asym40, cifar10n-random1 (FOLDER of
CIFAR-10, CIFAR-10N beside it); trec (FOLDER with train.csv and test.csv: the labels of its rules). A seed decides on
noise, weights, order and folds. All methods train the same network as many epochs with the defaults of `elr fit`, in
one process; seconds are those of training. Clean labels and test data measure at the end, and choose nothing.

With --features the images are what a frozen pretrained network makes of them, and a perceptron is trained, as by `elr
fit --backbone tf_efficientnet_lite0` (but enlarged from memory, by bilinear interpolation, where `elr fit` decodes them
to that size, bicubic). The features of all images are kept in FILE (.npz) for the next call.

- elr: one run, its targets against the labels (`elr.audit.label_quality.audit_labels`).
- elr_aum: the same run and issues, ranked by the mean margin over its epochs (`--score aum` of `elr audit`).
- cleanlab: cross entropy on five stratified folds, probabilities out of sample, cleanlab's label quality scores and
  find_label_issues (confident learning), with cleanlab's defaults.
- aum: mean over the epochs of logit[given] - max of the others, as training itself sees them, in one run of cross
  entropy (Pleiss et al., NeurIPS 2020; without the threshold class, a second run, that gives it a cut-off).
- loss: cross entropy of each row by the network at the end of that same run.

"retrained" is the test accuracy of cross entropy without the suspects: what elr and find_label_issues call an issue.
AUM and the loss have no cut-off here: the true number of wrong labels is taken from the bottom, which flatters them.
"""

import argparse
import json
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch.nn import functional as F

from elr.audit.label_quality import audit_labels
from elr.data.examples import Examples
from elr.data.prepared_data import PreparedData, prepare_data, prepare_records
from elr.data.records import ReadOptions, Records
from elr.datasets.as_data import load_cifar10, load_digits
from elr.datasets.readers.cifar_n import human_labels
from elr.networks.backbones import DEFAULT_BACKBONE, load_backbone
from elr.runs.fit_config import FitConfig
from elr.training.loop import Training

FOLDS = 5
DIGITS = {"digits-20": 0.2, "digits-40": 0.4, "digits-60": 0.6}
CIFAR10 = {"cifar10-sym40": ("symmetric", 0.4), "cifar10-asym40": ("asymmetric-cifar10", 0.4), "cifar10n-random1": None}
TREC = ReadOptions(label="rule_label", clean_label="clean_label", text="question")
COLUMNS = ("average_precision", "auroc", "precision_at_errors", "removed", "retrained", "seconds")


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What a method says of the labels: (N,) quality, low = suspect; (N,) which are issues, if it says; the time."""

    quality: NDArray
    is_issue: NDArray[np.bool_] | None
    seconds: float


def embedded(parts: tuple[Records, Records], file: Path, *, size: int = 128) -> list[Records]:
    """The same with features of the enlarged images, from the file, or written to it."""
    backbone = load_backbone(DEFAULT_BACKBONE)
    if not file.exists():
        found = []
        for part in parts:
            assert part.images is not None
            chunks = (_enlarged(chunk, size) for chunk in part.images.split(500))
            found.append(np.concatenate([backbone.embed(chunk) for chunk in chunks]))
        np.savez(file, train=found[0], test=found[1])
    stored = np.load(file)
    together = list(zip(parts, (stored["train"], stored["test"]), strict=True))
    assert all(len(part) == len(features) for part, features in together), f"{file} has features of other images"
    return [replace(part, features=features, pretrained=backbone, image_size=size) for part, features in together]


def _enlarged(images: torch.Tensor, size: int) -> torch.Tensor:
    pixels = F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return pixels.round().to(torch.uint8)


def read(dataset: str, data: Path | None, *, rows: int | None, seed: int, features: Path | None = None) -> PreparedData:
    """The data set with its wrong labels, clean labels and test data; features: see `embedded`."""
    if dataset in DIGITS:
        train, test = load_digits(noise_rate=DIGITS[dataset], seed=seed)
        train = train if rows is None else train.head(rows)
        return prepare_records(train, test, options=ReadOptions(), source=dataset)
    assert data is not None, f"{dataset} needs --data"
    if dataset == "trec":
        table, trusted = (pd.read_csv(data / f"{part}.csv") for part in ("train", "test"))
        trusted = trusted.rename(columns={"label": "clean_label"}).assign(rule_label=trusted["label"])
        return prepare_data(table.head(rows or len(table)), TREC, test=trusted)
    train, test = load_cifar10(data)
    if features is not None:
        train, test = embedded((train, test), features)
    noise = CIFAR10[dataset]
    if noise is None:
        human = human_labels(data, "random_label1", np.asarray(train.labels))
        train = replace(train, clean_labels=train.labels, labels=human.tolist())
    train = train if rows is None else train.head(rows)
    return prepare_records(train, test, options=ReadOptions(), source=dataset, noise=noise, seed=seed)


class Bench:
    """One seed on one data set: every training goes through `train`, which hides clean labels and test data."""

    def __init__(self, prepared: PreparedData, *, epochs: int | None, seed: int) -> None:
        assert prepared.clean_labels is not None, "all of these data sets have clean labels"
        assert prepared.test is not None, "all of these data sets have test data"
        assert prepared.examples.labels is not None, "prepared data always have labels"
        self.prepared, self.test, self.seed = prepared, prepared.test, seed
        self.labels = prepared.examples.labels
        self.wrong = self.labels.numpy() != prepared.clean_labels
        epochs = (
            epochs or FitConfig(members=1).plan(prepared).training.epochs
        )  # of all rows, also where fewer are trained on
        self.configs = {
            name: FitConfig(method=name, epochs=epochs, members=1, align=False, seed=seed)
            for name in ("elr", "cross_entropy")
        }

    def train(self, method: str, rows: NDArray, *, epochs: int | None = None) -> tuple[Training, float]:
        """Train on some rows; the training, and its seconds."""
        examples = Examples(self.prepared.examples.inputs[rows], self.labels[rows])
        hidden = replace(self.prepared, examples=examples, clean_labels=None, test=None)
        config = self.configs[method]
        if epochs:
            config = replace(config, epochs=epochs)
        plan = config.plan(hidden)
        size = min(plan.training.batch_size, len(examples))
        plan = replace(plan, training=replace(plan.training, batch_size=size))
        training = plan.build(hidden, probe=None, folder=None)
        started = time.perf_counter()
        training.run()
        return training, time.perf_counter() - started

    def accuracy(self, training: Training) -> float:
        """On the test data, after the last epoch."""
        assert self.test.labels is not None, "test data have labels"
        predicted = training.predict(self.test.first(len(self.test))).argmax(dim=1)
        return float((predicted == self.test.labels).double().mean())

    def measure(self) -> dict[str, dict[str, float]]:
        """Every method on these data."""
        rows, labels = np.arange(len(self.labels)), self.labels.numpy()
        self.train("elr", rows, epochs=1)  # what is loaded on first use is nobody's time
        regularized, seconds = self.train("elr", rows)
        audit = audit_labels(labels, regularized.pred_probs().numpy())
        suspicions = {"elr": Suspicion(quality=audit.label_quality, is_issue=audit.is_label_issue, seconds=seconds)}
        suspicions["cleanlab"] = self.cleanlab()
        plain, seconds = self.train("cross_entropy", rows)
        suspicions["aum"] = Suspicion(quality=plain.state.monitor.margins, is_issue=None, seconds=seconds)
        confidence = plain.predict(self.prepared.examples)[rows, labels].numpy()
        suspicions["loss"] = Suspicion(quality=confidence, is_issue=None, seconds=seconds)  # -log keeps the order
        found = {name: self.scores(suspicion) for name, suspicion in suspicions.items()}
        by_margins = replace(suspicions["elr"], quality=regularized.state.monitor.margins)
        same = {name: found["elr"][name] for name in ("removed", "retrained")}  # the same issues
        found["elr_aum"] = self.ranking(by_margins) | same | {"seconds": by_margins.seconds}
        found["elr"]["own_accuracy"] = self.accuracy(regularized)
        found["loss"]["own_accuracy"] = self.accuracy(plain)
        return found

    def cleanlab(self) -> Suspicion:
        """Confident learning on probabilities out of sample."""
        labels = self.labels.numpy()
        probs = np.zeros((len(labels), self.prepared.preprocessing.num_classes))
        total = 0.0
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=self.seed)
        for rows, held in folds.split(labels, labels):
            training, seconds = self.train("cross_entropy", rows)
            probs[held] = training.predict(Examples(self.prepared.examples.inputs[held], None)).numpy()
            total += seconds
        quality = get_label_quality_scores(labels, probs)
        return Suspicion(quality=quality, is_issue=find_label_issues(labels, probs, n_jobs=1), seconds=total)

    def ranking(self, suspicion: Suspicion) -> dict[str, float]:
        """What clean labels say of the ranking; they are looked at here for the first time."""
        return {
            "average_precision": float(average_precision_score(self.wrong, -suspicion.quality)),
            "auroc": float(roc_auc_score(self.wrong, -suspicion.quality)),
            "precision_at_errors": float(self.wrong[self.worst(suspicion)].mean()),
        }

    def worst(self, suspicion: Suspicion) -> NDArray[np.intp]:
        """As many of the most suspect rows as there are wrong labels."""
        return np.argsort(suspicion.quality, kind="stable")[: int(self.wrong.sum())]

    def scores(self, suspicion: Suspicion) -> dict[str, float]:
        """What clean labels and test data say of it."""
        worst = self.worst(suspicion)
        removed = np.isin(np.arange(len(self.wrong)), worst) if suspicion.is_issue is None else suspicion.is_issue
        retrained, _ = self.train("cross_entropy", np.flatnonzero(~removed))
        return self.ranking(suspicion) | {
            "removed": float(removed.mean()),
            "retrained": self.accuracy(retrained),
            "seconds": suspicion.seconds,
        }


def table(seeds: list[dict[str, dict[str, float]]]) -> str:
    """Mean ± (sample) standard deviation over the seeds, one line a method."""
    lines = ["| method | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for method in seeds[0]:
        cells = []
        for column in COLUMNS:
            values = [found[method][column] for found in seeds]
            spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.4f}{spread}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    own = {
        name: statistics.mean(found[method]["own_accuracy"] for found in seeds)
        for name, method in (("ELR", "elr"), ("cross entropy on all rows", "loss"))
    }
    share = statistics.mean(found["elr"]["seconds"] / found["cleanlab"]["seconds"] for found in seeds)
    lines.append("Test accuracy as trained: " + ", ".join(f"{name} {value:.4f}" for name, value in own.items()))
    lines.append(f"ELR's run takes {share:.2f} of the time of cleanlab's {FOLDS} folds")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=[*DIGITS, *CIFAR10, "trec"])
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10 or TREC")
    parser.add_argument("--features", type=Path, help="file of frozen features of CIFAR-10, made where it is missing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rows", type=int, help="first training rows only")
    parser.add_argument("--epochs", type=int, help="default: that of `elr fit` for so many rows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.dataset not in DIGITS and arguments.data is None:
        parser.error(f"{arguments.dataset} needs --data")
    if arguments.features is not None and arguments.dataset not in CIFAR10:
        parser.error(f"--features is for the images of CIFAR-10, not for {arguments.dataset}")
    torch.set_num_threads(arguments.threads)
    found = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        prepared = read(arguments.dataset, arguments.data, rows=arguments.rows, seed=seed, features=arguments.features)
        found.append({"seed": seed} | Bench(prepared, epochs=arguments.epochs, seed=seed).measure())
    methods = [{name: value for name, value in each.items() if name != "seed"} for each in found]
    print(json.dumps({"dataset": arguments.dataset, "seeds": found}) if arguments.json else table(methods))
