import gc
import pickle
import tempfile
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from elr import ELRClassifier
from elr.errors import ArgumentError, DataError, DataWarning
from elr.training.loop import Training


@pytest.mark.filterwarnings("ignore::elr.errors.DataWarning")  # of data that are made to be odd
@parametrize_with_checks([ELRClassifier()])
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    """Blobs with 30 % wrong labels: features, given, clean."""
    features, clean = make_blobs(300, centers=3, n_features=4, cluster_std=1.5, random_state=1)
    given = clean.copy()
    wrong = np.random.default_rng(0).choice(300, 90, replace=False)
    given[wrong] = (given[wrong] + np.random.default_rng(1).integers(1, 3, size=90)) % 3
    return features, given, clean


@pytest.fixture(scope="module")
def fitted(data):
    return ELRClassifier(epochs=40, random_state=0).fit(data[0], data[1])


def test_is_robust_and_finds_the_wrong_labels(fitted, data):
    features, given, clean = data
    assert (fitted.predict(features) == clean).mean() > 0.95
    audit = fitted.audit()
    wrong = given != clean
    assert audit.is_label_issue[wrong].mean() > 0.9
    assert audit.is_label_issue[~wrong].mean() < 0.05
    assert (fitted.classes_[audit.labels] == given).all()
    assert audit.class_names == (0, 1, 2)
    assert abs(audit.noise_rate - 0.3) < 0.05
    np.testing.assert_allclose(fitted.pred_probs_.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "settings", "epochs"), [("co_teaching", {"forget_rate": 0.3}, 15), ("joint_optimization", {}, 16)]
)
def test_other_methods_train_as_many_networks_and_generations_as_they_have(data, method, settings, epochs):
    features, given, clean = data
    model = ELRClassifier(method=method, settings=settings, epochs=15, random_state=0).fit(features, given)
    assert len(model.history_) == epochs
    assert (model.predict(features) == clean).mean() > 0.9


def test_by_default_networks_side_by_side_choose_their_settings(fitted, data):
    assert fitted.audit().out_of_fold
    assert fitted.choice_["members"] == 5
    assert len(fitted.networks_) == 5 * len(fitted.choice_["chosen"])
    assert {each["epoch"] for each in fitted.choice_["chosen"]} == {40}  # given by hand, and so not chosen
    given_by_hand = ELRClassifier(lam=2.0, dropout=0.1, members=3, epochs=3, random_state=0).fit(*data[:2])
    assert {each["lam"] for each in given_by_hand.choice_["settings"]} == {2.0}
    assert {each.get("dropout") for each in given_by_hand.choice_["settings"]} == {0.1, None}
    assert given_by_hand.choice_["members"] == 3


def test_one_member_is_a_single_network_that_sees_all_rows(data):
    model = ELRClassifier(members=1, lam=3.0, align=False, epochs=20, random_state=0).fit(*data[:2])
    assert len(model.networks_) == 1
    assert model.choice_ == {}
    assert not model.audit().out_of_fold
    few = ELRClassifier(epochs=2, random_state=0).fit(data[0][:40], data[1][:40])
    assert len(few.networks_) == 1


@pytest.mark.parametrize("members", [0, 301, 2.5])
def test_as_many_members_as_cannot_be_are_refused(data, members):
    with pytest.raises(ArgumentError, match=f"members is {members} for 300 rows"):
        ELRClassifier(members=members).fit(*data[:2])


def test_layers_given_by_hand_are_the_only_ones(data):
    model = ELRClassifier(hidden_layer_sizes=(), epochs=2, random_state=0).fit(*data[:2])
    assert {each["network"] for each in model.choice_["settings"]} == {"linear"}
    model = ELRClassifier(hidden_layer_sizes=(8,), epochs=2, random_state=0).fit(*data[:2])
    assert {each["network"] for each in model.choice_["settings"]} == {"mlp"}


def test_string_labels_and_pickle(data):
    features, given, _ = data
    names = np.array(["cat", "dog", "owl"])[given]
    model = ELRClassifier(epochs=5, random_state=0).fit(features, names)
    assert set(model.predict(features)) <= {"cat", "dog", "owl"}
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict_proba(features) == model.predict_proba(features)).all()


def test_the_same_random_state_gives_the_same_model(data):
    def probs():
        return ELRClassifier(epochs=3, random_state=7).fit(data[0], data[1]).predict_proba(data[0])

    assert (probs() == probs()).all()


def test_sparse_is_dense(data):
    features, given, _ = data
    positive = np.where(features > 0, features, 0.0)
    model = ELRClassifier(epochs=5, random_state=0).fit(sparse.csr_matrix(positive), given)
    np.testing.assert_allclose(
        model.predict_proba(sparse.csc_matrix(positive)), model.predict_proba(positive), atol=1e-6
    )
    assert (model.predict(positive) == given).mean() > 0.5


def test_mixed_data_frames(data):
    features, given, clean = data
    frame = pd.DataFrame(features, columns=list("abcd"))
    frame["kind"] = np.array(["x", "y", "z"], dtype=object)[clean]
    frame["flag"] = clean == 1
    frame.loc[3, "a"] = np.nan
    frame.loc[4, "kind"] = None
    model = ELRClassifier(epochs=20, random_state=0).fit(frame, given)
    assert (model.predict(frame) == clean).mean() > 0.95
    assert list(model.feature_names_in_) == list(frame.columns)
    unseen = frame.assign(kind="never seen")
    with pytest.warns(DataWarning, match="column 'kind' of X: none of its values was known in training"):
        assert model.predict_proba(unseen).shape == (300, 3)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.drop(columns="kind"))


def test_columns_that_look_like_no_features_are_learned_from_and_said(data):
    features, given, _ = data
    frame = pd.DataFrame({"x": features[:, 0], "Id": range(300), "words": np.array(["u", "v", "w"])[given]})
    with pytest.warns(DataWarning) as said:
        model = ELRClassifier(members=1, epochs=1, random_state=0).fit(frame, given)
    texts = [str(each.message) for each in said if each.category is DataWarning]
    assert [text.split(":")[0] for text in texts] == [
        "column 'Id' of X is learned from, but it numbers the rows",
        "column 'words' of X is learned from, but it says the label in other words, in every row",
    ]
    turned = frame.assign(words=frame["words"].str.upper() + " ")
    assert (model.predict_proba(turned) == model.predict_proba(frame)).all()


def test_frames_of_numbers_may_have_missing_values(data):
    features, given, clean = data
    frame = pd.DataFrame(features, columns=list("abcd"))
    frame.loc[::9, "b"] = np.nan
    model = ELRClassifier(epochs=20, random_state=0).fit(frame, given)
    assert (model.predict(frame) == clean).mean() > 0.9


def test_pipeline_grid_search_and_clone(data):
    features, given, _ = data
    pipeline = make_pipeline(MinMaxScaler(), ELRClassifier(epochs=2, random_state=0))
    search = GridSearchCV(pipeline, {"elrclassifier__lam": [0.0, 3.0]}, cv=2).fit(features, given)
    assert (search.cv_results_["mean_test_score"] > 0.4).all()
    assert clone(pipeline).get_params()["elrclassifier__lam"] is None
    assert search.best_estimator_.get_params()["elrclassifier__lam"] in (0.0, 3.0)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0.0, 1.0, np.nan, 1.0]),
        np.array(["a", "b", None, "a"], dtype=object),
    ],
)
def test_missing_labels_are_refused(labels):
    with pytest.raises(ValueError, match=r"NaN|missing in row 2|None"):
        ELRClassifier().fit(np.arange(8.0).reshape(4, 2), labels)


def test_missing_labels_beside_a_data_frame_are_refused():
    frame = pd.DataFrame({"text": ["a", "b", "a", "b"]})
    with pytest.raises(DataError, match="y is missing in row 1"):
        ELRClassifier().fit(frame, ["x", None, "y", "x"])
    with pytest.raises(DataError, match="X has 4 rows, y 3"):
        ELRClassifier().fit(frame, ["x", "y", "x"])


QUICK = {"members": 1, "epochs": 1, "hidden_layer_sizes": (), "random_state": 0}


@pytest.mark.parametrize("words", [np.array(["a", "b", "c"]), np.array(["a", "b", "c"], dtype=object)])
def test_scores_are_of_classes_in_whatever_spelling(data, words):
    X, given, _ = data
    model = ELRClassifier(**QUICK).fit(X, pd.Series(words[given]))
    expected = (model.predict(X) == words[given]).mean()
    blanks = [name + " " for name in words[given]]
    for labels in (words[given], blanks, pd.Series(blanks), pd.DataFrame({"y": blanks})):
        assert model.score(X, labels) == expected > 0.3
    numbers = ELRClassifier(**QUICK).fit(X, given)
    assert numbers.score(X, given.astype(str)) == numbers.score(X, given.astype(float)) == expected
    weights = np.where(model.predict(X) == words[given], 3.0, 1.0)
    assert model.score(X, blanks, sample_weight=weights) > expected
    with pytest.warns(DataWarning, match="no label of y is a class of this model: y has 1, classes_ has 'a'"):
        assert model.score(X[given == 1], given[given == 1]) == 0


class Stopped(BaseException):
    """As KeyboardInterrupt, which pytest takes for its own."""


@pytest.mark.parametrize("failure", ["settings", "labels", "by hand"])
def test_a_refit_that_fails_leaves_no_model(data, failure, monkeypatch):
    X, given, _ = data
    model = ELRClassifier(**QUICK).fit(X, np.array(["a", "b", "c"])[given])
    labels = np.zeros(len(X)) if failure == "labels" else np.array(["x", "y", "z"])[given]
    if failure == "settings":
        model.set_params(lam=-1.0)
    if failure == "by hand":

        def stop(self):
            raise Stopped

        monkeypatch.setattr(Training, "run", stop)
    with pytest.raises((ValueError, Stopped)):
        model.fit(X * 1000 + 5, labels)
    for use in (model.predict, model.predict_proba, lambda rows: model.audit()):
        with pytest.raises(NotFittedError):
            use(X)
    assert not [name for name in vars(model) if name.endswith("_")]
    monkeypatch.undo()
    assert model.set_params(lam=3.0).fit(X, given).classes_.tolist() == [0, 1, 2]


def test_one_column_of_labels_is_read_as_labels_are(data):
    X, given, _ = data
    blanks = np.where(np.arange(300) % 3, np.array(["a", "b", "b"])[given], np.array(["a ", "b ", "b"])[given])
    for labels in (pd.DataFrame({"y": blanks}), blanks[:, None]):
        with pytest.warns(DataConversionWarning, match="column-vector y"), pytest.warns(DataWarning, match="as one"):
            assert ELRClassifier(**QUICK).fit(X, labels).classes_.tolist() == ["a", "b"]
    missing = pd.DataFrame({"y": np.where(np.arange(300) == 7, "NA", blanks)})
    with pytest.raises(DataError, match="y is missing in row 7"), pytest.warns(DataConversionWarning):
        ELRClassifier(**QUICK).fit(X, missing)


def test_labels_are_checked_as_those_of_files(data):
    X, given, _ = data
    with pytest.raises(DataError, match=r"y has -1 in 20 of 300 rows .* leave these rows out, or give it another name"):
        ELRClassifier(**QUICK).fit(X, np.where(np.arange(300) < 20, -1, given))
    with pytest.warns(DataWarning, match="y has 'unknown' in 20 of 300 rows"):
        ELRClassifier(**QUICK).fit(X, np.where(np.arange(300) < 20, "unknown", given.astype(str)))
    with pytest.warns(DataWarning, match="classes 'Dog', 'dog' look like one"):
        ELRClassifier(**QUICK).fit(X, np.array(["Dog", "dog", "cat"])[given])
    with pytest.warns(DataWarning, match=r"1 of 4 classes with one example only \('7'\)"):
        ELRClassifier(**QUICK).fit(X, np.where(np.arange(300) == 4, 7, given))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ELRClassifier(**QUICK).fit(X, np.where(given > 0, 1, -1)).classes_.tolist() == [-1, 1]


def test_sample_weight_is_no_argument(data):
    with pytest.raises(TypeError, match="sample_weight"):
        ELRClassifier().fit(data[0], data[1], sample_weight=np.ones(300))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lam", -1.0),
        ("beta", 1.0),
        ("epochs", 0),
        ("learning_rate", -1.0),
        ("targets", "cloud"),
        ("targets_dtype", "int8"),
    ],
)
def test_settings_out_of_range_are_named(data, name, value):
    with pytest.raises(ArgumentError, match=f"{name} is {value!r}"):
        ELRClassifier(**{name: value}).fit(data[0], data[1])


def test_labels_are_read_as_those_of_files(data):
    features = data[0][:60]
    mixed = [1, "1", True, 1.0, 0, "0"] * 10
    with pytest.warns(DataWarning, match="y has 1 class in several spellings"):
        model = ELRClassifier(epochs=1, random_state=0).fit(features, mixed)
    assert model.classes_.tolist() == [0, 1]
    model = ELRClassifier(epochs=1, random_state=0).fit(features, [1, "many", 1, "many", 1, "many"] * 10)
    assert model.classes_.tolist() == ["1", "many"]
    for missing in (["a", "nan"], ["a", None], np.ma.array([0, 1], mask=[False, True])):
        labels = np.ma.concatenate([missing] * 30) if isinstance(missing, np.ma.MaskedArray) else missing * 30
        with pytest.raises(DataError, match="y is missing in row 1, one of 30 such rows"):
            ELRClassifier(epochs=1).fit(features, labels)


def test_rows_and_labels_belong_together(data):
    frame, labels = pd.DataFrame(data[0][:60]).rename(columns=str), pd.Series(data[1][:60])
    with pytest.raises(DataError, match="X and y have the same index in another order"):
        ELRClassifier(epochs=1).fit(frame, labels[::-1])
    with pytest.warns(DataWarning, match="X and y have different indexes"):
        ELRClassifier(epochs=1).fit(frame.set_index(frame.index + 7), labels)
    masked = np.ma.array(data[0][:60], mask=data[0][:60] > 100)
    masked[3, 0] = np.ma.masked
    with pytest.raises(DataError, match="X have 1 masked values, first in row 3"):
        ELRClassifier(epochs=1).fit(masked, labels)


def test_counters_and_copies_of_y_in_frames_of_numbers_are_said():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = pd.DataFrame({"Id": np.arange(60), "x": rng.normal(size=60) + y, "copy": 1.0 - y})
    model = ELRClassifier(members=1, epochs=1, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    said = [str(each.message) for each in caught if issubclass(each.category, DataWarning)]
    assert [text.split(":")[0] for text in said] == [
        "column 'Id' of X is learned from, but it numbers the rows",
        "column 'copy' of X is learned from, but it says the label in other words, in every row",
    ]
    assert all(each.filename == __file__ for each in caught if issubclass(each.category, DataWarning))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        model.fit(X[["x"]], y)


def mixed_frame(count=60):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=count), "word": np.array(["u", "v", "v"])[np.arange(count) % 3]})
    return frame, (np.arange(count) % 2).astype(bool)


def test_frames_of_polars_and_of_no_rows():
    polars = pytest.importorskip("polars")
    frame, labels = mixed_frame()
    model = ELRClassifier(epochs=1, random_state=0).fit(polars.from_pandas(frame), labels)
    assert model.predict(polars.from_pandas(frame)).tolist() == model.predict(frame).tolist()
    assert model.predict_proba(frame.head(0)).shape == (0, 2)
    assert model.predict(frame.head(0)).shape == (0,)
    with pytest.raises(DataError, match="X is a ndarray, and this model was fitted to a data frame"):
        model.predict(frame.to_numpy())
    with pytest.raises(DataError, match="several columns named 'a'"):
        ELRClassifier(epochs=1).fit(frame.rename(columns={"word": "a"}), labels)


def test_labels_of_all_types_of_pandas_and_numpy():
    frame, labels = mixed_frame()
    for dtype, classes in (("boolean", [False, True]), ("Int64", [0, 1])):
        model = ELRClassifier(epochs=1).fit(frame, pd.Series(labels).astype("boolean").astype(dtype))
        assert model.classes_.tolist() == classes
        assert model.classes_.dtype.kind in "bi"
    missing = pd.Series(labels).astype("Int64")
    missing[7] = pd.NA
    with pytest.raises(DataError, match="y is missing in row 7"):
        ELRClassifier(epochs=1).fit(frame, missing)
    words = np.where(labels, b"yes", b"no")
    assert ELRClassifier(epochs=1).fit(frame, words).classes_.tolist() == ["no", "yes"]
    several = [1 if each else "dog" for each in labels]
    model = ELRClassifier(epochs=1).fit(frame, several)
    assert model.score(frame, several) == model.score(frame, ["1.0" if each else "dog" for each in labels])


def test_other_methods_by_name_with_their_settings():
    X, y = make_blobs(120, centers=3, random_state=0)
    plain = ELRClassifier(method="cross_entropy", epochs=5, random_state=0).fit(X, y)
    assert (len(plain.networks_), plain.choice_) == (1, {})
    pair = ELRClassifier(method="elr_plus", settings={"mixup": 0.0}, lam=5.0, epochs=5, random_state=0).fit(X, y)
    assert len(pair.networks_) == 2
    assert pair.score(X, y) > 0.9
    assert clone(pair).get_params()["settings"] == {"mixup": 0.0}
    single = ELRClassifier(settings={"gamma": 0.9}, epochs=5, random_state=0).fit(X, y)
    assert len(single.networks_) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "elr-plus"}, "did you mean elr_plus"),
        ({"method": "cross_entropy", "lam": 3.0}, "'cross_entropy' has no setting 'lam'"),
        ({"method": "cross_entropy", "members": 3}, "only 'elr' without further settings has members"),
        ({"settings": {"gama": 0.9}}, "did you mean gamma"),
        ({"settings": {"lam": 3.0}, "lam": 7.0}, "lam is given twice"),
        ({"method": 3}, "method is 3: expected text"),
        ({"settings": "lam=3"}, "settings is 'lam=3': expected"),
    ],
)
def test_methods_and_settings_that_there_are_not(settings, message):
    X, y = make_blobs(120, centers=3, random_state=0)
    with pytest.raises(ValueError, match=message):
        ELRClassifier(**settings, epochs=2).fit(X, y)


def test_the_table_of_suspects_has_names(data):
    names = np.array(["ant", "bee", "cow"])
    audit = ELRClassifier(epochs=3, random_state=0).fit(data[0], names[data[1]]).audit()
    assert audit.class_names == ("ant", "bee", "cow")
    table = audit.to_frame().sort_values("row")
    assert table["given_label"].tolist() == names[data[1]].tolist()


def test_frames_in_another_order_of_bytes(data):
    X, given, _ = data
    frame = pd.DataFrame(X, columns=list("abcd"))
    for extra in ({}, {"t": np.resize(["u", "v"], len(X))}):
        right, foreign = frame.assign(**extra), frame.astype(">f8").assign(**extra)
        model = ELRClassifier(epochs=2, random_state=0).fit(right, given)
        other = ELRClassifier(epochs=2, random_state=0).fit(foreign, np.asarray(given).astype(">i4"))
        np.testing.assert_array_equal(model.predict_proba(right), other.predict_proba(foreign))


def test_columns_without_names_of_text_beside_text(data):
    X, given, _ = data
    frame = pd.DataFrame(X).assign(t=np.resize(["u", "v"], len(X))).set_axis(range(X.shape[1] + 1), axis=1)
    model = ELRClassifier(epochs=2, random_state=0).fit(frame, given)
    assert len(model.predict(frame)) == len(X)


def test_numbers_too_great_to_standardize_are_ranked_or_refused(data):
    X, given, _ = data
    great = np.asarray(X) * 1e200
    with pytest.warns(
        DataWarning, match="features 0, 1, 2, 3: a few of their numbers lie far out: learned from by rank"
    ):
        model = ELRClassifier(random_state=0).fit(great, given)
    assert model.score(great, given) > 0.6
    with pytest.raises(DataError, match="too great to be standardized"), np.errstate(all="ignore"):
        ELRClassifier(epochs=2).fit(np.sign(great) * 1e200, given)


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The stores of each training, as text, and how many files they have when it ends; the folder is its own."""
    found = []

    class Seen(Training):
        def run(self, **settings):
            super().run(**settings)
            found.append((list(map(repr, self.method.stores)), len(list(tmp_path.iterdir()))))

    monkeypatch.setattr("elr.estimator.Training", Seen)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return found


@pytest.mark.parametrize("members", [1, 3])
def test_targets_may_be_elsewhere(data, members, kept, tmp_path):
    X, y, _ = data
    settings = {"members": members, "epochs": 2, "random_state": 0, "lam": 3.0, "dropout": 0.0}
    expected = ELRClassifier(**settings).fit(X, y)
    mapped = ELRClassifier(**settings, targets="mapped", targets_dtype="float32").fit(X, y)
    assert np.array_equal(mapped.pred_probs_, expected.pred_probs_)
    halved = ELRClassifier(**settings, targets_dtype="bfloat16").fit(X, y)
    assert not np.array_equal(halved.pred_probs_, expected.pred_probs_)
    assert np.allclose(halved.pred_probs_, expected.pred_probs_, atol=0.05)
    ELRClassifier(**settings, targets="sparse").fit(X, y)
    kinds = [{store.partition("(")[0] for store in stores} for stores, _ in kept]
    assert kinds == [{"DenseTargets"}, {"MappedTargets"}, {"DenseTargets"}, {"SparseTargets"}]
    assert [files > 0 for _, files in kept] == [False, True, False, False]
    assert ["float32" in "".join(stores) for stores, _ in kept] == [True, True, False, False]
    assert not list(tmp_path.iterdir())


def test_files_of_networks_that_refer_to_each_other_go_as_well(data, kept, tmp_path):
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            ELRClassifier(method="elr_plus", settings={"mixup": 0.0}, epochs=1, targets="mapped").fit(*data[:2])
            assert not list(tmp_path.iterdir())
    finally:
        gc.enable()
    assert [files for _, files in kept] == [2, 2]


def test_stores_that_there_cannot_be(data):
    X, y, _ = data
    single = ELRClassifier(members=1, epochs=1, targets="stateless").fit(X, y)
    assert single.pred_probs_.shape == (len(X), len(single.classes_))
    with pytest.raises(ValueError, match="take another store"):
        ELRClassifier(members=3, epochs=1, targets="stateless").fit(X, y)
    with pytest.raises(
        ArgumentError, match="targets is 'auto', which goes by the memory that is free: expected one of dense"
    ):
        ELRClassifier(targets="auto").fit(X, y)
    with pytest.raises(ArgumentError, match="targets is 'foo': expected one of dense"):
        ELRClassifier(targets="foo").fit(X, y)
    for settings in ({"targets": "mapped"}, {"targets_dtype": "bfloat16"}):
        with pytest.raises(ArgumentError, match="method 'cross_entropy' keeps no targets: leave targets"):
            ELRClassifier(method="cross_entropy", epochs=1, **settings).fit(X, y)


def test_the_audit_has_the_index_of_the_rows(data):
    X, given = data[0], data[1]
    order = np.random.default_rng(0).permutation(len(X))
    frame, series = pd.DataFrame(X).iloc[order], pd.Series(given).iloc[order]
    model = ELRClassifier(members=1, epochs=1, random_state=0)
    for inputs, labels in ((frame, series), (frame, series.to_numpy()), (frame.to_numpy(), series)):
        table = pickle.loads(pickle.dumps(model.fit(inputs, labels))).audit().to_frame()
        assert (series[table.index] == table["given_label"]).all()
        assert (order[table["row"]] == table.index).all()
    assert model.fit(frame.to_numpy(), series.to_numpy()).audit().index is None


def test_score_refuses_labels_that_are_missing(data):
    X, given, _ = data
    model = ELRClassifier(epochs=2, random_state=0).fit(X, given)
    gaps = np.asarray(given, dtype=np.float64)
    gaps[3] = np.nan
    with pytest.raises(DataError, match="y is missing in row 3"):
        model.score(X, gaps)
