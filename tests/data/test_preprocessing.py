"""From data as read to what a network takes, and back from the folder of a run."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from elr import files
from elr.data.kinds.catalog import fit_preprocessing, load_preprocessing
from elr.data.labels import LabelCoding
from elr.data.preprocessing import read_preprocessing, write_preprocessing
from elr.data.reading import ReadOptions, read_data
from elr.errors import ArtifactError, DataError

LABEL = ReadOptions(label="y")
N = 24


def frame():
    """Columns of all kinds, in an order that is not sorted."""
    rng = np.random.default_rng(0)
    rows = np.arange(N)
    return pd.DataFrame(
        {
            "z": rng.normal(size=N),
            "label_quality": rng.integers(0, 5, N).astype(float),
            "when": pd.date_range("2024-01-01", periods=N),
            "a": np.where(rows % 5 == 0, None, "c" + pd.Series(rows % 3).astype(str)),
            "row": rows % 2 == 0,
            "id": [None if row % 7 == 0 else row / 3 for row in rows],
            "name": "x",
            "y": np.array(["None", "NA", "01"])[rows % 3],
        }
    )


def table(changed=None, training=True):
    return read_data(frame() if changed is None else changed, LABEL, training=training)


def images(shape=(N, 3, 6, 5), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return read_data((pixels, np.arange(shape[0]) % 2), ReadOptions())


def features(columns=3, rows=N):
    return read_data((np.random.default_rng(0).normal(size=(rows, columns)), np.arange(rows) % 2), ReadOptions())


def saved(encoder, folder):
    """What prediction gets: run.json through JSON, the transformer through skops."""
    encoder.save(folder)
    return load_preprocessing(folder, json.loads(json.dumps(encoder.to_json())))


KINDS = {"table": (table, LABEL), "images": (images, ReadOptions()), "features": (features, ReadOptions())}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_loaded_encodes_exactly_as_what_was_fitted(kind, tmp_path):
    make, options = KINDS[kind]
    raw = make()
    encoder = fit_preprocessing(raw, options)
    loaded = saved(encoder, tmp_path)
    assert loaded.to_json() == encoder.to_json()
    assert list(loaded.columns or ()) == list(encoder.columns or ())
    assert loaded.coding == encoder.coding
    first, again = encoder.encode(raw, name="it"), loaded.encode(raw, name="it")
    assert torch.equal(first.inputs, again.inputs)
    assert torch.equal(first.labels, again.labels)
    assert torch.isfinite(first.inputs.float()).all()
    for flatten in (False, True):
        before, after = (each.transform(flatten=flatten) for each in (encoder, loaded))
        assert torch.equal(before(first.inputs), after(again.inputs))


@pytest.mark.parametrize(
    "labels", [[3, 1, -2], ["01", "1", "1.0"], ["None", "NA", "nan"], ["True", "False", "é\n\u2028"]]
)
def test_class_names_go_through_json_exactly(labels, tmp_path):
    raw = read_data((np.eye(N), labels * 8), ReadOptions())
    encoder = fit_preprocessing(raw, ReadOptions())
    loaded = saved(encoder, tmp_path)
    assert loaded.coding.class_names == tuple(sorted(labels))
    assert [type(name) for name in loaded.coding.class_names] == [type(name) for name in sorted(labels)]
    assert [loaded.coding.class_names[number] for number in loaded.encode(raw, name="it").labels] == labels * 8
    assert loaded.num_classes == 3


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True).filter(
        lambda names: "y" not in names and not any("\0" in name for name in names)
    )
)
def test_any_column_names_go_round(tmp_path_factory, names):
    rng = np.random.default_rng(0)
    mixed = {name: rng.normal(size=N) if number % 2 else list("ab" * 12) for number, name in enumerate(names)}
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
        (lambda new: new.assign(z=["1"] * 23 + ["many"]), "column 'z' of new has 'many' in row 23: expected a number"),
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


def test_labels_are_not_looked_at_where_they_are_not_wanted():
    encoder = fit_preprocessing(table(), LABEL)
    assert encoder.encode(table(frame().assign(y="cow")), name="new", with_labels=False).labels is None


def test_values_too_far_from_training_are_refused_without_warnings():
    narrow = pd.DataFrame({"x": np.linspace(0, 1e-20, N), "y": ["u", "v"] * 12})
    encoder = fit_preprocessing(table(narrow), LABEL)
    with pytest.raises(DataError, match="new has a value in row 3 that is too far from those of training"):
        encoder.encode(table(narrow.assign(x=np.where(narrow.index == 3, 1e30, 0))), name="new")
    plain = np.linspace(0, 1e-20, N)[:, None]
    encoder = fit_preprocessing(read_data((plain, np.arange(N) % 2), ReadOptions()), ReadOptions())
    with pytest.raises(DataError, match="new has a value in row 0 that is too far"):
        encoder.encode(read_data((plain + 1e30, None), ReadOptions(), training=False), name="new")


def test_features_are_standardized_and_counted():
    encoder = fit_preprocessing(features(), ReadOptions())
    inputs = encoder.encode(features(), name="it").inputs
    torch.testing.assert_close(inputs.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(3))
    with pytest.raises(DataError, match="new has 2 features, training had 3: give the same ones in the same order"):
        encoder.encode(features(columns=2), name="new")


def test_constant_features_do_no_harm():
    raw = read_data((np.c_[np.ones(N), np.arange(N)], np.arange(N) % 2), ReadOptions())
    assert torch.isfinite(fit_preprocessing(raw, ReadOptions()).encode(raw, name="it").inputs).all()


def test_images_must_have_the_size_of_training_but_not_its_channels():
    encoder = fit_preprocessing(images(), ReadOptions())
    with pytest.raises(DataError, match=r"new has images of \(5, 6\) pixels, training had \(6, 5\): resize them"):
        encoder.encode(images((N, 3, 5, 6)), name="new")
    gray = images((N, 1, 6, 5))
    widened = encoder.encode(gray, name="new").inputs
    assert torch.equal(widened, gray.images.expand(-1, 3, -1, -1))
    narrowed = fit_preprocessing(gray, ReadOptions()).encode(images(), name="new").inputs
    assert narrowed.dtype == torch.uint8
    np.testing.assert_array_equal(narrowed[:, 0], images().images.numpy().mean(axis=1).round())


def test_images_are_normalized_over_the_training_set_and_augmented_on_demand():
    raw = images()
    encoder = fit_preprocessing(raw, ReadOptions())
    normalized = encoder.transform()(raw.images)
    torch.testing.assert_close(normalized.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalized.std(dim=(0, 2, 3)), torch.ones(3))
    assert encoder.transform(crop=True, flip=True).padding == 1
    assert encoder.transform(flatten=True)(raw.images).shape == (N, 90)
    large = fit_preprocessing(images((4, 1, 32, 32)), ReadOptions())
    assert large.transform(crop=True, flip=True).padding == 4


@pytest.mark.parametrize("trained", KINDS)
@pytest.mark.parametrize("given_kind", KINDS)
def test_another_kind_of_data_is_refused(trained, given_kind):
    if trained == given_kind:
        return
    make, options = KINDS[trained]
    encoder = fit_preprocessing(make(), options)
    with pytest.raises(DataError, match=f"new holds {given_kind}, the run was trained on {trained}: give data of that"):
        encoder.encode(KINDS[given_kind][0](), name="new")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a"] * N, "label column 'y' is constant"),
        ([f"a{row}" for row in range(N)], "label column 'y' is different in each of the 24 rows"),
        (["a"] * 12 + ["b"] * 11 + ["c"], "label column 'y' has 1 of 3 classes with one example only"),
    ],
)
def test_labels_that_say_nothing(labels, message):
    with pytest.raises(DataError, match=message):
        fit_preprocessing(table(frame().assign(y=labels)), LABEL)


def test_messages_of_arrays_do_not_speak_of_folders():
    with pytest.raises(DataError, match=r"^the label is constant"):
        fit_preprocessing(read_data((np.eye(4), [1] * 4), ReadOptions()), ReadOptions())
    with pytest.raises(DataError, match="the training data have no labels"):
        fit_preprocessing(read_data((np.eye(4), None), ReadOptions()), ReadOptions())


# Loading


def settings_of(encoder, **changes):
    return {**json.loads(json.dumps(encoder.to_json())), **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": None},
        {"kind": "sound"},
        {"columns": None},
        {"columns": {"z": "numeric"}},
        {"kind": "images"},
        {"kind": "features"},
    ],
)
def test_damaged_settings_are_refused(changes, tmp_path):
    encoder = fit_preprocessing(table(), LABEL)
    encoder.save(tmp_path)
    with pytest.raises(
        ArtifactError, match=r"run\.json in .* is damaged: .*|does not fit run\.json .*run `elr fit` again"
    ):
        load_preprocessing(tmp_path, settings_of(encoder, **changes))


@pytest.mark.parametrize("key", ["kind", "class_names", "columns", "image_format"])
def test_lacking_settings_are_refused(key, tmp_path):
    encoder = fit_preprocessing(images(), ReadOptions())
    settings = settings_of(encoder)
    del settings[key]
    with pytest.raises(
        ArtifactError, match=rf"run\.json in .* is damaged: its preprocessing is incomplete \('{key}'\)"
    ):
        load_preprocessing(tmp_path, settings)
    with pytest.raises(ArtifactError, match="incomplete"):
        load_preprocessing(tmp_path, settings_of(encoder, image_format={"channels": 3}))


def test_a_transformer_of_another_run_is_refused(tmp_path):
    encoder = fit_preprocessing(table(), LABEL)
    for other in (
        fit_preprocessing(features(), ReadOptions()),
        fit_preprocessing(table(frame().drop(columns="z")), LABEL),
    ):
        other.save(tmp_path)
        with pytest.raises(ArtifactError, match=r"preprocessing\.skops holds a .* that does not fit run\.json"):
            load_preprocessing(tmp_path, settings_of(encoder))
    write_preprocessing(tmp_path / files.PREPROCESSING_FILE, MinMaxScaler().fit(np.eye(3)))
    with pytest.raises(ArtifactError, match="holds a MinMaxScaler"):
        load_preprocessing(tmp_path, settings_of(fit_preprocessing(features(), ReadOptions())))


def shout(values):
    print("code was executed")
    return values


def test_foreign_types_are_refused_and_nothing_is_executed(tmp_path, capsys):
    encoder = fit_preprocessing(features(), ReadOptions())
    path = tmp_path / files.PREPROCESSING_FILE
    write_preprocessing(path, FunctionTransformer(shout).fit(np.eye(2)))
    with pytest.raises(ArtifactError, match=r"holds types that elr never writes \(.*shout.*\): do not load it"):
        read_preprocessing(path)
    with pytest.raises(ArtifactError, match="never writes"):
        load_preprocessing(tmp_path, settings_of(encoder))
    path.unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_preprocessing(tmp_path, settings_of(encoder))
    assert "executed" not in capsys.readouterr().out


def test_features_are_saved_as_a_plain_scaler(tmp_path):
    encoder = fit_preprocessing(features(), ReadOptions())
    loaded = saved(encoder, tmp_path)
    assert type(loaded.transformer) is StandardScaler
    assert loaded.coding == LabelCoding(class_names=(0, 1))
    fit_preprocessing(images(), ReadOptions()).save(tmp_path / "absent")  # images have nothing to write


def test_classes_that_differ_only_by_case_or_space_are_remarked():
    frame = pd.DataFrame({"x": range(8), "y": ["basic", " Basic", "pro", "plus"] * 2})
    encoder = fit_preprocessing(read_data(frame, ReadOptions(label="y")), ReadOptions(label="y"))
    assert len(encoder.coding.class_names) == 4
    assert any("' Basic', 'basic' differ only by case or space" in remark for remark in encoder.remarks)
    assert not any("'pro'" in remark for remark in encoder.remarks)


class Foreign:
    def __reduce__(self):
        return print, ("code was executed",)


def test_preprocessing_goes_round_and_executes_nothing(tmp_path, capsys):
    path = tmp_path / "p.skops"
    scaler = StandardScaler().fit(np.arange(6.0).reshape(3, 2))
    write_preprocessing(path, scaler)
    np.testing.assert_array_equal(read_preprocessing(path).mean_, scaler.mean_)
    path.write_bytes(pickle.dumps(Foreign()))
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_preprocessing(path)
    assert "executed" not in capsys.readouterr().out
