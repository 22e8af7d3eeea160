"""A problem that a network can memorize: broad blobs, many of whose given labels are wrong."""

import numpy as np
import torch

from elr.data.examples import Examples
from elr.networks.spec import NetworkSpec
from elr.training.config import TrainingConfig
from elr.training.loop import Training

CLASSES, FEATURES = 3, 16


class Planted:
    """count: rows of each of the two sets; noise: share of wrong labels, each equally often one of the others."""

    def __init__(self, *, count=300, noise=0.4, seed=0):
        rng = np.random.default_rng(seed)
        centers = 1.2 * rng.normal(size=(CLASSES, FEATURES))
        clean = rng.integers(CLASSES, size=2 * count)
        features = (centers[clean] + 1.2 * rng.normal(size=(2 * count, FEATURES))).astype(np.float32)
        given = clean[:count].copy()
        wrong = rng.choice(count, int(noise * count), replace=False)
        given[wrong] = (given[wrong] + rng.integers(1, CLASSES, size=len(wrong))) % CLASSES
        self.clean, self.fresh_labels = torch.from_numpy(clean[:count]), torch.from_numpy(clean[count:])
        self.examples, self.fresh = Examples(features[:count], given), Examples(features[count:], None)
        self.wrong = torch.from_numpy(given) != self.clean

    def trained(self, config, **settings):
        """A run of the method to its end, long enough to memorize."""
        spec = NetworkSpec("mlp", CLASSES, num_features=FEATURES, hidden=(64,))
        networks = [spec.build(generator_seed=seed) for seed in range(config.num_networks)]
        method = config.build(networks, num_examples=len(self.examples), num_classes=CLASSES)
        settings = {"epochs": 60, "batch_size": 32, "learning_rate": 0.02, "device": "cpu"} | settings
        training = Training(method, self.examples, config=TrainingConfig(**settings))
        training.run()
        return training

    def accuracy(self, training):
        """Of a trained method on fresh rows."""
        return (training.predict(self.fresh).argmax(dim=1) == self.fresh_labels).double().mean().item()

    def corrected(self, training):
        """Share of the wrongly labeled rows that a trained method has right, by its evidence about each label."""
        right = training.pred_probs().argmax(dim=1) == self.clean
        return right[self.wrong].double().mean().item()
