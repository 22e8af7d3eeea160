"""The sample table of the first five minutes: examples/data/sample.csv, its clean labels beside it."""

import numpy as np
import pandas as pd
import pytest

from command_line import done
from elr.noise.models import corrupt_symmetric
from scripts import ROOT

DATA = ROOT / "examples" / "data"


@pytest.fixture(scope="module")
def tables():
    return pd.read_csv(DATA / "sample.csv"), pd.read_csv(DATA / "penguins.csv")


def test_only_the_labels_were_changed_and_in_the_way_that_its_page_tells(tables):
    sample, clean = tables
    pd.testing.assert_frame_equal(sample.drop(columns="species"), clean.drop(columns="species"))
    classes, codes = np.unique(clean["species"], return_inverse=True)
    planted = corrupt_symmetric(codes, noise_rate=0.12, num_classes=len(classes), seed=0)
    assert sample["species"].tolist() == classes[planted.labels].tolist()
    page = (DATA / "README.md").read_text(encoding="utf-8")
    wrong = (sample["species"] != clean["species"]).sum()
    assert f"{len(sample)} penguins" in page
    assert f"wrong in {wrong} rows ({wrong / len(sample):.1%})".replace("%", " %") in page


def test_the_sample_is_small_enough_to_come_along():
    assert sum(path.stat().st_size for path in DATA.iterdir()) < 100_000


def test_one_command_finds_most_of_the_wrong_labels(tables, tmp_path):
    sample, clean = tables
    done("fit", DATA / "sample.csv", "--label", "species", "--out", tmp_path / "run")
    issues = pd.read_csv(tmp_path / "run" / "issues.csv").query("is_label_issue")
    wrong = sample["species"] != clean["species"]
    found = wrong[issues["row"]].to_numpy()
    assert found.sum() >= 0.9 * wrong.sum()
    assert found.mean() >= 0.8
    suggested = issues["predicted_label"].to_numpy() == clean["species"][issues["row"]].to_numpy()
    assert suggested[found].mean() >= 0.9
