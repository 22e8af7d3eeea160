import numpy as np
import pandas as pd
import pytest
from huggingface_hub import ModelCard

import elr
from elr import files
from elr.errors import ArtifactError
from elr.runs.model_card.card import quoted, write_card
from elr.runs.reporting import rewrite_report

WILD = '"}: !!python/object <script>alert(1)</script> {{ 7*7 }} [a](javascript:b) | `c`'


def frame(rows=80):
    rng = np.random.default_rng(0)
    classes = np.arange(rows) % 2
    names = np.array([WILD, "- yes: no\n---\n# big"])
    return pd.DataFrame({"x": classes + 0.1 * rng.normal(size=rows), "y": names[classes]})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("card")
    data = root / "my: [data]\N{GRINNING FACE}.csv"
    frame().to_csv(data, index=False)
    frame(40).to_csv(root / "test #1.csv", index=False)
    config = elr.FitConfig(epochs=4, members=1)
    elr.fit(data, out=root / "run", label="y", test=root / "test #1.csv", config=config)
    return root / "run"


def test_the_hub_reads_it(run):
    card = ModelCard.load(run / "README.md")
    assert card.data.library_name == "elr"
    assert card.data.pipeline_tag == "tabular-classification"
    assert "noisy-labels" in card.data.tags
    assert card.data.license is None  # nobody but the owner of the data can say
    results = {each.metric_type: each for each in card.data.eval_results}
    written = elr.runs.run.files.read_run(run)["results"]
    assert results["accuracy"].metric_value == written["test_accuracy_last"]
    assert results["accuracy"].dataset_name == "test #1.csv"
    assert card.data.model_name == "my: [data]\N{GRINNING FACE}"


def test_nothing_from_the_data_is_read_as_markup(run):
    text = (run / "README.md").read_text()
    assert "<script>" not in text
    assert "49" not in text.split("## Data")[1].split("## Wrong")[0]
    assert "[a](javascript" not in text
    assert text.count("\n---\n") == 1
    assert "\n# big" not in text


def test_nothing_is_claimed_that_was_not_measured(tmp_path):
    data = (np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20))
    elr.fit(data, out=tmp_path / "run", config=elr.FitConfig(epochs=2, members=1))
    card = ModelCard.load(tmp_path / "run" / "README.md")
    assert card.data.eval_results is None
    assert card.data.metrics is None
    assert card.data.pipeline_tag is None
    assert "no accuracy can be stated" in card.text
    assert "of the given labels are wrong (" in card.text


def test_it_names_the_networks_that_predict(tmp_path):
    """Of many settings, after any of some epochs; not the first network of the grid and the last epoch."""
    frame().to_csv(tmp_path / "a.csv", index=False)
    config = elr.FitConfig(epochs=6)
    elr.fit(tmp_path / "a.csv", out=tmp_path / "run", label="y", test=tmp_path / "a.csv", config=config)
    run, path = elr.runs.run.files.read_run(tmp_path / "run"), tmp_path / "run" / files.RUN_FILE
    candidates = run["choice"]["candidates"]
    for each in candidates:
        each["chosen"] = (each["setting"], each["epoch"]) == (
            len(run["choice"]["settings"]) - 1,
            candidates[0]["epoch"],
        )
    files.write_json(path, run)
    text = write_card(tmp_path / "run").read_text().replace("\\", "")
    last = run["choice"]["settings"][-1]["text"]
    assert f"- Networks that predict, on average: 5 of {last}, learning rate " in text
    assert f", as after epoch {candidates[0]['epoch']} of 6\n" in text
    assert "- Network:" not in text
    assert "- Epochs:" not in text
    assert "accuracy by the chosen networks together: " in text
    assert "last epoch" not in text


def test_a_single_network_is_that_of_the_last_epoch(run):
    text = (run / "README.md").read_text()
    assert "- Network: mlp\n- Epochs: 4\n" in text
    assert "accuracy after the last epoch: " in text


def test_it_is_the_same_again(run):
    before = (run / "README.md").read_bytes()
    (run / "README.md").unlink()
    assert write_card(run).read_bytes() == before
    (run / "README.md").write_text("old")
    rewrite_report(run)
    assert (run / "README.md").read_bytes() == before


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        write_card(tmp_path)


def test_quoted():
    assert quoted("a_b\t*c*") == r"a\_b \*c\*"
