"""Files of NumPy: strange types, shapes and orders; labels as people have them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from campaign.inputs import Make, adder
from campaign.made import clusters

case = adder("inputs_arrays")
PLAIN = clusters()
COUNT = len(PLAIN)
X = PLAIN[["a", "b", "c"]].to_numpy()
Y = (PLAIN["label"] == "pos").to_numpy().astype(np.int64)
NUMBERS = {"0": 52, "1": 68}
IN_ORDER = list(map(str, Y))


def npz(name: str = "d.npz", **arrays: Any) -> Make:
    return lambda folder: np.savez(folder / name, **({"X": X, "y": Y} | arrays))


def npy(x: Any = X, y: Any = Y) -> Make:
    return lambda folder: (np.save(folder / "d.npy", x), np.save(folder / "y.npy", y))


def arrays(name: str, make: Make, *, quick: bool = False, **settings: Any) -> None:
    usual: dict[str, Any] = {"data": "d.npz", "options": {"label": "y"}}
    if "refusal" not in settings:
        usual |= {"counts": NUMBERS, "rows": COUNT}
    case(name, make, quick=quick, **(usual | settings))


def changed(change: Any) -> Make:
    def make(folder: Path) -> None:
        npz()(folder)
        (folder / "d.npz").write_bytes(change((folder / "d.npz").read_bytes()))

    return make


def spread(write: Any) -> np.ndarray:
    """Features of another type, from whole numbers."""
    return write((X * 10).astype(int))


WHOLE = (X * 10).astype(int)
NAN, INF = X.copy(), X.copy()
NAN[7, 1], INF[7, 1] = np.nan, np.inf
RECORDS = np.zeros(COUNT, dtype=[("u", float), ("v", float)])
ONE_HOT = np.eye(2, dtype=int)[Y]
WORDS = np.array(["neg", "pos"])[Y]
FILE = {"data": "d.npy", "options": {"label": "y.npy"}}

# Features

arrays("plain", npz(), features=X, labels=IN_ORDER, quick=True, fit=True)
arrays("big endian", npz(X=X.astype(">f8"), y=Y.astype(">i4")), features=X, labels=IN_ORDER, quick=True, fit=True)
arrays("Fortran order", npz(X=np.asfortranarray(X)), features=X, labels=IN_ORDER)
arrays("Fortran order, big endian, npy", npy(np.asfortranarray(X.astype(">f4")), Y.astype(">i8")), features=X,
       labels=IN_ORDER, **FILE)  # fmt: skip
arrays("float16", npz(X=X.astype(np.float16)), features=X.astype(np.float16).astype(float), labels=IN_ORDER)
arrays("float16 with infinity", npz(X=np.where(np.arange(COUNT)[:, None] == 3, np.inf, X).astype(np.float16)),
       refusal=["infinite", "row 3"])  # fmt: skip
arrays("long double", npz(X=X.astype(np.longdouble)), features=X, labels=IN_ORDER)
arrays("float64 beyond float32", npz(X=np.where(np.arange(COUNT)[:, None] == 3, 1e300, X)),
       refusal=["row 3", "float32", "1e+300"], quick=True)  # fmt: skip
arrays("tiny numbers", npz(X=X * 1e-300), refusal=["float32", "nothing to learn"])
arrays("great numbers", npz(X=X * 1e35), features=X * 1e35, labels=IN_ORDER, fit=True)
arrays("numbers far from nought", npz(X=X + 1e7), labels=IN_ORDER, says=["float32"])
arrays("complex", npz(X=X + 1j), refusal=["complex128"], quick=True)
arrays("booleans", npz(X=X > 1), features=(X > 1).astype(float), labels=IN_ORDER)
arrays("int8", npz(X=WHOLE.clip(-128, 127).astype(np.int8)), features=WHOLE.astype(float).clip(-128, 127))
arrays("uint64 beyond int64", npz(X=(2**64 - 1 - np.abs(WHOLE).astype(np.uint64) * 10**15)), labels=IN_ORDER)
arrays("text", npz(X=X.astype(str)), refusal=["(N, D)"])
arrays("objects", npz(X=X.astype(object)), refusal=["'X'", "pickled"], quick=True)
arrays("objects in npy", npy(X.astype(object)), refusal=["pickled"], **FILE)
arrays("structured", npz(X=RECORDS), refusal=["'X'"])
arrays("structured, npy", npy(RECORDS), refusal=["(N, D)"], **FILE)
arrays("dates", npz(X=np.full((COUNT, 2), np.datetime64("2024-01-01"))), refusal=["datetime64"])
arrays("bytes", npz(X=X.astype("S8")), refusal=["|S8"])
arrays("missing", npz(X=NAN), refusal=["row 7", "column 1", "NaN"], quick=True)
arrays("infinite", npz(X=INF), refusal=["row 7", "column 1", "inf"])
arrays("missing in npy", npy(NAN), refusal=["row 7", "column 1"], **FILE)
arrays("a single number", npz(X=np.float64(3.0)), refusal=["features"])
arrays("a single number in npy", npy(np.float64(3.0)), refusal=["no rows"], **FILE)
arrays("one dimension", npz(X=X[:, 0]), refusal=["'X'"])
arrays("one dimension in npy", npy(X[:, 0]), refusal=["(120,)"], **FILE)
arrays("three dimensions", npy(X[:, None]), refusal=["(120, 1, 3)"], **FILE)
arrays("four dimensions of floats", npz(X=np.zeros((COUNT, 3, 8, 8))), refusal=["float64", "uint8"])
arrays("four dimensions, channels last", npz(X=np.zeros((COUNT, 8, 8, 3), np.uint8)), refusal=["transpose"])
arrays("no rows", npz(X=X[:0], y=Y[:0]), refusal=["no rows"], quick=True)
arrays("no columns", npz(X=X[:, :0]), refusal=["(120, 0)"])
arrays("fewer labels", npz(y=Y[:-1]), refusal=["119", "120"], quick=True)
arrays("more labels", npz(y=np.append(Y, 1)), refusal=["121", "120"])
arrays("fewer labels in npy", npy(y=Y[:-1]), refusal=["119", "120"], **FILE)
arrays("turned on its side", npz(X=X.T), refusal=["120", "3 rows"])
arrays("two arrays of features", npz(Z=X), refusal=["2 arrays", "--ignore"])
arrays("two arrays of features, one ignored", npz(Z=X + 1), features=X, labels=IN_ORDER,
       options={"label": "y", "ignore": ["Z"]})  # fmt: skip
arrays("nothing but labels", lambda folder: np.savez(folder / "d.npz", y=Y), refusal=["0 arrays"])
arrays("no array of that name", npz(), options={"label": "Y"}, refusal=["'Y'", "'y'"])
arrays("no names", lambda folder: np.savez(folder / "d.npz", X, Y), options={"label": "arr_1"}, features=X,
       labels=IN_ORDER)  # fmt: skip
arrays("an empty archive", lambda folder: np.savez(folder / "d.npz"), refusal=["label array"])
arrays("columns all alike", npz(X=np.ones_like(X)), refusal=["nothing to learn"])
arrays(
    "a counter among them", npz(X=np.column_stack([np.arange(COUNT), X])), labels=IN_ORDER, says=["numbers the rows"]
)
arrays("the label among them", npz(X=np.column_stack([Y, X])), labels=IN_ORDER, says=["the label"])

# Labels

arrays("labels of words", npz(y=WORDS), features=X, counts={"neg": 52, "pos": 68}, labels=list(WORDS))
arrays("labels of bytes", npz(y=WORDS.astype("S3")), features=X, counts={"neg": 52, "pos": 68}, labels=list(WORDS),
       quick=True)  # fmt: skip
arrays("labels of bytes in Latin 1", npz(y=np.array(["né".encode("latin-1"), b"pos"])[Y]), counts={"n\\xe9": 52,
       "pos": 68})  # fmt: skip
arrays("labels of floats", npz(y=Y.astype(float)), features=X, labels=IN_ORDER)
arrays("labels of floats with nan", npz(y=np.where(np.arange(COUNT) == 4, np.nan, Y)), refusal=["1 of 120", "row 4"])
arrays("labels of floats with infinity", npz(y=np.where(np.arange(COUNT) == 4, np.inf, Y)), refusal=["one example"])
arrays("labels of fractions", npz(y=Y + 0.5), counts={"0.5": 52, "1.5": 68})
arrays("labels of booleans", npz(y=Y.astype(bool)), counts={"True": 68, "False": 52})
arrays("labels of uint64 beyond int64", npz(y=np.uint64(2**64 - 2) + Y.astype(np.uint64)), counts={str(2**64 - 2): 52,
       str(2**64 - 1): 68})  # fmt: skip
arrays("labels of complex numbers", npz(y=Y + 0j), rows=COUNT, counts={"0j": 52, "(1+0j)": 68})
arrays("labels of dates", npz(y=np.datetime64("2024-01-01") + Y), counts={"2024-01-01 00:00:00": 52,
       "2024-01-02 00:00:00": 68})  # fmt: skip
arrays("labels in a column", npz(y=Y[:, None]), features=X, labels=IN_ORDER)
arrays("labels in a column, npy", npy(y=Y[:, None]), features=X, labels=IN_ORDER, **FILE)
arrays("labels one hot", npz(y=ONE_HOT), refusal=["(120, 2)"])
arrays("labels one hot in npy", npy(y=ONE_HOT), refusal=["(120, 2)"], **FILE)
arrays("labels as probabilities", npy(y=ONE_HOT * 0.9 + 0.05), refusal=["(120, 2)"], **FILE)
arrays("labels of objects", npz(y=WORDS.astype(object)), refusal=["'y'", "pickled", "astype(str)"])
arrays("labels of one value", npz(y=np.zeros(COUNT, int)), refusal=["class"])
arrays("labels all different", npz(y=np.arange(COUNT)), refusal=["different in each"])
arrays("labels minus one", npz(y=np.where(np.arange(COUNT) % 9 == 0, -1, np.arange(COUNT) % 3)), refusal=["-1",
       "--no-label"])  # fmt: skip
arrays("labels with gaps between", npz(y=Y * 1000 + 7), counts={"7": 52, "1007": 68})
arrays("labels with blanks at the end", npz(y=np.where(Y == 1, "pos ", "neg")), counts={"neg": 52, "pos ": 68})
arrays("labels with empty text", npz(y=np.where(np.arange(COUNT) == 4, "", WORDS)), refusal=["1 of 120", "row 4"])
arrays("labels structured", npz(y=np.zeros(COUNT, dtype=[("u", int)])), refusal=["'y'"])
arrays("labels with names of rows", npz(names=np.array([f"r{k}" for k in range(COUNT)])), options={"label": "y",
       "id": "names"}, features=X, labels=IN_ORDER)  # fmt: skip
arrays("names of rows that are there twice", npz(names=np.array(["r"] * COUNT)), options={"label": "y", "id": "names"},
       refusal=["'names'", "'r'"])  # fmt: skip
arrays("label file that is not there", npy(), data="d.npy", options={"label": "z.npy"}, refusal=["z.npy"])
arrays("label file that is a CSV", lambda folder: (npy()(folder), (folder / "y.csv").write_text("y\n1\n")),
       data="d.npy", options={"label": "y.csv"}, refusal=["y.csv"])  # fmt: skip
arrays("no label file named", npy(), data="d.npy", options={}, refusal=["--label"])

# Files

arrays("compressed", lambda folder: np.savez_compressed(folder / "d.npz", X=X, y=Y), features=X, labels=IN_ORDER)
arrays("truncated", changed(lambda content: content[:-200]), refusal=["d.npz"], quick=True)
arrays("damaged", changed(lambda content: content[:300] + b"\xff" * 100 + content[400:]), refusal=["d.npz"])
arrays("empty", changed(lambda _: b""), refusal=["d.npz"])
arrays("npy called npz", lambda folder: np.save((folder / "d.npz").open("wb"), X), refusal=["d.npz", "numpy.save"])
arrays("npz called npy", lambda folder: (npz()(folder), (folder / "d.npz").rename(folder / "d.npy"),
       np.save(folder / "y.npy", Y)), refusal=["rename it to .npz"], **FILE)  # fmt: skip
arrays("truncated npy", lambda folder: (npy()(folder), (folder / "d.npy").write_bytes(
       (folder / "d.npy").read_bytes()[:-20])), refusal=["d.npy"], **FILE)  # fmt: skip
arrays("a zip of something else", lambda folder: zipfile.ZipFile(folder / "d.npz", "w").writestr("a.txt", "hello"),
       refusal=["d.npz"])  # fmt: skip


def a_lying_header(folder: Path) -> None:
    """A header that says a million million rows."""
    npy()(folder)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    (folder / "d.npy").write_bytes(buffer.getvalue() + X.tobytes())


arrays("a header that lies", a_lying_header, refusal=["d.npy"], **FILE)
arrays("CSV called npz", lambda folder: PLAIN.to_csv(folder / "d.npz"), refusal=["d.npz"])
arrays("a version of npy that there is not", lambda folder: (npy()(folder), (folder / "d.npy").write_bytes(
       b"\x93NUMPY\x09\x00" + (folder / "d.npy").read_bytes()[8:])), refusal=["d.npy"], **FILE)  # fmt: skip
