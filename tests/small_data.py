"""Small data of each kind as read, and their preprocessing through the folder of a run, for tests."""

import json

import numpy as np
import pandas as pd

from elr.data.kinds.catalog import load_preprocessing
from elr.data.reading import read_data
from elr.data.records import ReadOptions

LABEL = ReadOptions(label="y", classes=("None", "NA"))
N = 24


def frame():
    """Columns of all kinds, in an order that is not sorted."""
    rng = np.random.default_rng(0)
    rows = np.arange(N)
    return pd.DataFrame(
        {
            "z": rng.normal(size=N),
            "label_quality": rng.integers(0, 5, N).astype(float),
            "when": pd.date_range("2024-01-01", periods=N),
            "a": np.where(rows % 5 == 0, None, "c" + pd.Series(rows % 3).astype(str)),
            "row": rows % 2 == 0,
            "id": [None if row % 7 == 0 else row / 3 for row in rows],
            "name": "x",
            "y": np.array(["None", "NA", "01"])[rows % 3],
        }
    )


def table(changed=None, training=True):
    return read_data(frame() if changed is None else changed, LABEL, training=training)


def images(shape=(N, 3, 6, 5), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return read_data((pixels, np.arange(shape[0]) % 2), ReadOptions())


def features(columns=3, rows=N):
    return read_data((np.random.default_rng(0).normal(size=(rows, columns)), np.arange(rows) % 2), ReadOptions())


def saved(encoder, folder):
    """What prediction gets: run.json through JSON, the transformer through skops."""
    encoder.save(folder)
    return load_preprocessing(folder, json.loads(json.dumps(encoder.to_json())))


def settings_of(encoder, **changes):
    return {**json.loads(json.dumps(encoder.to_json())), **changes}


# of each kind what makes records of it, and how they are read
KINDS = {"table": (table, LABEL), "images": (images, ReadOptions()), "features": (features, ReadOptions())}
