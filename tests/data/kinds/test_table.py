"""Rows of a table: what is learned of their columns, what new ones may bring, how people are shown them."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.data.formats.catalog import FORMATS
from elr.data.kinds.catalog import fit_preprocessing
from elr.data.kinds.table import Table
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import DataError
from small_data import LABEL, N, frame, saved, table


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True).filter(
        lambda names: "y" not in names and not any("\0" in name for name in names)
    )
)
def test_any_column_names_go_round(tmp_path_factory, names):
    rng = np.random.default_rng(0)
    mixed = {name: rng.normal(size=N) if number % 2 else list("aab" * 8) for number, name in enumerate(names)}
    raw = read_data(pd.DataFrame({**mixed, "y": ["u", "v"] * 12}), LABEL)
    encoder = fit_preprocessing(raw, LABEL)
    loaded = saved(encoder, tmp_path_factory.mktemp("run"))
    assert list(loaded.columns) == names
    assert torch.equal(encoder.encode(raw, name="it").inputs, loaded.encode(raw, name="it").inputs)


def test_a_column_name_with_a_nul_character_is_refused():
    data = pd.DataFrame({"": range(8), "a\0b": range(8), "y": ["u", "v"] * 4})
    with pytest.raises(DataError, match="NUL character: rename it"):
        fit_preprocessing(read_data(data, LABEL), LABEL)


def test_remarks_say_what_was_left_out():
    encoder = fit_preprocessing(table(), LABEL)
    assert encoder.remarks == ("column 'name' left out: it says the same in every row",)
    assert list(encoder.columns) == ["z", "label_quality", "when", "a", "row", "id"]


def test_the_order_of_columns_in_new_data_does_not_matter():
    encoder = fit_preprocessing(table(), LABEL)
    turned = frame()[frame().columns[::-1]].assign(extra=1)
    assert torch.equal(encoder.encode(table(), name="it").inputs, encoder.encode(table(turned), name="it").inputs)


def test_the_order_of_rows_in_new_data_does_not_matter():
    encoder = fit_preprocessing(table(), LABEL)
    whole = encoder.encode(table(), name="it").inputs
    part = encoder.encode(table(frame().iloc[[5, 3]], training=False), name="it").inputs
    torch.testing.assert_close(part, whole[[5, 3]], rtol=0, atol=1e-6)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_files_of_all_kinds_encode_alike(suffix, tmp_path):
    """Trained on a data frame or a file, predicted from any other: the same numbers."""
    codes = pd.DataFrame(
        {
            "x": np.arange(N) / 8,
            "when": pd.date_range("2024-01-01", periods=N, freq="h"),
            "flag": np.arange(N) % 3 == 0,
            "gap": [None if row % 5 == 0 else row for row in range(N)],
            "code": ["007", "A1", "12"] * 8,
            "y": ["u", "v"] * 12,
        }
    )
    codes.to_csv(tmp_path / "t.csv", index=False)
    codes.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    codes.to_parquet(tmp_path / "t.parquet")
    raws = [read_data(data, LABEL) for data in (codes, tmp_path / f"t.{suffix}")]
    encoders = [fit_preprocessing(raw, LABEL) for raw in raws]
    assert encoders[0].columns == encoders[1].columns
    encoded = [encoder.encode(raw, name="it").inputs for encoder in encoders for raw in raws]
    for other in encoded[1:]:
        torch.testing.assert_close(other, encoded[0], rtol=0, atol=1e-6)


def test_a_code_means_the_same_whatever_stands_beside_it(tmp_path):
    """A file whose codes are all digits, some missing, would read as 12.0 by itself."""
    (tmp_path / "train.csv").write_text("code,n,y\n" + "007,1,u\nA1,2,v\n12,3,u\n" * 4)
    (tmp_path / "new.csv").write_text("code,n\n12,1\n,2\n007,3\n")
    encoder = fit_preprocessing(read_data(tmp_path / "train.csv", LABEL), LABEL)
    new = encoder.encode(read_data(tmp_path / "new.csv", LABEL, training=False), name="it").inputs
    old = encoder.encode(read_data(tmp_path / "train.csv", LABEL), name="it").inputs
    assert torch.equal(new[[0, 2], 1:], old[[2, 0], 1:])
    assert new[1, 1:].sum() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda new: new.drop(columns=["z", "when"]), "new lacks 2 columns that training had: 'z', 'when'; add them"),
        (lambda new: new.assign(z=["1"] + ["many"] * 23), "column 'z' of new has 'many' in row 1: expected a number"),
        (lambda new: new.assign(z=np.where(new["z"] > 2, np.inf, 0.5 * np.inf)), "'z' of new is infinite in row 0"),
        (lambda new: new.assign(when=["soon"] * 24), "column 'when' of new has 'soon' in row 0: expected a date"),
        (lambda new: new.assign(when=range(24)), "column 'when' of new has .*0.* in row 0: expected a date"),
        (lambda new: new.assign(z=new["when"]), "column 'z' of new holds datetime64.*: expected numbers"),
        (lambda new: new.assign(z=[[1]] * 24), "column 'z' of new holds lists"),
        (lambda new: new.assign(y="cow"), "label has 1 values that the training labels do not have: 'cow'; known"),
    ],
)
def test_new_tables_that_do_not_fit(change, message):
    encoder = fit_preprocessing(table(), LABEL)
    with pytest.raises(DataError, match=message):
        encoder.encode(table(change(frame()), training=False), name="new")


def test_new_tables_may_lack_values_and_bring_new_categories():
    encoder = fit_preprocessing(table(), LABEL)
    new = frame().assign(z=None, when=None, a=[None, "never seen"] * 12, row=None, y=None)
    examples = encoder.encode(table(new, training=False), name="new")
    assert examples.labels is None
    assert torch.isfinite(examples.inputs).all()


def test_people_are_shown_the_columns_that_are_learned_from(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("key,x,y,note,code\nk0,1.5,u,,007\nk1,,v,late,008\nk2,2.5,u,,009\n")
    options = ReadOptions(label="y", id="key", ignore=["code"])
    tag, shown = Table().contents(FORMATS["csv"], path, options, [1, 0], ["k1", "k0"])
    assert tag == "Text"
    assert [row["text"] for row in shown] == ["x: \nnote: late", "x: 1.5\nnote: "]
    with pytest.raises(DataError, match="it is not the data of this run"):
        Table().contents(FORMATS["csv"], path, options, [3], ["k3"])
    with pytest.raises(DataError, match="is no table: name the data of the run with --data"):
        Table().contents(FORMATS["npz"], tmp_path / "t.npz", options, [0], [])


def test_cells_are_those_of_the_examples_not_of_the_source():
    some = table().take(np.array([5, 7]))
    assert Table().cells(some, np.array([1, 0]), ["a", "row"]) == {"a": ["c1", None], "row": [False, False]}
    assert Table().picture(some, 0) is None


def test_a_table_in_which_nothing_differs_is_refused():
    constant = pd.DataFrame({"x": 1.0, "name": "n", "y": ["u", "v"] * 4})
    with pytest.raises(DataError, match="no column"):
        fit_preprocessing(read_data(constant, LABEL), LABEL)


@pytest.mark.parametrize("at_once", [1, 7, N - 1, N])
def test_rows_prepared_in_parts_are_those_prepared_together(at_once, monkeypatch):
    raw = table()
    encoder = fit_preprocessing(raw, LABEL)
    together = encoder.encode(raw, name="it").inputs
    monkeypatch.setattr("elr.data.preprocessing.ROWS_AT_ONCE", at_once)
    assert torch.equal(encoder.encode(raw, name="it").inputs, together)


def test_a_row_that_is_too_far_is_named_wherever_it_stands(monkeypatch):
    narrow = pd.DataFrame({"x": np.linspace(0, 1e-20, N), "y": ["u", "v"] * 12})
    encoder = fit_preprocessing(table(narrow), LABEL)
    monkeypatch.setattr("elr.data.preprocessing.ROWS_AT_ONCE", 5)
    with pytest.raises(DataError, match="new has a value in row 13 that is too far from those of training"):
        encoder.encode(table(narrow.assign(x=np.where(narrow.index == 13, 1e30, 0))), name="new")
