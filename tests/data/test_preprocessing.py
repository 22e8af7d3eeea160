"""From data as read to what a network takes, and back from the folder of a run."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from elr import files
from elr.data.kinds.catalog import fit_preprocessing, load_preprocessing
from elr.data.preprocessing import read_preprocessing, write_preprocessing
from elr.data.reading import ReadOptions, read_data
from elr.errors import ArtifactError, DataError
from small_data import KINDS, LABEL, N, features, frame, saved, settings_of, table


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
    "labels", [[3, 1, -2], ["01", "1", "1.5"], ["None", "NA", "nan"], ["True", "False", "é\n\u2028"]]
)
def test_class_names_go_through_json_exactly(labels, tmp_path):
    raw = read_data((np.eye(N), labels * 8), ReadOptions(classes=("None", "NA", "nan")))
    encoder = fit_preprocessing(raw, ReadOptions())
    loaded = saved(encoder, tmp_path)
    assert loaded.coding.class_names == tuple(sorted(labels))
    assert [type(name) for name in loaded.coding.class_names] == [type(name) for name in sorted(labels)]
    assert [loaded.coding.class_names[number] for number in loaded.encode(raw, name="it").labels] == labels * 8
    assert loaded.num_classes == 3


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


@pytest.mark.parametrize("trained", KINDS)
@pytest.mark.parametrize("given_kind", KINDS)
def test_another_kind_of_data_is_refused(trained, given_kind):
    if trained == given_kind:
        return
    make, options = KINDS[trained]
    encoder = fit_preprocessing(make(), options)
    with pytest.raises(DataError, match=f"new holds {given_kind}, the run was trained on {trained}: give data of that"):
        encoder.encode(KINDS[given_kind][0](), name="new")


# Loading


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
