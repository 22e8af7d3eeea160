"""Rows of text: by their words, or as the numbers of a sentence encoder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from elr.data.formats.catalog import FORMATS
from elr.data.kinds import text
from elr.data.kinds.catalog import fit_preprocessing, load_preprocessing
from elr.data.kinds.text import SentencesPreprocessing, Text, WordsPreprocessing
from elr.data.records import ReadOptions, Records
from elr.errors import ArgumentError, ArtifactError, DataError
from small_data import saved

TITLES = ["a red mug", "a blue mug", "a red hat", "a blue hat"]
OPTIONS = ReadOptions(label="y", text="title", encoder="some/encoder")
PROBE = [0.25, -0.5, 1.0]


def titles(*texts, embedded=False):
    texts = texts or TITLES
    numbers = np.random.default_rng(0).normal(size=(len(texts), 3)).astype(np.float32) if embedded else None
    labels = (["cat", "dog"] * len(texts))[: len(texts)]
    table = pd.DataFrame({"title": texts})
    return Records(kind="text", rows=np.arange(len(texts)), table=table, features=numbers, labels=labels)


@pytest.fixture
def probe(monkeypatch):
    """What encoders make of the fixed sentence, by their names, in place of models of a hundred megabytes."""
    known = {"some/encoder": PROBE}
    monkeypatch.setattr(text, "encoder_probe", known.__getitem__)
    return known


def all_of(examples):
    return examples.fetch(torch.arange(len(examples)))


def test_words_go_round_and_say_something_of_new_texts(tmp_path):
    fitted = fit_preprocessing(titles(), ReadOptions(text="title"))
    loaded = saved(fitted, tmp_path)
    assert type(loaded) is WordsPreprocessing
    assert (loaded.columns, loaded.takes_images) == ({"title": "text"}, False)
    assert loaded.feature_blocks == fitted.feature_blocks == {"terms": (0, 8), "dense": (8, 11)}
    inputs = all_of(loaded.encode(titles(), name="it"))
    assert torch.equal(inputs, all_of(fitted.encode(titles(), name="it")))
    again, unknown = all_of(loaded.encode(titles("a blue mug", "zebra"), name="new"))
    torch.testing.assert_close(again, inputs[1])
    assert not unknown[:8].any()
    assert not torch.allclose(unknown, inputs[1])
    assert torch.isfinite(unknown).all()


def test_above_a_number_of_texts_there_are_the_dimensions_alone(monkeypatch, tmp_path):
    options = ReadOptions(text="title")
    both = fit_preprocessing(titles(), options)
    monkeypatch.setattr(text, "MOST_TEXTS", 3)
    fitted = fit_preprocessing(titles(), options)
    loaded = saved(fitted, tmp_path)
    assert (loaded.feature_blocks, fitted.feature_blocks) == ({}, {})
    alone = loaded.encode(titles(), name="it").inputs
    assert torch.equal(alone, torch.from_numpy(both.transformer.transform(TITLES)))
    assert torch.equal(all_of(both.encode(titles(), name="it"))[:, 8:], alone)
    monkeypatch.undo()  # what was trained on counts, not what is predicted
    assert torch.equal(loaded.encode(titles(), name="it").inputs, alone)


@pytest.mark.parametrize("blocks", [{"terms": [0, 7], "dense": [7, 10]}, {"dense": [0, 3]}, {"terms": [0, 8]}])
def test_blocks_that_the_transformer_does_not_have_are_refused(blocks, tmp_path):
    fitted = fit_preprocessing(titles(), ReadOptions(text="title"))
    fitted.save(tmp_path)
    with pytest.raises(ArtifactError, match=r"that does not fit run\.json"):
        load_preprocessing(tmp_path, fitted.to_json() | {"feature_blocks": blocks})


def test_texts_without_words_are_refused():
    with pytest.raises(DataError, match="text column 'title' has no words"):
        fit_preprocessing(titles("", " ", "", " "), ReadOptions(text="title"))


def test_an_encoder_makes_them_sentences(probe, tmp_path):
    records = titles(embedded=True)
    fitted = fit_preprocessing(records, OPTIONS)
    assert type(fitted) is SentencesPreprocessing
    assert (fitted.probe, fitted.feature_blocks) == (tuple(PROBE), {})
    loaded = saved(fitted, tmp_path)
    assert loaded.to_json() == fitted.to_json()
    assert torch.equal(loaded.encode(records, name="it").inputs, fitted.encode(records, name="it").inputs)
    with pytest.raises(DataError, match="new has None features, training had 3"):
        loaded.encode(titles(), name="new")


def test_the_encoder_of_training_is_known_by_what_it_says(probe):
    fitted = fit_preprocessing(titles(embedded=True), OPTIONS)
    assert fitted.reading(OPTIONS, folder=Path("run"), encoder=None) == OPTIONS
    probe["here/it"] = [value + 1e-3 for value in PROBE]  # the same on another device
    assert fitted.reading(OPTIONS, folder=Path("run"), encoder="here/it").encoder == "here/it"
    probe |= {"other": [value + 0.1 for value in PROBE], "longer": [*PROBE, 0.0]}
    for name in ("other", "longer"):
        with pytest.raises(DataError, match=f"encoder '{name}' is not the one of training"):
            fitted.reading(OPTIONS, folder=Path("run"), encoder=name)


def test_a_run_by_words_has_no_encoder():
    fitted = fit_preprocessing(titles(), ReadOptions(text="title"))
    with pytest.raises(ArgumentError, match="encoder is 'some/encoder', and the run in run has none: leave it out"):
        fitted.reading(ReadOptions(text="title"), folder=Path("run"), encoder="some/encoder")


def test_a_transformer_of_the_other_way_is_refused(probe, tmp_path):
    words = fit_preprocessing(titles(), ReadOptions(text="title"))
    sentences = fit_preprocessing(titles(embedded=True), OPTIONS)
    for one, other in ((words, sentences), (sentences, words)):
        with pytest.raises(ArtifactError, match=r"that does not fit run\.json \('text'\)"):
            saved(replace(one, transformer=other.transformer), tmp_path)


def test_people_are_shown_the_texts(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("title,y\na mug,cat\n,dog\n<b>hat</b>,cat\n")
    options = ReadOptions(label="y", text="title")
    shown = Text().contents(FORMATS["csv"], path, options, [2, 1], [])
    assert shown == ("Text", [{"text": "<b>hat</b>"}, {"text": ""}])
    with pytest.raises(DataError, match=r"t\.csv has no text column 'name': name the data of the run with --data"):
        Text().contents(FORMATS["csv"], path, ReadOptions(label="y", text="name"), [0], [])


def test_cells_are_texts():
    assert Text().cells(titles("a mug", None), np.array([1, 0]), ["title"]) == {"title": [None, "a mug"]}
    assert Text().picture(titles(), 0) is None


def test_texts_without_known_words_are_said_loudly_above_a_tenth_more_than_in_training(tmp_path):
    fitted = fit_preprocessing(titles(), replace(OPTIONS, encoder=None))
    assert fitted.findings(titles(), name="it") == []
    (found,) = fitted.findings(titles("a red mug", "ein Becher", " ", "a blue coat"), name="new.csv")
    assert found.text == (
        "1 of 4 texts of new.csv are empty; 1 of 4 texts of new.csv (25.0%) have no word that training knew, first in "
        "row 1 ('ein Becher')"
    )
    assert found.loud
    few = fitted.findings(titles(*["a red mug"] * 19, "ein Becher"), name="new.csv")
    assert [each.loud for each in few] == [False]
    half = fit_preprocessing(titles(*TITLES, "", "", "", ""), replace(OPTIONS, encoder=None))
    assert half.unknown == 0.5
    assert not half.findings(titles("a red mug", ""), name="new.csv")[0].loud
