import numpy as np
import pandas as pd
import pytest
from sklearn import config_context

import elr
from elr.data.kinds import text as text_kind
from elr.data.records import ReadOptions
from elr.data.text import MAX_TERMS, MOST_TEXTS, blocks_of, fit_text, text_blocks, text_values
from elr.errors import DataError

TOPICS = {
    "sport": ["the team won the match", "a goal in the last minute", "players train before the game", "the coach lost"],
    "food": ["bake the bread in the oven", "salt and pepper to taste", "boil the soup slowly", "a sweet cake recipe"],
}


def questions(count=400, noise=0.2, seed=0):
    """Texts put together from words of two topics, some under the wrong one; given labels and clean ones."""
    generator = np.random.default_rng(seed)
    words = {topic: " ".join(sentences).split() for topic, sentences in TOPICS.items()}
    clean = generator.choice(list(TOPICS), size=count)
    texts = [" ".join(generator.choice(words[topic], size=8)) for topic in clean]
    wrong = generator.random(count) < noise
    given = np.where(wrong, np.where(clean == "sport", "food", "sport"), clean)
    return pd.DataFrame({"text": texts, "topic": given, "truth": clean, "other": 1.0 * wrong})


def test_texts_are_learned_and_their_wrong_labels_found(tmp_path):
    frame = questions(1200)
    frame.to_csv(tmp_path / "q.csv", index=False)
    options = ReadOptions(label="topic", clean_label="truth", text="text")
    outcome = elr.fit(str(tmp_path / "q.csv"), options=options, out=tmp_path / "run", config=elr.FitConfig(epochs=30))
    assert outcome.results["suspects_precision"] > 0.9
    assert outcome.results["suspects_recall"] > 0.9
    assert outcome.fitted.run["preprocessing"]["columns"] == {"text": "text"}
    fresh = questions(50, seed=1)
    predictions = elr.predict(tmp_path / "run", fresh[["text"]])
    assert (predictions["predicted_label"] == fresh["truth"]).mean() > 0.9
    page = (tmp_path / "run" / "report.html").read_text()
    worst = frame["text"].iloc[int(outcome.fitted.audit.ranking[0])]
    assert worst in page


def test_prediction_of_other_files_needs_the_column(tmp_path):
    options = ReadOptions(label="topic", text="text")
    elr.fit(questions(80), options=options, out=tmp_path / "run", config=elr.FitConfig(epochs=1))
    with pytest.raises(DataError, match="has no text column 'text': it has 'truth'"):
        elr.predict(tmp_path / "run", questions(10)[["truth"]])


def test_missing_texts_are_counted_not_refused():
    texts, remarks = text_values(pd.Series(["a word", None, " ", float("nan")]), name="column 'q'")
    assert texts == ["a word", "", " ", ""]
    assert "empty in 3 of 4 rows" in remarks[0]
    assert text_values(pd.Series(["a", "b"]), name="q") == (["a", "b"], [])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.5, 2.5], r"column 'q' has 1.5, a float, in row 0 \(one of 2 such rows\): expected text"),
        (["a", ["b"]], r"has \['b'\], a list, in row 1"),
        ([None, " "], "is empty in every row"),
    ],
)
def test_columns_that_are_no_text_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        text_values(pd.Series(values, dtype=object), name="column 'q'")


def test_languages_without_spaces_are_taken_by_characters():
    texts = ["機械学習は楽しい", "料理はおいしい", "学習する機械", "おいしい料理"]
    fitted = fit_text(texts, name="q")
    assert fitted["terms"].analyzer == "char_wb"
    assert "学習" in fitted["terms"].vocabulary_
    assert fit_text(["two words", "and more words"], name="q")["terms"].analyzer == "word"


def test_words_of_one_letter_only_are_taken_by_characters_and_signs_refused():
    assert fit_text(["a b", "c d"], name="q")["terms"].analyzer == "char_wb"
    with pytest.raises(DataError, match="q has no words"):
        fit_text(["", " "], name="q")


def test_all_features_are_terms_and_then_dimensions():
    texts = questions(1200)["text"].tolist()
    fitted = fit_text(texts, name="q")
    found, blocks = text_blocks(fitted, texts), blocks_of(fitted)
    (start, terms), (again, stop) = blocks["terms"], blocks["dense"]
    assert (start, again, found.dtype) == (0, terms, np.float32)
    assert found.shape == (1200, stop)
    assert terms == len(fitted["terms"].vocabulary_) <= MAX_TERMS
    dense = found.toarray()
    np.testing.assert_array_equal(dense[:, :terms], fitted["terms"].transform(texts).toarray())
    np.testing.assert_array_equal(dense[:, terms:], fitted.transform(texts))


def test_a_network_of_the_dimensions_is_not_touched_by_the_terms(tmp_path, monkeypatch):
    """One network, trained, tested and predicting beside the terms, and without them: the same to the last bit."""
    options = ReadOptions(label="topic", clean_label="truth", text="text")
    found = []
    for name, most in (("beside", MOST_TEXTS), ("alone", 0)):
        monkeypatch.setattr(text_kind, "MOST_TEXTS", most)
        config = elr.FitConfig(epochs=3, members=1)
        outcome = elr.fit(
            questions(300), options=options, test=questions(60, seed=2), out=tmp_path / name, config=config
        )
        found.append((elr.predict(tmp_path / name, questions(50, seed=1)[["text"]]), outcome))
    (beside, first), (alone, second) = found
    pd.testing.assert_frame_equal(beside, alone, check_exact=True)
    np.testing.assert_array_equal(first.fitted.audit.ranking, second.fitted.audit.ranking)
    assert first.results["test_accuracy_last"] == second.results["test_accuracy_last"]
    assert (first.fitted.run["network"]["columns"][1], "columns" in second.fitted.run["network"]) == (
        first.fitted.run["preprocessing"]["feature_blocks"]["dense"][1],
        False,
    )


def test_a_linear_network_reads_the_terms(tmp_path):
    options = ReadOptions(label="topic", text="text")
    config = elr.FitConfig(epochs=10, network="linear", members=1)
    outcome = elr.fit(questions(300), options=options, out=tmp_path / "run", config=config)
    assert outcome.fitted.run["network"]["columns"] == outcome.fitted.run["preprocessing"]["feature_blocks"]["terms"]
    fresh = questions(50, seed=1)
    assert (elr.predict(tmp_path / "run", fresh[["text"]])["predicted_label"] == fresh["truth"]).mean() > 0.9


def test_hostile_texts_are_escaped_in_the_report(tmp_path):
    frame = questions(80)
    frame["text"] = frame["text"] + ' <script>alert("x")</script>'
    options = ReadOptions(label="topic", text="text")
    elr.fit(frame, options=options, out=tmp_path / "run", config=elr.FitConfig(epochs=2))
    assert "<script>alert" not in (tmp_path / "run" / "report.html").read_text()


def test_captions_beside_images_are_text(tmp_path):
    from io import BytesIO

    from PIL import Image

    from elr.data.reading import read_data

    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    frame = questions(20).assign(image=[{"bytes": buffer.getvalue(), "path": None}] * 20)
    frame.to_parquet(tmp_path / "c.parquet")
    raw = read_data(str(tmp_path / "c.parquet"), ReadOptions(label="topic", text="text"))
    assert raw.kind == "text"
    assert raw.table["text"].tolist() == frame["text"].tolist()


@pytest.mark.parametrize("texts", [["one and the same"] * 9, ["one and the same", "One, and the SAME!"] * 9])
def test_texts_that_say_the_same_in_every_row_are_refused(texts):
    with pytest.raises(DataError, match="it has one word or one text only, again and again"):
        fit_text(texts, name="it")


def test_arrays_come_whatever_scikit_learn_is_told_to_give():
    texts = ["a red mug", "a blue mug", "a red hat"]
    expected = fit_text(texts, name="titles").transform(texts)
    with config_context(transform_output="pandas"):
        fitted = fit_text(texts, name="titles")
        found = fitted.transform(texts)
        assert text_blocks(fitted, texts).shape == (3, 9)
    assert isinstance(found, np.ndarray)
    assert (found == expected).all()
