"""JSON lines: read as they are written, refused where they say nothing, corrected byte by byte."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

import elr
from elr.audit.audited_run import AuditedRun
from elr.audit.cleaning.decisions import clean
from elr.audit.handover.label_studio import export_label_studio
from elr.data.columns.selection import select_columns
from elr.data.formats.json_lines import JsonLines
from elr.data.prepared_data import prepare_data
from elr.data.reading import read_data, read_table
from elr.data.records import ReadOptions
from elr.errors import DataError

QUICK = elr.FitConfig(epochs=2, batch_size=8)


def written(path, *lines, ending="\n"):
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_bytes("".join(text + ending for text in texts).encode())
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "t.jsonl"


def table(path, *lines, **options):
    return JsonLines().frame(written(path, *lines), **options)


# Read


def test_values_keep_their_types(path):
    lines = [
        {"n": 1, "f": 1.5, "s": "007", "b": True, "big": 9007199254740993, "gap": 9007199254740993},
        {"n": 2, "f": 2, "s": "12", "b": False, "big": 2**63, "gap": None},
    ]
    frame = table(path, *lines)
    assert list(frame.columns) == ["n", "f", "s", "b", "big", "gap"]
    assert frame["n"].dtype == np.int64
    assert frame["f"].tolist() == [1.5, 2.0]
    assert frame["s"].tolist() == ["007", "12"]
    assert frame["b"].dtype == bool
    assert frame["big"].tolist() == [9007199254740993, 2**63]
    assert frame["gap"].tolist()[0] == 9007199254740993
    assert frame["gap"].isna().tolist() == [False, True]


def test_a_missing_key_and_null_are_missing_values(path):
    frame = table(path, {"x": 1}, {"y": "a"}, {}, {"x": None, "y": "b"})
    assert frame["x"].isna().tolist() == [False, True, True, True]
    assert frame["y"].isna().tolist() == [True, False, True, False]
    assert len(frame) == 4


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_byte_order_mark_returns_and_blank_lines(path, ending):
    lines = ["\ufeff" + '{"x": 1, "y": "a"}', "", "  \t", '  {"y":"b","x":2}  ', ""]
    frame = JsonLines().frame(written(path, *lines, ending=ending))
    assert frame.to_dict("list") == {"x": [1, 2], "y": ["a", "b"]}


def test_a_last_line_without_its_end(path):
    path.write_text('{"x": 1}\n{"x": 2}')
    assert JsonLines().frame(path)["x"].tolist() == [1, 2]


def test_text_may_hold_what_other_readers_take_for_the_end_of_a_line(path):
    texts = ["a\u2028b\u0085c", "\u00fc \U0001f600", 'quote " and \\ and \n', "2024-01-01", "NA", ""]
    assert table(path, *({"s": text} for text in texts))["s"].tolist() == texts
    escaped = [json.dumps({"s": text}) for text in texts]
    assert table(path, *escaped)["s"].tolist() == texts


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty: expected a JSON object in each line"),
        (["", " "], "is empty"),
        (['{"x": 1}', "[1, 2]"], r"line 2 of .*t\.jsonl is \[1, 2\]: expected a JSON object"),
        (['{"x": 1}', "", "7"], "line 3 of .* is 7: expected a JSON object"),
        (["null"], "line 1 of .* is null"),
        (['{"x": 1}', '{"x": 1, "y": 2, "x": 3}'], "line 2 of .* has the key 'x' twice: expected each key once"),
        (['{"x": 1, "\\u0078": 2}'], "line 1 of .* has the key 'x' twice"),
        (['{"x": {"a": 1, "a": 2}}'], "line 1 of .* has the key 'a' twice"),
        (['{"x": 1}', '{"x": 2'], r"line 2 of .* is damaged \(.*\): expected one whole JSON object in each line"),
        (['{"x": 1} {"x": 2}'], r"line 1 of .* is damaged \(Extra data"),
        (["{'x': 1}"], "line 1 of .* is damaged"),
        (['{"x": 1,}'], "line 1 of .* is damaged"),
        (['{"x": NaN}'], "line 1 of .* has NaN, which is not JSON"),
        (['{"x": -Infinity}'], "line 1 of .* has -Infinity, which is not JSON"),
        (['{"x": "\\ud800"}'], "line 1 of .* is damaged .*surrogate"),
        (['{"x": ' + "[" * 100_000], "line 1 of .* is damaged"),
        (['{"x": ' + "9" * 5000 + "}"], "line 1 of .* is damaged"),
    ],
)
def test_lines_that_are_refused_by_number(path, lines, message):
    with pytest.raises(DataError, match=message):
        table(path, *lines)


def test_lines_are_those_of_the_file_whatever_is_blank(path):
    path.write_text('\n{"x": 1, "y": "a"}\n \n\n{"x": 2}\n{"x": 3, "y": "a"}\n\n{"x": 3, "y": null}\n')
    with pytest.raises(DataError, match=r"first in line 5 \(row 1\): .*; rows count from 0; then line 8$"):
        read_data(path, ReadOptions(label="y"))
    path.write_text('\n\n{"x": 1, "y": "a"}\n\n{"x": 1, "y": }\n')
    with pytest.raises(DataError, match=r"line 5 of .* is damaged \(Expecting value at character 15\)"):
        read_data(path, ReadOptions(label="y"))
    path.write_text('[\n\n{"x": 1, "y": "a"},\n{"x": 1,\n "y": "a"}, {"x": 2}]\n')
    with pytest.raises(DataError, match=r"first in line 5 \(row 2\)"):
        read_data(path, ReadOptions(label="y"))


def test_text_that_is_not_utf8(path):
    path.write_bytes('{"x": "caf\u00e9"}\n'.encode("latin-1"))
    parsed = JsonLines().table(path)
    assert parsed.frame["x"].tolist() == ["café"]
    assert "not UTF-8: taken for cp1252" in parsed.remarks[0]
    with pytest.raises(DataError, match=r"line 1 of .* is not utf-8 .*--encoding"):
        JsonLines().table(path, ReadOptions(encoding="utf-8"))


ARRAY = '[\n  {"x": 1.50, "y": "cät", "z": [1, {"y": "no"}]},\n\n  {"y":\n "dog", "x": 2}\n]\n'


def test_an_array_of_objects(path):
    path.write_text(ARRAY, encoding="utf-8")
    parsed = JsonLines().table(path)
    assert parsed.frame["y"].tolist() == ["cät", "dog"]
    JsonLines().write_corrected(path, path.with_name("new.json"), ReadOptions(label="y"), {0: 1, 1: 0})
    new = path.with_name("new.json").read_text(encoding="utf-8")
    assert new == ARRAY.replace("cät", "?").replace("dog", "cät").replace("?", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"x": 1}, 2]', "line 1 of .* is 2: expected a JSON object"),
        ('[{"x": 1},\n{"x": 2}', "array of JSON and is damaged after line 2"),
        ('[{"x": 1}]\n{"x": 2}', "damaged after line 1 .*Extra data"),
        ("[]", "is empty"),
        ('{"x":\n {"0": 1}}', r"line 1 of .*, or one array of objects in the file \(in pandas: .*records"),
        ('{"x": 1' + "0" * 400 + "}", "column 'x' .* whole number of 401 digits in line 1 \\(row 0\\)"),
    ],
)
def test_what_is_no_table(path, text, message):
    path = path.with_suffix(".json")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        JsonLines().frame(path)


# As data


def records(path, *lines, **options):
    return read_data(written(path, *lines), ReadOptions(label="y", **options))


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1, 0], [1, 0]),
        (["1", "0"], [1, 0]),  # as in Parquet: text of digits alone counts as numbers
        ([True, False], ["True", "False"]),
        (["01", "1"], ["01", "1"]),
        ([1.0, 2.0], [1, 2]),
        ([1.5, 2.5], ["1.5", "2.5"]),
        (["None", "NA"], ["None", "NA"]),
        ([1, True], [1, 1]),
        ([1, True, "1", "many"], ["1", "1", "1", "many"]),
        ([1, "many"], ["1", "many"]),
        ([2**70, 1], [str(2**70), "1"]),
    ],
)
def test_labels_keep_their_types(path, labels, found):
    lines = [{"x": row, "y": label} for row, label in enumerate(labels)]
    assert records(path, *lines, classes=("None", "NA")).labels == found
    if len({type(label) for label in labels}) == 1 and labels[0] != 2**70:
        frame = pd.DataFrame({"x": [0, 1], "y": labels})
        frame.to_parquet(path.with_suffix(".parquet"))
        options = ReadOptions(label="y", classes=("None", "NA"))
        assert read_data(path.with_suffix(".parquet"), options).labels == found


@pytest.mark.parametrize("labels", [(1, "1"), ("True", True), (1.5, "1.5")])
def test_names_of_rows_that_would_become_one_are_refused(path, labels):
    with pytest.raises(DataError, match=r"column 'k' of .* as text and as another value: write all of them as text"):
        records(path, *({"x": row, "y": row % 2, "k": label} for row, label in enumerate(labels)), id="k")
    found = records(path, *({"x": row, "y": label} for row, label in enumerate(labels))).labels
    assert found[0] == found[1]  # labels of one spelling are one class


@pytest.mark.parametrize(
    ("absent", "message"), [({}, "missing in 1 of 2 rows"), ({"y": None}, r"first in line 2 \(row 1\)")]
)
def test_a_label_that_is_missing_is_refused(path, absent, message):
    with pytest.raises(DataError, match=message):
        records(path, {"x": 1, "y": "a"}, {"x": 2, **absent})


def test_nested_objects_are_no_columns_and_lists_may_be_embeddings(path):
    lines = [{"e": [float(row), 1], "o": {"a": row}, "x": row, "y": row % 2} for row in range(4)]
    found = records(path, *lines)
    chosen = select_columns(found.table)
    assert list(chosen.readings) == ["x"]
    assert [remark.split(":")[0] for remark in chosen.remarks] == ["column 'e' left out", "column 'o' left out"]
    assert records(path, *lines, embedding="e").features.tolist() == [[float(row), 1.0] for row in range(4)]
    with pytest.raises(DataError, match=r"label column 'o' of .* holds lists or records"):
        read_data(path, ReadOptions(label="o"))


def test_names_of_rows_that_are_large_numbers_stay_whole(path):
    found = records(path, {"k": 9007199254740993, "x": 1, "y": "a"}, {"x": 2, "y": "b"}, id="k")
    assert found.ids == ["9007199254740993", ""]


def test_the_same_table_says_the_same_as_in_parquet(path):
    frame = examples()
    frame.to_json(path, orient="records", lines=True)
    frame.to_parquet(path.with_suffix(".parquet"))
    options = ReadOptions(label="y", id="key")
    assert prepare_data(path, options).sha256 == prepare_data(path.with_suffix(".parquet"), options).sha256
    ndjson = path.rename(path.with_suffix(".NDJSON"))
    assert read_table(ndjson)["key"].tolist() == frame["key"].tolist()


def test_annotations_in_json_lines(path, tmp_path):
    data = written(tmp_path / "data.jsonl", *({"k": f"k{row}", "x": row} for row in range(4)))
    votes = [{"k": f"k{row}", "annotator": who, "label": row % 2} for row in range(4) for who in ("ann", "bob")]
    written(path, *votes)
    found = read_data(data, ReadOptions(annotations=str(path), id="k"))
    assert found.labels == [0, 1, 0, 1]
    by_row = [{"row": row, "annotator": "ann", "label": row % 2} for row in range(4)]
    written(path, *by_row)
    assert read_data(data, ReadOptions(annotations=str(path), ignore=("k",))).labels == [0, 1, 0, 1]


# From end to end


def examples(count=40):
    rng = np.random.default_rng(0)
    clean_labels = np.arange(count) % 2
    return pd.DataFrame(
        {
            "key": [f"k{row}" for row in range(count)],
            "x": clean_labels * 2 - 1 + 0.1 * rng.normal(size=count),
            "color": rng.choice(["red", "blue"], count),
            "y": np.array(["cat", "dog"])[clean_labels],
        }
    )


def decide(run, path, *wanted):
    """decisions.csv, as the page writes it: row, given label, right label."""
    with path.open("w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["row", "id", "given_label", "decision", "label"])
        out.writerows([row, f"k{row}", given, "relabel", right] for row, given, right in wanted)
    return path


def test_a_run_its_predictions_and_test_data(tmp_path):
    frame = examples()
    frame.to_json(tmp_path / "train.jsonl", orient="records", lines=True)
    frame.iloc[::-1].to_json(tmp_path / "test.ndjson", orient="records", lines=True)
    outcome = elr.fit(
        tmp_path / "train.jsonl",
        out=tmp_path / "run",
        options=ReadOptions(label="y", id="key"),
        config=elr.FitConfig(epochs=20, batch_size=8),
        test=tmp_path / "test.ndjson",
    )
    assert outcome.results["test_accuracy_last"] == 1.0
    frame.drop(columns=["y", "key"]).to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    predictions = elr.predict(tmp_path / "run", tmp_path / "new.jsonl")
    assert predictions["predicted_label"].tolist() == frame["y"].tolist()
    named = elr.predict(tmp_path / "run", tmp_path / "train.jsonl")
    assert named["id"].tolist() == frame["key"].tolist()
    with pytest.raises(DataError, match="lacks 1 columns that training had: 'color'"):
        elr.predict(tmp_path / "run", written(tmp_path / "less.jsonl", {"x": 1.0}, {"x": 2.0}))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_corrected_copy_keeps_every_other_byte(tmp_path, ending):
    frame = examples()
    lines = [json.dumps(row) for row in frame.to_dict("records")]
    lines[3] = lines[3].replace('"y": "dog"', '"n": {"y": [1, "}"]},"y" :\t"dog"').replace('"key"', '"\\u006bey"')
    lines[4] = '  {"x":1.50,"color":"r\\u00e9d\u2028","key":"k4","y":"cat","z":1e2 } '
    lines[5] = lines[5].replace('"dog"', '"\\u0064og"')
    lines.insert(6, "   ")
    text = "\ufeff" + ending.join([*lines[:2], "", *lines[2:]])  # no end to the last line
    source = tmp_path / "data.jsonl"
    source.write_bytes(text.encode())
    elr.fit(source, out=tmp_path / "run", options=ReadOptions(label="y", id="key"), config=QUICK)
    wanted = [(0, "cat", "dog"), (3, "dog", "cat"), (4, "cat", "dog"), (39, "dog", "cat")]
    decisions = decide(tmp_path / "run", tmp_path / "d.csv", *wanted)
    done = clean(tmp_path / "run", decisions, tmp_path / "clean.jsonl")
    assert (done.num_decisions, done.num_changed) == (4, 4)
    assert source.read_bytes() == text.encode()
    new = lines.copy()
    new[0] = new[0].replace('"cat"', '"dog"')
    new[3] = new[3].replace('"y" :\t"dog"', '"y" :\t"cat"')
    new[4] = new[4].replace('"cat"', '"dog"')
    new[-1] = new[-1].replace('"dog"', '"cat"')
    expected = "\ufeff" + ending.join([*new[:2], "", *new[2:]])
    assert (tmp_path / "clean.jsonl").read_bytes() == expected.encode()


def test_labels_are_written_as_the_file_writes_them(tmp_path):
    source = written(tmp_path / "data.jsonl", *(f'{{"x": {row}.50, "y": {row % 2}.0}}' for row in range(20)))
    elr.fit(source, out=tmp_path / "run", label="y", config=QUICK)
    (tmp_path / "d.csv").write_text("row,id,given_label,decision,label\r\n0,,0,relabel,1\r\n")
    clean(tmp_path / "run", tmp_path / "d.csv", tmp_path / "clean.jsonl")
    expected = source.read_text().replace('{"x": 0.50, "y": 0.0}', '{"x": 0.50, "y": 1.0}')
    assert (tmp_path / "clean.jsonl").read_text() == expected


def test_suspects_for_label_studio(tmp_path):
    frame = examples()
    frame.loc[:1, "y"] = ["dog", "cat"]
    frame["gap"] = [None, 1.5] * 20
    frame.to_json(tmp_path / "data.jsonl", orient="records", lines=True)
    options = ReadOptions(label="y", id="key")
    elr.fit(tmp_path / "data.jsonl", out=tmp_path / "run", options=options, config=elr.FitConfig(epochs=20))
    found = AuditedRun.read(tmp_path / "run")
    assert found.audit.num_label_issues
    export_label_studio(found.evidence, found.audit, tmp_path / "tasks.json", run=found.run)
    for prepared in json.loads((tmp_path / "tasks.json").read_text()):
        row = prepared["data"]["elr"]["row"]
        assert f"color: {frame['color'][row]}" in prepared["data"]["text"]
        assert "y: " not in prepared["data"]["text"].splitlines()[0]
