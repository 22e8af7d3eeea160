import math
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

import elr
from elr.data.columns.scaling import ranked_columns
from elr.runs.export.inputs import inputs_of
from elr.runs.predict import load_run


def test_rare_and_unknown_categories_share_a_place_as_in_training(tmp_path):
    towns = [f"town {number % 130}" for number in range(400)]  # more than the 100 that have a place of their own
    frame = pd.DataFrame({"town": towns, "y": ["a" if number % 130 < 60 else "b" for number in range(400)]})
    elr.fit(frame, out=tmp_path / "run", label="y", config=elr.FitConfig(epochs=1, members=1))
    preprocessing, plan, options, _ = load_run(tmp_path / "run")
    inputs = inputs_of(preprocessing, plan, options, tmp_path)
    for seed in range(3):
        rows = inputs.made(np.random.default_rng(seed))
        torch.testing.assert_close(inputs.prepare(*rows.inputs), rows.examples.fetch(torch.arange(len(rows.examples))))


def test_columns_whose_range_is_no_number_have_examples(tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    frame["y"] = np.tile(["one", "two"], 20)
    elr.fit(frame, out=tmp_path / "run", label="y", config=elr.FitConfig(epochs=1, members=1))
    preprocessing, plan, options, _ = load_run(tmp_path / "run")
    readings = dict(preprocessing.readings)
    readings["a"] = replace(readings["a"], low=-1.5e308, high=1.5e308)
    readings["b"] = replace(readings["b"], low=math.nan)
    inputs = inputs_of(replace(preprocessing, readings=readings), plan, options, tmp_path)
    assert len(inputs.made(np.random.default_rng(0)).examples) > 1


def test_ranked_columns_may_come_first(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"amount": np.exp(3 * rng.normal(size=40)), "plain": rng.normal(size=40)})
    frame["y"] = np.tile(["one", "two"], 20)
    elr.fit(frame, out=tmp_path / "run", label="y", config=elr.FitConfig(epochs=1, members=1))
    preprocessing, plan, options, _ = load_run(tmp_path / "run")
    assert ranked_columns(preprocessing.transformer) == ["amount"]
    inputs = inputs_of(preprocessing, plan, options, tmp_path)
    rows = inputs.made(np.random.default_rng(0))
    torch.testing.assert_close(inputs.prepare(*rows.inputs), rows.examples.fetch(torch.arange(len(rows.examples))))
