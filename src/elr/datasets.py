"""Published data sets, ready where they lie. For now: scikit-learn's handwritten digits, which need no download."""

from __future__ import annotations

import numpy as np
import torch

from elr.noise import corrupt
from elr.reading import IMAGES, RawData


def load_digits(*, noise: str = "symmetric", noise_rate: float = 0.4, seed: int = 0) -> tuple[RawData, RawData]:
    """Handwritten digits with label noise in the training part: 1,797 real scans of 8 x 8 pixels, 10 classes.

    80 % train, 20 % test, both with the classes in proportion.

    Args:
        noise: a name in `elr.noise.NOISES`.
        noise_rate: asked of it, in [0, 1].
        seed: of the split and the noise.

    Returns:
        (training examples with given and clean labels, test examples with labels known to be right).

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), as shipped with scikit-learn.
    """
    from sklearn.datasets import load_digits as load_sklearn_digits  # half a second that other data need not wait for
    from sklearn.model_selection import train_test_split

    features, labels = load_sklearn_digits(return_X_y=True)
    rows = np.arange(len(labels))
    train, test = train_test_split(rows, test_size=0.2, random_state=seed, stratify=labels)
    noisy = corrupt(noise, labels[train], noise_rate=noise_rate, num_classes=10, seed=seed)

    def part(chosen: np.ndarray, given: np.ndarray, clean: np.ndarray | None) -> RawData:
        return RawData(
            kind=IMAGES,
            rows=np.arange(len(chosen)),
            images=torch.from_numpy((features[chosen] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)),
            labels=given.tolist(),
            clean_labels=None if clean is None else clean.tolist(),
            ids=[f"scan {row}" for row in chosen],
        )

    return part(train, noisy.labels, noisy.clean_labels), part(test, labels[test], None)
