import numpy as np
import pandas as pd
import pytest

import elr
from elr.data.formats.arrays import Npz, as_trained, from_arrays
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import DataError


def points(count=200, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=count)
    return generator.normal(size=(count, 6)).astype(np.float32) + 3 * np.eye(3, 6)[labels], labels


@pytest.fixture
def files(tmp_path):
    features, labels = points()
    np.save(tmp_path / "x.npy", features)
    np.save(tmp_path / "y.npy", labels)
    return tmp_path


def test_npy_with_labels_beside_it(files):
    options = ReadOptions(label=str(files / "y.npy"))
    outcome = elr.fit(str(files / "x.npy"), options=options, out=files / "run", config=elr.FitConfig(epochs=10))
    assert outcome.results["num_examples"] == 200
    assert outcome.results["num_classes"] == 3
    predictions = elr.predict(files / "run", str(files / "x.npy"))
    assert (predictions["predicted_label"] == np.load(files / "y.npy")).mean() > 0.9


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "holds no labels: name a second file of N labels, --label labels.npy"),
        ("nothing.npy", "--label is 'nothing.npy': for features in an .npy file expected the path of a second one"),
        ("column", "--label is 'column'"),
    ],
)
def test_npy_without_labels_is_refused(files, label, message):
    with pytest.raises(DataError, match=message):
        read_data(str(files / "x.npy"), ReadOptions(label=label))


def test_npy_of_another_length_or_pickled_is_refused(files):
    np.save(files / "short.npy", np.zeros(5, dtype=int))
    with pytest.raises(DataError, match=r"shape \(5,\) for 200 rows"):
        read_data(str(files / "x.npy"), ReadOptions(label=str(files / "short.npy")))
    np.save(files / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="it is pickled, which could execute code"):
        read_data(str(files / "objects.npy"), ReadOptions(label=str(files / "y.npy")))
    (files / "broken.npy").write_bytes(b"\x93NUMPY broken")
    with pytest.raises(DataError, match=r"cannot be read as \.npy"):
        read_data(str(files / "broken.npy"), ReadOptions(label=str(files / "y.npy")))


def test_a_column_of_lists_in_parquet(tmp_path):
    features, labels = points()
    frame = pd.DataFrame({"vector": list(features), "y": labels, "name": [f"row {i}" for i in range(200)]})
    frame.to_parquet(tmp_path / "e.parquet")
    options = ReadOptions(label="y", id="name", embedding="vector")
    raw = read_data(str(tmp_path / "e.parquet"), options)
    assert raw.kind == "features"
    np.testing.assert_allclose(raw.features, features)
    assert raw.ids[3] == "row 3"
    elr.fit(str(tmp_path / "e.parquet"), options=options, out=tmp_path / "run", config=elr.FitConfig(epochs=10))
    predictions = elr.predict(tmp_path / "run", frame[["vector"]])
    assert (predictions["predicted_label"] == labels).mean() > 0.9
    with pytest.raises(DataError, match="has no embedding column 'vector': it has 'y'"):
        elr.predict(tmp_path / "run", frame[["y"]])


def test_without_naming_it_the_message_says_how(tmp_path):
    features, labels = points(20)
    with pytest.raises(DataError, match=r"--embedding COLUMN"):
        elr.fit(pd.DataFrame({"vector": list(features), "y": labels}), label="y", out=tmp_path / "run")


@pytest.mark.parametrize("role", ["text", "embedding"])
def test_columns_of_what_is_no_table_are_refused(files, role):
    options = ReadOptions(label="y", **{role: "q"})
    (files / "photos" / "a").mkdir(parents=True)
    np.savez(files / "all.npz", x=points()[0], y=points()[1])
    for data in (str(files / "x.npy"), str(files / "all.npz"), str(files / "photos"), points()):
        with pytest.raises(DataError, match=f"is no table and has no {role} column 'q': leave out --{role}"):
            read_data(data, options)


@pytest.mark.parametrize(
    ("images", "way"),
    [
        (
            np.full((2, 1, 4, 4), 4000, np.uint16),
            r"array >> 4\).astype\('uint8'\) brings 12 bits \(values up to 4000\)",
        ),
        (np.full((2, 1, 4, 4), 200, np.uint16), r"array.astype\('uint8'\) takes values up to 200"),
        (np.full((2, 1, 4, 4), 0.5), r"\(255 \* array\)"),
    ],
)
def test_images_of_other_depths_are_told_how_to_become_bytes(images, way):
    with pytest.raises(DataError, match=way):
        from_arrays(images, name="it", training=True)


def test_an_archive_that_unpacks_to_more_than_there_is_memory_for(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((40, 100)), label=np.arange(40) % 2)
    monkeypatch.setattr("elr.data.formats.arrays.free_memory", lambda: 10_000)
    with pytest.raises(DataError, match=r"a\.npz cannot be read as \.npz: it unpacks to 0 MB, and 0 MB of memory"):
        Npz().read(tmp_path / "a.npz", ReadOptions(label="label"), training=True)


@pytest.mark.parametrize("kind", [">i4", ">f8", ">U1"])
def test_labels_in_another_order_of_bytes(tmp_path, kind):
    np.savez(tmp_path / "t.npz", X=np.eye(4).astype(">f4"), y=np.array([1, 0, 1, 0]).astype(kind))
    found = read_data(tmp_path / "t.npz", ReadOptions(label="y"))
    assert list(map(str, found.labels)) == ["1", "0", "1", "0"]
    assert found.features.tolist() == np.eye(4).tolist()


def test_names_of_rows_that_stand_twice_are_refused(tmp_path):
    names = np.array(["a", "b", "a", "c"])
    np.savez(tmp_path / "t.npz", X=np.eye(4), y=[1, 0, 1, 0], key=names)
    with pytest.raises(DataError, match=r"array 'key' .* 1 names that stand in several rows"):
        read_data(tmp_path / "t.npz", ReadOptions(label="y", id="key"))
    assert read_data(tmp_path / "t.npz", ReadOptions(id="key"), training=False).ids == names.tolist()
    for name, values in (("x", np.eye(4)), ("y", [1, 0, 1, 0]), ("key", names)):
        np.save(tmp_path / f"{name}.npy", values)
    options = ReadOptions(label=str(tmp_path / "y.npy"), id=str(tmp_path / "key.npy"))
    with pytest.raises(DataError, match="1 names that stand in several rows"):
        read_data(tmp_path / "x.npy", options)


def test_counted_columns_of_new_data_are_put_in_order():
    frame = pd.DataFrame({2: [3.0], 0: [1.0], 1: [2.0]})
    assert as_trained((frame, None), "features")[0].tolist() == [[1.0, 2.0, 3.0]]
    assert as_trained((frame.set_axis(["c", "a", "b"], axis=1), None), "features")[0].tolist() == [[3.0, 1.0, 2.0]]


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_lack_of_memory_is_no_fault_of_the_file(tmp_path, monkeypatch, name):
    np.savez(tmp_path / "x.npz", x=np.ones((4, 2)), labels=np.arange(4) % 2)
    np.save(tmp_path / "x.npy", np.ones((4, 2)))
    np.save(tmp_path / "labels.npy", np.arange(4) % 2)

    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", refuse)
    label = "labels" if name == "x.npz" else str(tmp_path / "labels.npy")
    with pytest.raises(DataError, match=f"{name} does not fit into memory"):
        read_data(tmp_path / name, ReadOptions(label=label), training=True)
