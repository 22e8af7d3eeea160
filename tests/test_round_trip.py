"""One table in five formats is one table: read back, it gives the same inputs, classes and labels: the same run."""

import json
import string
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elr.data.prepared_data import inspection_of, prepare_data
from elr.data.records import ReadOptions
from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig

FORMATS = ("csv", "tsv", "parquet", "feather", "jsonl")
WORDS = [
    "red",
    "dark blue",
    "caf\u00e9",
    'say "no"',
    "a, b",
    "l'eau",
    "x;y|z",
    "tab\there",
    "two\nlines",
    "\u6f22\u5b57",
    "=1+1",
]
CLASSES = [["cat", "dog"], ["a b", 'c"d', "e,f"], [0, 1, 2], [10, 20], ["007", "7a"], [True, False], ["+", "-"]]


def write(frame, folder, suffix):
    path = folder / f"t.{suffix}"
    if suffix in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    elif suffix == "parquet":
        frame.to_parquet(path, index=False)
    elif suffix == "feather":
        frame.to_feather(path)
    else:
        path.write_text(
            "".join(
                json.dumps(
                    {name: None if pd.isna(value) else _plain(value) for name, value in row.items()}, ensure_ascii=False
                )
                + "\n"
                for row in frame.to_dict("records")
            ),
            encoding="utf-8",
        )
    return path


def _plain(value):
    if isinstance(value, datetime):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def some_missing(draw, values):
    gone = draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    return [None if each and place > 3 else value for place, (value, each) in enumerate(zip(values, gone, strict=True))]


@st.composite
def columns(draw, count):
    kind = draw(st.sampled_from(["int", "float", "bool", "word", "date", "gaps"]))
    if kind == "int":
        return draw(st.lists(st.integers(-999, 99999), min_size=count, max_size=count))
    if kind in ("float", "gaps"):
        numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3) + 0.0)
        values = draw(st.lists(numbers, min_size=count, max_size=count))
        return values if kind == "float" else some_missing(draw, values)
    if kind == "bool":
        return draw(st.lists(st.booleans(), min_size=count, max_size=count))
    if kind == "date":
        first = datetime(2020, 1, 1)
        return [
            first + timedelta(days=day) for day in draw(st.lists(st.integers(0, 9999), min_size=count, max_size=count))
        ]
    words = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=4, unique=True))
    return some_missing(draw, draw(st.lists(st.sampled_from(words), min_size=count, max_size=count)))


@st.composite
def tables(draw):
    count = draw(st.integers(12, 30))
    names = draw(
        st.lists(st.text(string.ascii_letters, min_size=1, max_size=4), min_size=1, max_size=4, unique_by=str.lower)
    )
    frame = pd.DataFrame({f"c_{name}": draw(columns(count)) for name in names})
    frame["always"] = np.linspace(-1, 1, count).round(3) ** 2  # so that something is there to learn from
    classes = draw(st.sampled_from(CLASSES))
    frame["y"] = [*classes * 2, *draw(st.lists(st.sampled_from(classes), min_size=count, max_size=count))][:count]
    return frame


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(frame=tables())
def test_every_format_gives_the_same_examples(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("t")
    found = {}
    for suffix in FORMATS:
        prepared = prepare_data(write(frame, folder, suffix), ReadOptions(label="y"))
        assert len(prepared.examples) == len(frame)
        found[suffix] = prepared
    first = found["parquet"]
    for suffix, prepared in found.items():
        assert prepared.preprocessing.coding.class_names == first.preprocessing.coding.class_names, suffix
        uses = [{each["name"]: each["use"] for each in inspection_of(one).columns} for one in (first, prepared)]
        assert uses[0] == uses[1], suffix
        np.testing.assert_array_equal(prepared.examples.labels, first.examples.labels, err_msg=suffix)
        np.testing.assert_allclose(prepared.examples.inputs, first.examples.inputs, atol=1e-5, err_msg=suffix)


def nasty(count=80):
    """A table of all types with some wrong labels."""
    random = np.random.default_rng(0)
    truth = random.integers(2, size=count)
    words = np.array([["red", 'say "no"', "two\nlines"], ["dark blue", "a, b", "caf\u00e9"]])
    frame = pd.DataFrame(
        {
            "whole": truth * 5 + random.integers(4, size=count),
            "part": (truth + random.normal(0, 0.4, count)).round(3),
            "flag": (truth == 1) ^ (random.random(count) < 0.2),
            "word": words[truth, random.integers(3, size=count)],
            "day": [
                datetime(2024, 1, 1) + timedelta(days=int(day)) for day in truth * 40 + random.integers(60, size=count)
            ],
        }
    )
    frame.loc[::9, "part"] = np.nan
    frame.loc[::11, "word"] = None
    given = truth.copy()
    given[:6] = 1 - given[:6]
    frame["y"] = np.array(["no", "yes"])[given]
    return frame


def test_every_format_gives_the_same_run(tmp_path):
    frame = nasty()
    audits = {}
    for suffix in FORMATS:
        (tmp_path / suffix).mkdir()
        path = write(frame, tmp_path / suffix, suffix)
        outcome = fit(path, label="y", out=tmp_path / suffix / "run", config=FitConfig(members=2, lam=3.0, epochs=6))
        audits[suffix] = outcome.fitted
    first = audits["parquet"]
    assert first.audit.num_label_issues
    for suffix, each in audits.items():
        assert each.run["data"]["sha256"] == first.run["data"]["sha256"], suffix
        np.testing.assert_array_equal(each.audit.is_label_issue, first.audit.is_label_issue, err_msg=suffix)
        np.testing.assert_allclose(each.audit.label_quality, first.audit.label_quality, atol=1e-6, err_msg=suffix)


@pytest.mark.parametrize("trained", FORMATS)
def test_a_run_of_one_format_predicts_every_other_alike(tmp_path, trained):
    from elr.runs.predict import predict

    frame = nasty()
    fit(write(frame, tmp_path, trained), label="y", out=tmp_path / "run", config=FitConfig(members=1, epochs=3))
    tables = {suffix: predict(tmp_path / "run", write(frame, tmp_path, suffix)) for suffix in FORMATS}
    for suffix, table in tables.items():
        assert table["predicted_label"].tolist() == tables[trained]["predicted_label"].tolist(), suffix
        np.testing.assert_allclose(table["prob_yes"], tables[trained]["prob_yes"], atol=1e-6, err_msg=suffix)
