"""A few made rows, prepared as those that people bring: images, features, and texts."""

import numpy as np
import pandas as pd

from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions

N, C = 24, 3
LABELS = np.arange(N) % C


def images(side=16, channels=3, count=N):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(count, channels, side, side)).astype(np.uint8)


def prepared_images(side=16, channels=3, **settings):
    return prepare_data((images(side, channels), LABELS), ReadOptions(), **settings)


def prepared_features(count=N, width=5):
    features = np.random.default_rng(0).normal(size=(count, width))
    return prepare_data((features, np.arange(count) % C), ReadOptions())


def prepared_texts():
    """Of seven terms and six dimensions."""
    titles = [f"{color} mug" for color in ("red", "blue", "green")] * (N // C)
    return prepare_data(pd.DataFrame({"title": titles, "y": LABELS}), ReadOptions(label="y", text="title"))
