"""Small files like those that people have, each with what is right, made by ../shared/cases/make_cases.py if there.

What they are cases of is tested by kinds in the tests of `elr.data`, without them.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import elr
from command_line import inside
from elr.data.records import ReadOptions

MAKER = Path(__file__).resolve().parents[2] / "shared" / "cases" / "make_cases.py"
pytestmark = pytest.mark.skipif(not MAKER.is_file(), reason=f"no {MAKER}: the cases are not kept in the repository")


@pytest.fixture
def case(tmp_path):
    """Makes the files of a case, and says where they are."""
    spec = importlib.util.spec_from_file_location("make_cases", MAKER)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        maker.CASES[name][0](folder)
        return folder

    return make


def fitted(folder, data, *flags, out="run"):
    """The run.json of a fit that must succeed, and all that it said."""
    result = inside("fit", folder / data, *flags, "--out", folder / out)
    assert result.exit_code == 0, result.output
    return json.loads((folder / out / "run.json").read_text()), " ".join(result.output.split())


def refused(folder, data, *flags):
    """What a fit said that must not succeed."""
    result = inside("fit", folder / data, *flags, "--out", folder / "run")
    assert result.exit_code == 2, result.output
    assert not (folder / "run").exists()
    return " ".join(result.output.split())


def predicted(folder, new, run="run"):
    """Predictions by the run of a case, and all that was said."""
    out = folder / f"by-{run}-{Path(new).stem}.csv"
    result = inside("predict", folder / run, folder / new, "--out", out)
    assert result.exit_code == 0, result.output
    return pd.read_csv(out), " ".join(result.output.split())


def accuracy(folder, new, run="run"):
    found, _ = predicted(folder, new, run)
    return (found["predicted_label"] == pd.read_csv(folder / new)["label"]).mean()


def class_names(run):
    return run["preprocessing"]["class_names"]


def used(run):
    return {each["name"]: each["use"] for each in run["data"]["reading"]["columns"]}


def test_quotes_that_are_never_closed(case):
    folder = case("lone_quotes")
    run, said = fitted(folder, "d.tsv", "--label", "label", "--text", "text")
    assert run["data"]["num_examples"] == 300
    assert "quot" in said
    new, _ = predicted(folder, "d.tsv")
    assert len(new) == 300
    tested, _ = fitted(folder, "d.tsv", "--label", "label", "--text", "text", "--test", folder / "d.tsv", out="tested")
    assert tested["data"]["reading"]["test"]["num_examples"] == 300


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("split_folders", ("training_set --test", "test_set")),
        ("split_folders_nested", ("seg_train/seg_train --test", "seg_test/seg_test")),
        ("train_and_more", ("data/train",)),
    ],
)
def test_folders_that_are_no_classes(case, name, way_out):
    said = refused(case(name), "data").replace(" ", "")
    assert all(part.replace(" ", "") in said for part in way_out)


def test_categories_in_another_case(case):
    folder = case("unseen_categories")
    fitted(folder, "d.csv", "--label", "label")
    fitted(folder, "d.csv", "--label", "label", "--ignore", "sex", out="without")
    assert accuracy(folder, "new.csv") > 0.85


def test_a_counter_beside_sorted_rows(case):
    folder = case("row_counter")
    run, said = fitted(folder, "d.csv", "--label", "label")
    assert used(run)["Id"] != "learned from"
    assert "'Id'" in said
    assert "--keep" in said
    assert accuracy(folder, "new.csv") > 0.97


def test_a_shuffled_index(case):
    folder = case("shuffled_index")
    run, said = fitted(folder, "d.csv", "--label", "label")
    assert used(run)["Unnamed: 0"] != "learned from"
    assert "Unnamed: 0" in said
    fitted(folder, "d.csv", "--label", "label", "--ignore", "Unnamed: 0", out="without")
    found = accuracy(folder, "new.csv")
    assert found == accuracy(folder, "new.csv", "without")
    assert found > 0.83  # the rule that made the data, b > a, is right in .84


def test_the_label_in_other_words(case):
    folder = case("label_twice")
    run, said = fitted(folder, "d.csv", "--label", "label")
    assert used(run)["label_text"] != "learned from"
    assert "'label_text'" in said
    assert 8 <= run["results"]["num_label_issues"] <= 18
    kept, _ = fitted(folder, "d.csv", "--label", "label", "--keep", "label_text", out="kept")
    assert used(kept)["label_text"] == "learned from"


def test_whole_numbers_with_and_without_a_point(case):
    run, said = fitted(case("one_and_one_point_nought"), "d.csv", "--label", "label")
    assert class_names(run) == ["1", "2", "other"]
    assert "1.0" in said


def test_votes_of_three_types(case, tmp_path):
    path = case("votes_of_three_kinds") / "d.parquet"
    options = ReadOptions(annotators=("p", "q", "r"))
    outcome = elr.fit(path, options=options, out=tmp_path / "run")
    assert len(class_names(outcome.fitted.run)) == 2
    frame = pd.read_parquet(path)
    outcome = elr.fit(frame, options=options, out=tmp_path / "frame")
    assert len(class_names(outcome.fitted.run)) == 2


def test_labeling_functions_that_abstain(case):
    flags = [part for k in range(3) for part in ("--annotators", f"lf{k}")]
    folder = case("abstentions")
    result = inside("fit", folder / "d.csv", *flags, "--out", folder / "run")
    if result.exit_code == 2:  # rows where all three abstain have no label at all
        assert "-1" in result.output
        frame = pd.read_csv(folder / "d.csv")
        frame[(frame[["lf0", "lf1", "lf2"]] != -1).any(axis=1)].to_csv(folder / "e.csv", index=False)
        run, said = fitted(folder, "e.csv", *flags)
    else:
        run, said = json.loads((folder / "run" / "run.json").read_text()), result.output
    assert class_names(run) == [0, 1]
    assert "-1" in said


def test_missing_labels_in_words(case):
    folder = case("nan_as_text")
    said = refused(folder, "d.csv", "--label", "label")
    assert "12 of 200" in said
    assert "50" in said
    assert "--class" in said
    run, _ = fitted(folder, "d.csv", "--label", "label", "--class", "nan")
    assert class_names(run) == ["0", "1", "nan"]
    frame = pd.read_csv(folder / "d.csv", dtype={"label": str}, keep_default_na=False)
    labels = np.array(frame.pop("label"), dtype=str)
    with pytest.raises(elr.ELRError, match="12 of 200"):
        elr.fit((frame.to_numpy(), labels), out=folder / "arrays")
    with pytest.raises(ValueError, match="nan"):
        elr.ELRClassifier().fit(frame, labels)


def test_two_forms_of_one_letter(case):
    run, said = fitted(case("two_unicode_forms"), "d.csv", "--label", "label")
    assert class_names(run) == ["caf\u00e9", "the"]
    assert "caf\u00e9" in said


def test_few_of_sixteen_bits(case):
    run, said = fitted(case("sixteen_bit"), "data")
    assert run["results"]["num_label_issues"] == 0
    assert "bit" in said


@pytest.mark.parametrize("new", ["new.csv", "other.csv"])
def test_new_data_with_half_of_their_labels(case, new):
    folder = case("half_labeled")
    fitted(folder, "d.csv", "--label", "label")
    found, said = predicted(folder, new)
    assert len(found) == 200
    assert "'label'" in said


@pytest.mark.parametrize("data", ["d.tsv", "e.csv"])
def test_numbers_of_other_countries(case, data):
    run, said = fitted(case("decimal_comma"), data, "--label", "label", "--keep", "plain")
    assert [used(run)[name] for name in "abc"] == ["learned from"] * 3
    kinds = {each["name"]: each["kind"] for each in run["data"]["reading"]["columns"]}
    assert [kinds[name] for name in "abc"] == ["numeric"] * 3
    assert "free text" not in said


def test_a_header_alone(case):
    folder = case("header_only")
    fitted(folder, "d.csv", "--label", "label")
    found, _ = predicted(folder, "new.csv")
    assert list(found.columns) == ["row", "predicted_label", "prob_neg", "prob_pos"]
    assert not len(found)
