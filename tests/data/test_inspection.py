"""What was read, said before training: from every format, by the command and in the folder of the run."""

import json

import numpy as np
import pandas as pd
import pytest

import elr as package
from command_line import done, elr
from elr.audit.report import check_reading
from elr.data.prepared_data import inspect
from elr.data.records import ReadOptions
from elr.errors import ArgumentError
from pictures import color, encoded


def frame(count=40):
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "name": [f"row {row} of the table" for row in range(count)],
            "size": np.where(np.arange(count) % 8 == 3, np.nan, random.normal(size=count).round(2)),
            "color": np.array(["red", "blue"])[random.integers(2, size=count)],
            "note": ["the same"] * count,
            "kind": ["cat", "dog", "dog", "dog"] * (count // 4),
        }
    )


OPTIONS = ReadOptions(label="kind", id="name")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_every_column_is_there_with_its_use(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    table = frame()
    if suffix == "csv":
        table.to_csv(path, index=False)
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    found = inspect(path, OPTIONS)
    columns = {each["name"]: each for each in found.columns}
    assert list(columns) == list(table.columns)
    uses = {name: columns[name]["use"] for name in ("name", "size", "color", "kind")}
    assert uses == {"name": "id", "size": "learned from", "color": "learned from", "kind": "label"}
    assert columns["note"]["use"].startswith("left out: it says the same")
    assert (columns["size"]["kind"], columns["size"]["missing"]) == ("numeric", 5)
    assert (columns["color"]["kind"], columns["color"]["distinct"]) == ("categorical", 2)
    assert columns["name"]["example"] == "row 0 of the table"
    assert [each["name"] for each in found.classes] == ["dog", "cat"]
    assert [each["share"] for each in found.classes] == [0.75, 0.25]
    assert found.num_examples == 40
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["num_examples"] == 40
    check_reading(found.to_json())


def test_lines_and_rows_of_a_text_file_are_said(tmp_path):
    (tmp_path / "t.csv").write_text("x;y\n1;cat\n\n2;dog\n3;cat\n4;dog\n")
    found = inspect(tmp_path / "t.csv", ReadOptions(label="y"))
    assert {name: found.facts[name] for name in ("lines", "rows", "blank_lines")} == {
        "lines": 6,
        "rows": 4,
        "blank_lines": 1,
    }
    assert "6 lines" in found.lines()[0]
    assert "';'" in found.lines()[0]


def test_a_dozen_lines_are_enough_however_many_columns():
    wide = pd.DataFrame({f"x{column}": np.random.default_rng(column).normal(size=20) for column in range(300)})
    wide["empty"] = None
    wide["y"] = ["cat", "dog"] * 10
    found = inspect(wide, ReadOptions(label="y"))
    lines = found.lines()
    assert len(lines) <= 13
    assert "Learned from 300 of 302 columns" in " ".join(lines)
    assert "empty" in " ".join(lines)
    assert len(found.lines(None)) > 302


def test_names_that_would_move_the_cursor_do_not(tmp_path):
    table = frame().rename(columns={"color": "co\x1b[31mlor"})
    table.to_csv(tmp_path / "t.csv", index=False)
    result = elr("inspect", tmp_path / "t.csv", "--label", "kind")
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stderr


def test_the_command_trains_nothing_and_writes_nothing(tmp_path):
    frame().to_csv(tmp_path / "t.csv", index=False)
    found = done("inspect", tmp_path / "t.csv", "--label", "kind", "--id", "name", "--test", tmp_path / "t.csv")
    assert (found["test"]["source"], found["test"]["num_examples"]) == (str(tmp_path / "t.csv"), 40)
    assert found["test"]["facts"]["rows"] == 40
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    result = elr("inspect", tmp_path / "t.csv")
    assert result.returncode == 2
    assert "--label" in result.stderr


def test_a_fit_says_it_before_training_and_keeps_it(tmp_path):
    frame().to_csv(tmp_path / "t.csv", index=False)
    flags = ("--label", "kind", "--id", "name", "--epochs", "2")
    result = elr("fit", tmp_path / "t.csv", *flags, "--out", tmp_path / "run")
    assert result.returncode == 0, result.stderr
    said = result.stderr
    assert said.index("Learned from 2 of 5 columns") < said.index("epoch")
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["data"]["reading"]["num_examples"] == 40
    page = (tmp_path / "run" / "report.html").read_text()
    assert "What was read" in page
    assert "it says the same in every row" in page


def test_images_and_arrays(tmp_path):
    for name, rgb in (("cat", (200, 0, 0)), ("dog", (0, 0, 200))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "data" / name / f"{number}.png").write_bytes(encoded(color(rgb)))
    found = inspect(tmp_path / "data")
    assert found.kind == "images"
    assert not found.columns
    arrays = package.inspect((np.eye(6), [0, 1] * 3))
    assert (arrays.kind, arrays.num_examples, arrays.source) == ("features", 6, "arrays")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 3}, "a text is no text"),
        ({"num_examples": -1}, "a count is no whole number"),
        ({"classes": [{"name": "cat", "count": 1, "share": 3.0}]}, "share of a class"),
        ({"columns": [{"name": "x"}]}, "reading has no 'kind'"),
        ({"test": 7}, "not as run.json has it"),
    ],
)
def test_a_reading_that_is_damaged_is_refused(change, message):
    sound = inspect(frame(), OPTIONS).to_json()
    check_reading(sound)
    check_reading({})
    with pytest.raises(ArgumentError, match=message):
        check_reading(sound | change)
