"""How the default settings of `elr fit` were chosen: accuracy on a validation split as noisy as the training labels.

    python benchmarks/defaults.py vectors
    python benchmarks/defaults.py text --data ../shared/data/trec/train.csv
    python benchmarks/defaults.py images --data ../shared/data/cifar10/train.parquet
    python benchmarks/defaults.py embeddings --data ../shared/data/trec/train.csv --encoder FOLDER
    python benchmarks/defaults.py embeddings --data ../shared/data/cifar10/train.parquet --rows 6000

Labels are corrupted first, then a part with its noisy labels is held out. No clean label and no test example is looked
at: accuracy on noisy labels is lower than on clean ones, but the better model is better on both.
"""

import argparse
import itertools
import math
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.model_selection import train_test_split

from elr.data.examples import Examples
from elr.data.reading import read_data, read_table
from elr.data.records import ReadOptions, Records
from elr.data.text import fit_text, one_scale
from elr.data.transforms import ImageTransform, Transform, image_statistics
from elr.methods.elr import ELRConfig
from elr.networks.architectures import FastConvNet
from elr.networks.backbones import DEFAULT_BACKBONE
from elr.networks.sentence_encoders import embed_texts
from elr.networks.spec import NetworkSpec
from elr.noise.named import corrupt
from elr.runs.fit_config import FAST, default_loop
from elr.training.config import TrainingConfig
from elr.training.loop import Training


def noisy_validation_accuracy(
    training: Examples,
    validation: Examples,
    *,
    spec: NetworkSpec,
    config: TrainingConfig,
    transform: Transform,
    whiten: bool = False,
    ramped: bool = False,
) -> float:
    """Share of the validation labels (noisy ones) that the last epoch's network predicts."""
    network = spec.build(generator_seed=config.seed)
    if whiten:
        FastConvNet.whiten(network, transform(training.inputs[:5000]))  # type: ignore[arg-type]
    steps = config.epochs * math.ceil(len(training) / config.batch_size)
    settings = ELRConfig(lam_ramp=steps if ramped else 0)
    method = settings.build([network], num_examples=len(training), num_classes=spec.num_classes)
    run = Training(method, training, config=config, transform=transform, probe=validation)
    run.run()
    assert validation.labels is not None
    return float((run.probe_labels[-1] == validation.labels).float().mean())


def split(inputs: np.ndarray, labels: np.ndarray, *, noise_rate: float, share: float, seed: int) -> tuple:
    """Corrupt the labels and hold a part out, noise and all."""
    noisy = corrupt("symmetric", labels, noise_rate=noise_rate, num_classes=int(labels.max()) + 1, seed=seed).labels
    rows, held = train_test_split(np.arange(len(labels)), test_size=share, random_state=100 + seed)
    return inputs[rows], inputs[held], noisy[rows], noisy[held]


def vectors(seeds: int) -> None:
    """Learning rate and weight decay of the perceptron on four sets, 30 % symmetric noise, features standardized."""
    sets = {
        "digits": load_digits(return_X_y=True),
        "cancer": load_breast_cancer(return_X_y=True),
        "wine": load_wine(return_X_y=True),
        "synthetic": make_classification(3000, 30, n_informative=12, n_classes=4, class_sep=1.2, random_state=0),
    }
    print("learning rate, weight decay: noisy validation accuracy on " + ", ".join(sets) + "; mean")
    for rate, decay in itertools.product((0.005, 0.01, 0.02, 0.05), (1e-3, 5e-3)):
        found = []
        for features, labels in sets.values():
            each = []
            for seed in range(seeds):
                fit, held, fit_labels, held_labels = split(features, labels, noise_rate=0.3, share=0.25, seed=seed)
                center, scale = fit.mean(axis=0), fit.std(axis=0).clip(1e-3)
                spec = NetworkSpec("mlp", int(labels.max()) + 1, num_features=features.shape[1])
                config = TrainingConfig(epochs=100, learning_rate=rate, weight_decay=decay, seed=seed)
                fit_examples = Examples((fit - center) / scale, fit_labels)
                held_examples = Examples((held - center) / scale, held_labels)
                each.append(
                    noisy_validation_accuracy(
                        fit_examples, held_examples, spec=spec, config=config, transform=Transform()
                    )
                )
            found.append(mean(each))
        print(
            f"{rate:<6} {decay:<6} " + " ".join(f"{value:.4f}" for value in found) + f"  {mean(found):.4f}", flush=True
        )


def text(data: str, seeds: int) -> None:
    """Learning rate of the perceptron on TREC's questions, with the wrong labels they have and with symmetric noise."""
    table = read_table(Path(data))
    questions = table["question"].to_numpy()
    kinds = {"rules": ("rule_label", 0.0), "symmetric 30 %": ("clean_label", 0.3)}
    print("learning rate: noisy validation accuracy on " + ", ".join(kinds))
    for rate in (0.002, 0.005, 0.01, 0.02):
        found = []
        for column, noise_rate in kinds.values():
            labels = np.unique(table[column], return_inverse=True)[1]
            each = []
            for seed in range(seeds):
                fit, held, fit_labels, held_labels = split(
                    questions, labels, noise_rate=noise_rate, share=0.25, seed=seed
                )
                encoder = fit_text(list(fit), name="question")
                spec = NetworkSpec("mlp", int(labels.max()) + 1, num_features=encoder["dimensions"].n_components)
                config = TrainingConfig(epochs=100, learning_rate=rate, weight_decay=5e-3, seed=seed)
                each.append(
                    noisy_validation_accuracy(
                        Examples(encoder.transform(fit), fit_labels),
                        Examples(encoder.transform(held), held_labels),
                        spec=spec,
                        config=config,
                        transform=Transform(),
                    )
                )
            found.append(mean(each))
        print(f"{rate:<6} " + " ".join(f"{value:.4f}" for value in found), flush=True)


def images(data: str, rows: int, epochs: int, *, only: str, held_rows: int = 5000) -> None:
    """The loop of the fast network on part of CIFAR-10, 5,000 more images held out, for two kinds of noise."""
    records = read_data(data, ReadOptions(label="label"))
    assert records.images is not None
    chosen = np.random.default_rng(0).choice(len(records), rows + held_rows, replace=False)
    pixels = records.images[torch.from_numpy(chosen)]
    labels = np.unique(np.array(records.labels)[chosen], return_inverse=True)[1]
    transform = ImageTransform(*image_statistics(pixels[:rows]), padding=4, flip=True)
    noises = {"symmetric": 0.4, "asymmetric-cifar10": 0.4}
    print(f"{rows} images, {epochs} epochs; noisy validation accuracy on {', '.join(noises)}; seconds")
    sgd = {"nesterov": True, "schedule": "onecycle"}
    candidates: list[tuple[str, dict[str, Any]]] = [
        ("sgd 0.1, 2e-3", sgd | {"batch_size": 128, "learning_rate": 0.1, "weight_decay": 2e-3}),
        *(
            (f"muon, batch {batch}", default_loop(FAST, Examples(pixels[:rows], labels[:rows]), batch_size=batch))
            for batch in (128, 250, 500)
        ),
    ]
    for (name, loop), ramped in itertools.product(candidates, (False, True)):
        name = f"{name}, lam {'ramped' if ramped else 'constant'}"
        if only not in name:
            continue
        config = TrainingConfig(**loop | {"epochs": epochs})
        found, started = [], time.perf_counter()
        for noise, rate in noises.items():
            noisy = corrupt(noise, labels, noise_rate=rate, num_classes=10, seed=1).labels
            found.append(
                noisy_validation_accuracy(
                    Examples(pixels[:rows], noisy[:rows]),
                    Examples(pixels[rows:], noisy[rows:]),
                    spec=NetworkSpec("fast", 10),
                    config=config,
                    transform=transform,
                    whiten=config.optimizer == "muon",
                    ramped=ramped,
                )
            )
        seconds = time.perf_counter() - started
        row = " ".join(f"{value:.4f}" for value in found)
        print(f"{name:<35} {row} {seconds:.0f}", flush=True)


def _first_images(data: str, rows: int) -> Records:
    """The first rows of a Parquet file of images, as features."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.parquet"
        pq.write_table(pq.read_table(data).slice(0, rows), path)
        return read_data(path, ReadOptions(label="label", backbone=DEFAULT_BACKBONE, fine_tune=False))


def embeddings(data: str, encoder: str | None, rows: int, seeds: int) -> None:
    """Learning rate of the perceptron on what pretrained networks make of TREC's questions or of CIFAR-10's images."""
    if encoder:
        table = read_table(Path(data))
        features = embed_texts(table["question"].tolist(), encoder)
        kinds = {"rules": ("rule_label", 0.0), "symmetric 30 %": ("clean_label", 0.3)}
        labels = {
            name: (np.unique(table[column], return_inverse=True)[1], rate) for name, (column, rate) in kinds.items()
        }
    else:
        records = _first_images(data, rows)
        assert records.features is not None
        features = records.features
        given = np.unique(np.array(records.labels), return_inverse=True)[1]
        labels = {"symmetric 30 %": (given, 0.3), "symmetric 60 %": (given, 0.6)}
    print(f"{len(features)} rows; learning rate, weight decay: noisy validation accuracy on " + ", ".join(labels))
    for rate, decay in itertools.product((0.001, 0.002, 0.003, 0.005, 0.02), (5e-3,)):
        found = []
        for classes, noise_rate in labels.values():
            each = []
            for seed in range(seeds):
                fit, held, fit_labels, held_labels = split(
                    features, classes, noise_rate=noise_rate, share=0.25, seed=seed
                )
                scale = one_scale(fit)
                each.append(
                    noisy_validation_accuracy(
                        Examples(scale.transform(fit), fit_labels),
                        Examples(scale.transform(held), held_labels),
                        spec=NetworkSpec("mlp", int(classes.max()) + 1, num_features=features.shape[1]),
                        config=TrainingConfig(epochs=100, learning_rate=rate, weight_decay=decay, seed=seed),
                        transform=Transform(),
                    )
                )
            found.append(mean(each))
        print(f"{rate:<6} {decay:<6} " + " ".join(f"{value:.4f}" for value in found), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("vectors", "text", "images", "embeddings"))
    parser.add_argument("--data", help="CIFAR-10 training images, Parquet; or TREC, CSV")
    parser.add_argument("--encoder", help="model of sentence-transformers; without it, images and a backbone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=15_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--only", default="", help="of the images: loops whose line has these words")
    arguments = parser.parse_args()
    if arguments.kind == "vectors":
        vectors(arguments.seeds)
    elif arguments.kind == "text":
        text(arguments.data, arguments.seeds)
    elif arguments.kind == "embeddings":
        embeddings(arguments.data, arguments.encoder, arguments.rows, arguments.seeds)
    else:
        images(arguments.data, arguments.rows, arguments.epochs, only=arguments.only)
