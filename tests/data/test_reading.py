"""Data of every kind as people have them: frames, tables, folders, Parquet files of images, arrays, .npz."""

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from scipy import sparse

from elr.data.reading import ReadOptions, read_data
from elr.data.records import FEATURES, IMAGES, TABLE
from elr.errors import ArgumentError, DataError

N = 12
FEATURES_2D = np.arange(2.0 * N).reshape(N, 2)
LABELS = np.arange(N) % 2
PIXELS = np.random.default_rng(0).integers(0, 256, (N, 3, 6, 5)).astype(np.uint8)
RECORD = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def read(data, training=True, **options):
    return read_data(data, ReadOptions(**options), training=training)


def refused(data, message, kind=DataError, training=True, **options):
    with pytest.raises(kind, match=message):
        read(data, training, **options)


def csv(tmp_path, text, name="t.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def png(shade=100, side=16):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def folder(root, *names):
    for shade, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(shade))
    return root


# What data can be


@pytest.mark.parametrize("data", [None, "", [[1, 2]], np.eye(2), (1, 2, 3), {"x": [1]}, 7])
def test_things_that_are_no_data(data):
    refused(data, r"data is an? .*: expected a path, a data frame, or a pair \(inputs, labels or None\)", ArgumentError)


def test_paths_that_lead_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused("absent.csv", rf"no such file: absent\.csv \(looked for from {tmp_path}\)", label="y")
    refused("nul\0.csv", "no such file", label="y")
    (tmp_path / "flowers.csv").write_text("x,y\n")
    refused("flower.csv", r"no such file: .*\(did you mean 'flowers\.csv'\?\)$", label="y")
    (tmp_path / "flowers.csv").unlink()
    refused("x" * 5000 + ".csv", "cannot be read: File name too long", label="y")
    (tmp_path / "t.xlsx").touch()
    refused(tmp_path / "t.xlsx", r"ends in '\.xlsx': expected a table .*, arrays .*, or a folder", label="y")
    refused(tmp_path, "no images in")


# Tables


def test_a_table(tmp_path):
    path = csv(tmp_path, "key,x,when,y,truth,junk\n007,1.5,2024-01-01,a,a,1\n008,,2024-01-02,b,a,2\n,3,,b,b,3\n")
    raw = read(path, label="y", clean_label="truth", id="key", ignore=("junk",))
    assert raw.kind == TABLE
    assert list(raw.table.columns) == ["x", "when"]
    assert raw.labels == ["a", "b", "b"]
    assert raw.clean_labels == ["a", "a", "b"]
    assert raw.ids == ["007", "008", ""]
    assert raw.rows.tolist() == [0, 1, 2]
    assert len(raw) == 3


def test_the_path_may_be_text_and_the_suffix_uppercase(tmp_path):
    path = csv(tmp_path, "x\ty\n1\ta\n2\tb\n", "T.TSV")
    assert read(str(path), label="y").labels == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["None", "NA"], ["None", "NA"]),
        (["01", "1"], ["01", "1"]),
        (["1.0", "2"], [1, 2]),
        (["True", "False"], ["True", "False"]),
        (["nan", "null"], ["nan", "null"]),
    ],
)
def test_labels_in_files_mean_what_they_say(tmp_path, names, found):
    path = csv(tmp_path, "x,y,z\n" + "".join(f"{row},{names[row % 2]},{names[row % 2]}\n" for row in range(4)))
    raw = read(path, label="y", clean_label="z", classes=("None", "NA", "nan", "null"))
    assert raw.labels == found * 2
    assert raw.clean_labels == found * 2


def test_columns_called_like_ours(tmp_path):
    names = ["row", "id", "given_label", "predicted_label", "label_quality", "index"]
    path = csv(tmp_path, ",".join([*names, "label"]) + "\n1,2,3,4,5,6,a\n2,3,4,5,6,7,b\n")
    raw = read(path, label="label")
    assert list(raw.table.columns) == names
    assert raw.ids is None
    assert raw.rows.tolist() == [0, 1]
    assert read(path, label="label", id="id").ids == ["2", "3"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("x,y\n1,a\n", {}, r"t\.csv needs a label column: name it with --label .*; it has 'x', 'y'"),
        ("x,y\n1,a\n", {"label": "z"}, r"t\.csv has no label column 'z': it has 'x', 'y'"),
        ("x, y\n1,a\n", {"label": "y"}, r"has no label column 'y': it has 'x', ' y'"),
        ("x,y\n1,a\n", {"label": "y", "clean_label": "z"}, "has no clean-label column 'z'"),
        ("x,y\n1,a\n", {"label": "y", "id": "z"}, "has no id column 'z'"),
        ("x,y\n1,a\n", {"label": "y", "ignore": ("x", "z")}, "has no column to ignore 'z'"),
        ("x,y\n", {"label": "y"}, "has no rows: expected at least two of each class"),
        ("x,y\n", {"label": "z"}, "has no label column 'z'"),
        ("", {"label": "y"}, "is empty: expected a line of column names"),
        (
            "x,y\n1,a\n2,\n3, \n",
            {"label": "y"},
            r"label column 'y' of .*t\.csv is missing in 2 of 3 rows, first in line 3 \(row 1\)",
        ),
        (
            "x,y,z\n1,a,a\n2,b,\n",
            {"label": "y", "clean_label": "z"},
            "clean-label column 'z' of .* is missing in 1 of 2",
        ),
        ("y,x,y\na,1,b\n", {"label": "y"}, "has 2 columns named 'y'"),
    ],
)
def test_tables_that_cannot_be_trained_on(tmp_path, text, options, message):
    refused(csv(tmp_path, text), message, **options)


def test_many_columns_are_not_all_listed(tmp_path):
    path = csv(tmp_path, ",".join(f"c{column}" for column in range(30)) + "\n" + "1," * 29 + "1\n")
    refused(path, r"'c19', and 10 more$", label="y")


def test_new_tables_need_none_of_the_special_columns(tmp_path):
    options = {"label": "y", "clean_label": "truth", "id": "key", "ignore": ("junk",)}
    raw = read(csv(tmp_path, "x\n1\n2\n"), training=False, **options)
    assert (raw.labels, raw.clean_labels, raw.ids) == (None, None, None)
    raw = read(csv(tmp_path, "x,y\n1,\n2,\n"), training=False, **options)
    assert raw.labels is None
    raw = read(csv(tmp_path, "x,y\n1,a\n2,\n3,?\n"), training=False, **options)
    assert raw.labels == ["a", None, None]


def test_a_frame():
    frame = pd.DataFrame({"x": [1, 2], 0: ["u", "v"], "y": [True, False], "k": [5, None]}, index=[9, 9])
    raw = read(frame, label="y", id="k", ignore=("0",))
    assert raw.labels == ["True", "False"]
    assert raw.ids == ["5.0", ""]
    assert list(raw.table.columns) == ["x"]
    assert raw.rows.tolist() == [0, 1]
    assert list(frame.columns) == ["x", 0, "y", "k"]


def test_frames_whose_names_clash():
    refused(pd.DataFrame([[1, 2, 3]], columns=[0, "0", "y"]), "the data frame has 2 columns named '0'", label="y")
    refused(pd.DataFrame([[1, 2, 3]], columns=["x", "y", "y"]), "2 columns named 'y'", label="y")
    levels = pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("y", "")])
    raw = read(pd.DataFrame([[1, 2, 3], [4, 5, 6]], columns=levels), label="('y', '')")
    assert list(raw.table.columns) == ["('a', 1)", "('a', 2)"]
    refused(pd.DataFrame(), "has no label column 'y': it has none", label="y")


def test_a_parquet_table_keeps_its_types(tmp_path):
    frame = pd.DataFrame(
        {"x": [1, 2], "when": pd.to_datetime(["2024-01-01", None]), "key": [b"\0", b"\1"], "y": [0, 1]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    raw = read(tmp_path / "t.parquet", label="y")
    assert raw.kind == TABLE
    assert pd.api.types.is_datetime64_any_dtype(raw.table["when"])
    assert raw.labels == [0, 1]


# Folders


def test_a_folder(tmp_path):
    raw = read(folder(tmp_path, "dog/1.png", "cat/2.PNG", "cat/deep/3.png"))
    assert raw.kind == IMAGES
    assert raw.labels == ["cat", "cat", "dog"]
    assert raw.ids == ["cat/2.PNG", "cat/deep/3.png", "dog/1.png"]
    assert raw.images.shape == (3, 3, 16, 16)
    assert raw.images[:, 0, 0, 0].tolist() == [1, 2, 0]
    assert raw.rows.tolist() == [0, 1, 2]


def test_names_of_classes_are_text_even_if_they_are_digits(tmp_path):
    assert read(folder(tmp_path, "01/a.png", "1/a.png", "None/a.png")).labels == ["01", "1", "None"]


def test_what_a_folder_has_beside_images_is_said(tmp_path):
    folder(tmp_path, "dog/1.png", "cat/2.png", ".git/3.png")
    for empty in ("bird", ".hidden"):
        (tmp_path / empty).mkdir()
    (tmp_path / "README.txt").touch()
    raw = read(tmp_path)
    assert raw.labels == ["cat", "dog"]
    assert [remark.split(" whose")[0] for remark in raw.remarks] == [
        "1 files left out",
        "folder 'bird' left out: it has no images of its own",
    ]


def test_folders_that_cannot_be_trained_on(tmp_path):
    root = folder(tmp_path / "a", "cat/1.png", "2.png", "3.png")
    refused(root, r"2 images outside of any class folder, such as 2\.png: expected .*/CLASS/IMAGE")
    root = folder(tmp_path / "b", "Train/cat/1.png", "val/cat/1.png")
    refused(root, r"holds splits \(Train, val\), not classes: give one of them as data, such as .*/Train")
    root = folder(tmp_path / "c", "cat/1.png", "dog/1.png")
    for options in ({"label": "y"}, {"clean_label": "y"}, {"id": "y"}, {"ignore": ("y",)}):
        refused(root, r"is a folder of images and has no columns such as 'y': .*leave out --label", **options)


def test_new_folders_may_be_loose_or_mixed(tmp_path):
    root = folder(tmp_path / "a", "2.png", "1.png")
    raw = read(root, training=False)
    assert raw.labels is None
    assert raw.ids == ["1.png", "2.png"]
    assert read(folder(tmp_path / "b", "unsorted/1.png", "2.png"), training=False).labels is None
    assert read(folder(tmp_path / "c", "test/1.png"), training=False).labels == ["test"]


def test_unreadable_images_keep_the_rows_of_the_others(tmp_path):
    root = folder(tmp_path, "cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png")
    (root / "cat/2.png").write_bytes(b"")
    refused(root, r"image .*cat/2\.png cannot be read \(it is empty or no image\): mend or remove it, or pass --skip")
    raw = read(root, skip_unreadable=True)
    assert raw.rows.tolist() == [0, 2, 3]
    assert raw.ids == ["cat/1.png", "dog/3.png", "dog/4.png"]
    assert raw.labels == ["cat", "dog", "dog"]
    assert raw.remarks == [f"unreadable image left out: {root}/cat/2.png"]


def test_many_unreadable_images_are_counted(tmp_path):
    root = folder(tmp_path, "cat/0.png")
    for number in range(1, 31):
        (root / f"cat/{number}.png").touch()
    raw = read(root, skip_unreadable=True)
    assert len(raw.remarks) == 21
    assert raw.remarks[-1] == "10 more unreadable images left out"


def test_class_folders_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / name).mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / name / "1.png").write_bytes(png())
    folder(tmp_path, "tea/1.png")
    raw = read(tmp_path)
    assert raw.labels == ["caf\\xe9", "tea"]
    json.dumps(raw.labels + raw.ids, ensure_ascii=False).encode()


# Parquet files of images


def hub(path, labels, features=None, images=None, **columns):
    images = images or [{"bytes": png(shade), "path": None} for shade in range(len(labels))]
    table = pa.table({"img": pa.array(images, RECORD), "label": labels, **columns})
    if features is not None:
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    pq.write_table(table, path)
    return path


NAMES = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def test_the_layout_of_the_hub(tmp_path):
    path = hub(tmp_path / "t.parquet", [1, 0, 1], NAMES)
    raw = read(path, label="label")
    assert raw.kind == IMAGES
    assert raw.labels == ["dog", "cat", "dog"]
    assert raw.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert raw.ids == ["row 0", "row 1", "row 2"]
    assert read(hub(path, [1, 0, 1]), label="label").labels == [1, 0, 1]
    assert read(hub(path, ["b", "a", "b"], NAMES), label="label").labels == ["b", "a", "b"]


def test_clean_labels_take_their_own_names_or_those_of_the_labels(tmp_path):
    options = {"label": "label", "clean_label": "truth"}
    path = hub(tmp_path / "t.parquet", [1, 0], NAMES, truth=[0, 1])
    assert read(path, **options).clean_labels == ["cat", "dog"]
    own = {"truth": {"names": ["dog", "cat"]}}
    assert read(hub(path, [1, 0], NAMES | own, truth=[0, 1]), **options).clean_labels == ["dog", "cat"]


def test_rows_and_files_beside_the_parquet(tmp_path):
    (tmp_path / "beside.png").write_bytes(png(50))
    images = [
        {"bytes": png(), "path": "a.png"},
        None,
        {"bytes": None, "path": "beside.png"},
        {"bytes": b"", "path": "x.png"},
    ]
    path = hub(tmp_path / "t.parquet", [1, 0, 0, 1], NAMES, images=images, key=["p", "q", "r", "s"])
    refused(path, r"image row 1 cannot be read \(it has neither bytes nor a path of a file\)", label="label")
    raw = read(path, label="label", skip_unreadable=True)
    assert raw.rows.tolist() == [0, 2]
    assert raw.labels == ["dog", "cat"]
    assert raw.ids == ["a.png", "beside.png"]
    assert raw.remarks == ["unreadable image left out: row 1", "unreadable image left out: x.png"]
    assert read(path, label="label", id="key", skip_unreadable=True).ids == ["p", "r"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, -1, -1], r"label column 'label' of .* is -1 in row 1 \(one of 2 such rows\): expected 0 to 1, .*no label"),
        ([0, 1, 2], "is 2 in row 2"),
        ([0, None, 1], "is missing in 1 of 3 rows, first in row 1"),
    ],
)
def test_labels_that_the_file_does_not_name(tmp_path, labels, message):
    refused(hub(tmp_path / "t.parquet", labels, NAMES), message, label="label")


def test_new_parquet_files_need_no_labels(tmp_path):
    assert read(hub(tmp_path / "t.parquet", [-1, -1], NAMES), training=False, label="label").labels is None
    assert read(hub(tmp_path / "t.parquet", [0, 1], NAMES), training=False, label="y").labels is None


def test_parquet_files_that_cannot_be_trained_on(tmp_path):
    path = hub(tmp_path / "t.parquet", [0, 1], NAMES, mask=pa.array([{"bytes": png(), "path": None}] * 2, RECORD))
    refused(path, r"has 2 columns of images \('img', 'mask'\): --ignore all but one", label="label")
    assert read(path, label="label", ignore=("mask",)).images[1, 0, 0, 0] == 1
    refused(path, "needs a label column: .*it has 'img', 'label', 'mask'", ignore=("mask",))
    refused(path, "has no label column 'y'", label="y", ignore=("mask",))
    refused(hub(path, pa.array([], pa.int64()), images=[]), r"\.parquet has no rows: expected an image", label="label")
    path.write_bytes(b"no parquet")
    refused(path, "cannot be read as Parquet", label="label")


def test_cifar10_as_it_lies(tmp_path):
    path = Path("/work/shared/data/cifar10/test.parquet")
    if not path.exists():
        pytest.skip(f"{path} is not here")
    table = pq.read_table(path).slice(0, 40)
    pq.write_table(table, tmp_path / "t.parquet")
    raw = read(tmp_path / "t.parquet", label="label")
    assert raw.images.shape == (40, 3, 32, 32)
    with Image.open(io.BytesIO(table["img"][7].as_py()["bytes"])) as image:
        assert np.array_equal(raw.images[7].numpy().transpose(1, 2, 0), np.asarray(image))
    numbers = table["label"].to_pylist()
    assert len(set(zip(raw.labels, numbers, strict=True))) == len(set(numbers)) == len(set(raw.labels))


# Arrays


def test_arrays():
    raw = read((FEATURES_2D, LABELS))
    assert raw.kind == FEATURES
    assert raw.features.dtype == np.float32
    assert raw.labels == LABELS.tolist()
    assert raw.rows.tolist() == list(range(N))
    assert read((FEATURES_2D, None)).labels is None
    for inputs in (
        FEATURES_2D.tolist(),
        pd.DataFrame(FEATURES_2D),
        torch.from_numpy(FEATURES_2D),
        FEATURES_2D.astype(int),
    ):
        np.testing.assert_array_equal(read((inputs, LABELS)).features, FEATURES_2D)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (LABELS[:, None], [0, 1]),
        (LABELS.astype(float), [0, 1]),
        (LABELS == 1, ["False", "True"]),
        (torch.from_numpy(LABELS), [0, 1]),
        (np.array(["a", "b"])[LABELS], ["a", "b"]),
        (np.array([b"a", b"b"])[LABELS], ["a", "b"]),
        (pd.Series(LABELS, index=LABELS), [0, 1]),
        (["01", "1"] * (N // 2), ["01", "1"]),
    ],
)
def test_labels_of_arrays(labels, found):
    assert read((FEATURES_2D, labels)).labels == found * (N // 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(2)[LABELS], r"the label has shape \(12, 2\) for 12 rows: expected one value for each row"),
        (LABELS[:5], r"shape \(5,\) for 12 rows"),
        (3, r"shape \(\) for 12 rows"),
        ([[0], [1, 2]] * 6, "the label are no array of one shape"),
        (np.where(np.arange(N) == 4, np.nan, LABELS), "the label is missing in 1 of 12 rows, first in row 4"),
        ([None, "a"] * 6, "the label is missing in 6 of 12 rows, first in row 0"),
    ],
)
def test_labels_that_do_not_fit_arrays(labels, message):
    refused((FEATURES_2D, labels), message)


def test_images_in_arrays():
    raw = read((PIXELS, LABELS))
    assert raw.kind == IMAGES
    assert torch.equal(raw.images, torch.from_numpy(PIXELS))
    assert read((PIXELS[:, :1], LABELS)).images.shape == (N, 1, 6, 5)


def test_images_in_locked_or_mirrored_arrays_are_copied():
    locked = PIXELS.copy()
    locked.setflags(write=False)
    for pixels in (locked, PIXELS[::-1], PIXELS.transpose(0, 1, 3, 2), np.broadcast_to(PIXELS[:1], PIXELS.shape)):
        np.testing.assert_array_equal(read((pixels, LABELS)).images.numpy(), pixels)
    mine = PIXELS.copy()
    raw = read((mine, LABELS))
    mine[:] = 0
    assert torch.equal(raw.images, torch.from_numpy(PIXELS))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (FEATURES_2D[:, 0], r"the inputs are float64 of shape \(12,\): expected numbers \(N, D\)"),
        (FEATURES_2D[:, :0], r"shape \(12, 0\)"),
        (FEATURES_2D[:0], "the inputs have no rows"),
        (np.float64(3), "the inputs have no rows"),
        ([[1, 2], [3]], "the inputs are no array of one shape"),
        (np.full((N, 2), "a"), "expected numbers .*data frame with label=COLUMN"),
        (FEATURES_2D * 1j, "the inputs are complex128"),
        (sparse.csr_array(FEATURES_2D), "the inputs are a sparse matrix"),
        (torch.ones(N, 2, requires_grad=True), "detach"),
        (np.where(FEATURES_2D == 5, np.inf, FEATURES_2D), "1 values .* first inf in row 2, column 1"),
        (np.where(FEATURES_2D > 5, np.nan, FEATURES_2D), "18 values .* first nan in row 3, column 0"),
        (np.where(FEATURES_2D == 5, -1e300, FEATURES_2D), r"first -1e\+300 in row 2, column 1"),
        (PIXELS / 255, r"float64 of shape \(12, 3, 6, 5\): expected images as uint8 .*255 \* array"),
        (
            PIXELS.transpose(0, 2, 3, 1),
            r"shape \(12, 6, 5, 3\): .*array\.transpose\(0, 3, 1, 2\) brings channels forward",
        ),
        (PIXELS[:, 0], r"shape \(12, 6, 5\): .*array\[:, None\] adds a channel"),
        (PIXELS[:, [0, 1, 2, 0]], r"shape \(12, 4, 6, 5\): .*with 1 or 3 channels"),
        (PIXELS[:, :, :0], r"shape \(12, 3, 0, 5\)"),
        (PIXELS[:, None], r"shape \(12, 1, 3, 6, 5\)"),
    ],
)
def test_inputs_that_cannot_be_trained_on(inputs, message):
    refused((inputs, LABELS), message)


# .npz


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "t.npz", **arrays)
    return tmp_path / "t.npz"


def test_npz(tmp_path):
    keys = np.array([f"r{number}" for number in range(12)])
    path = npz(
        tmp_path, X=FEATURES_2D.astype(int), y=LABELS, truth=LABELS[:, None], key=keys, Z=FEATURES_2D, n=np.array(3)
    )
    raw = read(path, label="y", clean_label="truth", id="key", ignore=("Z",))
    assert raw.kind == FEATURES
    np.testing.assert_array_equal(raw.features, FEATURES_2D)
    assert raw.labels == raw.clean_labels == LABELS.tolist()
    assert raw.ids == keys.tolist()
    raw = read(npz(tmp_path, pixels=PIXELS, y=np.array(["u", "v"])[LABELS]), label="y")
    assert torch.equal(raw.images, torch.from_numpy(PIXELS))
    assert raw.labels == ["u", "v"] * 6


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"X": FEATURES_2D}, {"label": "y"}, r"t\.npz has no label array 'y': it has 'X'; name one with --label"),
        ({"X": FEATURES_2D, "y": LABELS}, {}, r"has no label array None: it has 'X', 'y'; name one with --label"),
        (
            {"X": FEATURES_2D, "y": LABELS},
            {"label": "y", "clean_label": "c"},
            "no clean-label array 'c'.*--clean-label",
        ),
        ({"X": FEATURES_2D, "y": LABELS}, {"label": "y", "id": "c"}, "no id array 'c'.*--id"),
        ({"X": FEATURES_2D, "Z": FEATURES_2D, "y": LABELS}, {"label": "y"}, r"has 2 arrays of features .*--ignore"),
        ({"y": LABELS, "n": PIXELS[:, 0]}, {"label": "y"}, r"has 0 arrays .*'n': uint8 \(12, 6, 5\)\): expected one"),
        ({"X": FEATURES_2D, "y": LABELS[:3]}, {"label": "y"}, r"shape \(3,\) for 12 rows"),
        (
            {"X": FEATURES_2D, "y": LABELS, "c": LABELS[:3]},
            {"label": "y", "clean_label": "c"},
            "array 'c' of .* has shape",
        ),
        ({"X": FEATURES_2D, "y": LABELS, "c": LABELS[:3]}, {"label": "y", "id": "c"}, "array 'c' of .* has shape"),
        (
            {"X": np.where(FEATURES_2D == 1, np.inf, FEATURES_2D), "y": LABELS},
            {"label": "y"},
            "array 'X' have .* in row 0",
        ),
        (
            {"X": PIXELS.astype(np.int64), "y": LABELS},
            {"label": "y"},
            "array 'X' are int64 of shape .*expected images as uint8",
        ),
    ],
)
def test_npz_that_cannot_be_trained_on(tmp_path, arrays, options, message):
    refused(npz(tmp_path, **arrays), message, **options)


class Executed:
    def __reduce__(self):
        return print, ("code was executed",)


def test_pickled_arrays_are_refused_and_nothing_is_executed(tmp_path, capsys):
    objects = np.array([Executed()] * N, dtype=object)
    path = npz(tmp_path, X=FEATURES_2D, y=objects)
    refused(path, r"without executing pickled code: its label array 'y' holds Python objects.*astype\(str\)", label="y")
    path = npz(tmp_path, X=np.array([[Executed()]] * N, dtype=object), y=LABELS)
    refused(path, r"'X': pickled, refused\): expected one", label="y")
    path = npz(tmp_path, X=FEATURES_2D, y=LABELS, names=objects)
    assert read(path, label="y").labels == LABELS.tolist()
    refused(path, "id array 'names' holds Python objects", label="y", id="names")
    path.write_bytes(pickle.dumps(Executed()))
    refused(path, "it is pickled, which could execute code; write it with numpy.savez", label="y")
    assert "executed" not in capsys.readouterr().out


def test_npz_that_is_none_or_damaged(tmp_path):
    path = tmp_path / "t.npz"
    for content in (b"", b"PK", b"garbage" * 9):
        path.write_bytes(content)
        refused(path, r"t\.npz cannot be read as \.npz: .*; write it with numpy\.savez", label="y")
    with path.open("wb") as handle:
        np.save(handle, FEATURES_2D)
    refused(path, "it is a single array, as numpy.save writes it", label="y")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': import}")
    refused(path, "cannot be read as .npz", label="y")
    np.savez_compressed(path, X=np.random.default_rng(0).normal(size=(500, 4)), y=np.arange(500) % 2)
    content = bytearray(path.read_bytes())
    for damaged in (content[:3000], content[:1000] + bytes(200) + content[1200:]):
        path.write_bytes(damaged)
        refused(path, "cannot be read as .npz", label="y")


def test_new_npz_needs_only_inputs(tmp_path):
    options = {"label": "y", "clean_label": "truth", "id": "key", "ignore": ("Z",)}
    raw = read(npz(tmp_path, X=FEATURES_2D), training=False, **options)
    assert (raw.labels, raw.clean_labels, raw.ids) == (None, None, None)


def test_frames_of_polars_are_frames(tmp_path):
    import polars

    frame = polars.DataFrame({"x": [1.5, None, 3.0, 4.0], "kind": ["a", "b", "a", None], "y": ["p", "q", "p", "q"]})
    raw = read_data(frame, ReadOptions(label="y"))
    assert raw.kind == "table"
    assert raw.labels == ["p", "q", "p", "q"]
    assert raw.table["x"].isna().tolist() == [False, True, False, False]
    with pytest.raises(ArgumentError, match=r"LazyFrame: pass data.collect\(\)"):
        read_data(frame.lazy(), ReadOptions(label="y"))
    lists = polars.DataFrame({"e": [[1.0, 2.0], [3.0, 4.0]], "y": [0, 1]})
    assert read_data(lists, ReadOptions(label="y", embedding="e")).features.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_names_that_stand_for_several_rows(tmp_path):
    frame = pd.DataFrame({"key": ["p", None, "p", None], "x": range(4), "y": [0, 1, 0, 1]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"1 names that stand in several rows \('p'\): expected another for each row"):
        read_data(tmp_path / "t.csv", ReadOptions(label="y", id="key"))
    assert read_data(tmp_path / "t.csv", ReadOptions(label="y", id="key"), training=False).ids[0] == "p"


def test_what_does_not_fit_into_memory_is_told(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,a\n2,b\n")

    def none_left(*_, **__):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("elr.data.formats.table.from_frame", none_left)
    refused(path, r"t\.csv does not fit into memory \(Unable to allocate 9 TiB\): take a part of it", label="y")
