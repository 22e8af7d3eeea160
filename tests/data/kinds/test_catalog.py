"""All kinds of rows, and what they promise."""

import numpy as np
import pandas as pd
import pytest
import torch

from elr.data.kinds.catalog import KINDS, fit_preprocessing
from elr.data.records import ReadOptions, Records

ROWS = np.arange(4)
LABELS = ["cat", "dog"] * 2
TITLES = pd.DataFrame({"title": ["a red mug", "a blue mug", "a red hat", "a blue hat"]})
RECORDS = {
    "table": Records(kind="table", rows=ROWS, table=TITLES.assign(x=[1.0, 2.0, 3.0, 4.0]), labels=LABELS),
    "text": Records(kind="text", rows=ROWS, table=TITLES, labels=LABELS),
    "images": Records(kind="images", rows=ROWS, images=torch.zeros(4, 3, 8, 8, dtype=torch.uint8), labels=LABELS),
    "features": Records(kind="features", rows=ROWS, features=np.eye(4, dtype=np.float32), labels=LABELS),
}
RATES = {"table": (None, None), "text": (0.005, 0.005), "images": (None, None), "features": (None, 0.003)}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_prepares_its_rows_and_shows_them(name):
    kind, records = KINDS[name], RECORDS[name]
    fitted = fit_preprocessing(records, ReadOptions(text="title" if name == "text" else None))
    assert fitted.kind == name
    assert type(fitted) in kind.preprocessings
    assert len(fitted.encode(records, name="it")) == 4
    assert fitted.takes_images == (name == "images")
    assert (fitted.feature_rate(4), fitted.feature_rate(256)) == RATES[name]
    assert (kind.picture(records, 0) is not None) == (name == "images")
    shown = kind.cells(records, np.array([2]), ["title"])
    assert shown == ({"title": ["a red hat"]} if name in ("table", "text") else {})


def test_features_of_a_backbone_are_another_way_for_images():
    features = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    records = Records(kind="images", rows=ROWS, features=features, labels=LABELS)
    fitted = fit_preprocessing(records, ReadOptions())
    assert (fitted.takes_images, fitted.learns_from, fitted.feature_rate(5)) == (False, "features of images", 0.002)
