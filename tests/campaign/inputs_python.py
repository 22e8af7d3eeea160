"""Data frames and arrays as programs pass them: to `elr.inspect`, to `elr.fit` and to the estimator."""

from __future__ import annotations

import datetime
import decimal
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy import sparse

import elr
from campaign.inputs import WRONG
from campaign.made import clusters
from campaign.trials import SILENT, TRIALS, UNCLEAR, FaultFound, Trial, need
from elr.data.records import LEARNED

PLAIN = clusters()
COUNT = len(PLAIN)
DATA, LABELS = PLAIN.drop(columns="label"), PLAIN["label"]
X, Y = DATA.to_numpy(), (LABELS == "pos").to_numpy().astype(int)
COUNTS, NUMBERS = {"neg": 52, "pos": 68}, {"0": 52, "1": 68}
LAST = np.roll(np.arange(COUNT), 1)
ROWS = np.arange(COUNT)
CONFIG = elr.FitConfig(epochs=4)


def add(name: str, run: Callable[[Path], None], *, quick: bool = False) -> None:
    def trial(folder: Path, _: random.Random) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(folder)

    TRIALS.append(Trial(area="inputs_python", name=name, run=trial, quick=quick))


def no(call: Callable[[], object], words: Sequence[str]) -> None:
    """It must be refused as bad input, with these words."""
    try:
        found = call()
    except (elr.ELRError, TypeError, ValueError) as error:
        for word in words:
            need(word.lower() in str(error).lower(), UNCLEAR, f"expected {word!r} in: {error}")
        return
    raise FaultFound(SILENT, f"expected a refusal, got {str(found)[:500]}")


def frame(
    name: str,
    make: Callable[[], Any],
    *,
    columns: Sequence[str] = ("a", "b", "c"),
    counts: Mapping[str, int] = COUNTS,
    refusal: Sequence[str] | None = None,
    says: Sequence[str] = (),
    label: Any = "label",
    fit: bool = False,
    quick: bool = False,
) -> None:
    """What `elr.inspect` must say of some data, and what `elr.fit` must find in them."""

    def run(folder: Path) -> None:
        data = make()
        before, kinds = None, []
        if isinstance(data, pd.DataFrame) and data.columns.is_unique:
            before, kinds = str(data.to_dict("list")), list(data.dtypes)
        options = elr.ReadOptions(label=label)
        if refusal is not None:
            no(lambda: elr.inspect(data, options), refusal)
            no(lambda: elr.fit(data, label=label, out=folder / "run", config=CONFIG), refusal)
            need(not (folder / "run").exists(), SILENT, "a folder was left")
            return
        found = elr.inspect(data, options)
        told = " ".join([*found.remarks, *found.warnings])
        need(found.num_examples == COUNT, SILENT, f"{found.num_examples} rows of {COUNT}")
        classes = {each["name"]: each["count"] for each in found.classes}
        need(classes == counts, SILENT, f"classes {classes}, expected {counts}")
        used = [each["name"] for each in found.columns if each["use"] == LEARNED]
        need(not found.columns or sorted(used) == sorted(columns), SILENT, f"learned from {used}: {told}")
        for word in says:
            need(word.lower() in told.lower(), SILENT, f"expected to be told {word!r}, was told: {told}")
        if fit:
            audit = elr.fit(data, label=label, out=folder / "run", config=CONFIG).fitted.audit
            hits = int((audit.ranking[: 2 * WRONG] < WRONG).sum())
            need(hits >= WRONG - 2, SILENT, f"{hits} of {WRONG} wrong labels among the {2 * WRONG} most suspect")
        if before is not None:
            need(list(data.dtypes) == kinds and str(data.to_dict("list")) == before, SILENT, "the data were changed")

    add(f"frame {name}", run, quick=quick)


def pair(name: str, make: Callable[[], Any], *, counts: Mapping[str, int] = NUMBERS, **settings: Any) -> None:
    frame(f"pair {name}", make, counts=counts, label=None, **settings)


def estimator(
    name: str,
    make: Callable[[], tuple[Any, Any]],
    *,
    classes: Sequence[Any] = (0, 1),
    refusal: Sequence[str] | None = None,
    quick: bool = False,
    least: float = 0.75,
) -> None:
    """What the estimator must learn of X and y: their classes, the wrong labels, and to predict."""

    def run(folder: Path) -> None:
        del folder
        x, y = make()
        if refusal is not None:
            no(lambda: elr.ELRClassifier(epochs=4, random_state=0).fit(x, y), refusal)
            return
        model = elr.ELRClassifier(epochs=4, random_state=0).fit(x, y)
        need(list(map(str, model.classes_)) == list(map(str, classes)), SILENT, f"classes {model.classes_}")
        audit = model.audit()
        need(len(audit.ranking) == COUNT, SILENT, f"{len(audit.ranking)} rows of {COUNT}")
        hits = int((audit.ranking[: 2 * WRONG] < WRONG).sum())
        need(hits >= WRONG - 2, SILENT, f"{hits} of {WRONG} wrong labels among the {2 * WRONG} most suspect")
        probs = model.predict_proba(x)
        need(probs.shape == (COUNT, len(classes)) and np.isfinite(probs).all(), SILENT, f"probabilities {probs.shape}")
        score = model.score(x, y)
        need(score >= least, SILENT, f"predicts {score} of the given labels")

    add(f"estimator {name}", run, quick=quick)


def arrow_frame() -> pd.DataFrame:
    return pa.Table.from_pandas(PLAIN, preserve_index=False).to_pandas(types_mapper=pd.ArrowDtype)


def nullable() -> pd.DataFrame:
    return PLAIN.convert_dtypes()


def with_column(**columns: Any) -> pd.DataFrame:
    return PLAIN.assign(**columns)


def two_levels() -> pd.DataFrame:
    return PLAIN.set_axis(pd.MultiIndex.from_tuples([("x", "a"), ("x", "b"), ("x", "c"), ("y", "label")]), axis=1)


GAPS = np.where(ROWS % 10 == 0, np.nan, DATA["a"])

# Data frames

frame("plain", lambda: PLAIN, fit=True, quick=True)
frame("of Arrow's types", arrow_frame, fit=True, quick=True)
frame("of nullable types", nullable, fit=True)
frame("of nullable types with gaps", lambda: with_column(a=pd.array(GAPS).astype("Float64")), fit=True)
frame("of Arrow's types with gaps", lambda: arrow_frame().assign(a=pd.array(pa.array(GAPS, from_pandas=True),
      dtype=pd.ArrowDtype(pa.float64()))), fit=True)  # fmt: skip
frame("of categories", lambda: with_column(d=pd.Categorical([f"k{k % 3}" for k in range(COUNT)])),
      columns=("a", "b", "c", "d"))  # fmt: skip
frame("of categories with one that is not there", lambda: with_column(label=pd.Categorical(LABELS, ["neg", "pos",
      "never"])), fit=True)  # fmt: skip
frame("of categories of intervals", lambda: with_column(d=pd.cut(DATA["a"], 4)), columns=("a", "b", "c", "d"))
frame("of categories of numbers", lambda: with_column(label=pd.Categorical(Y)), counts=NUMBERS)
frame("of ordered categories with gaps", lambda: with_column(d=pd.Categorical([None if k % 5 == 0 else k % 3 for k in
      range(COUNT)], ordered=True)), columns=("a", "b", "c", "d"))  # fmt: skip
frame("of sparse columns", lambda: with_column(d=pd.arrays.SparseArray((ROWS % 7 == 0).astype(float))),
      columns=("a", "b", "c", "d"))  # fmt: skip
frame("of big-endian columns", lambda: PLAIN.assign(**{name: PLAIN[name].to_numpy().astype(">f8") for name in "abc"},
      label=Y.astype(">i4")), counts=NUMBERS, fit=True, quick=True)  # fmt: skip
frame("of float16", lambda: PLAIN.astype({"a": "float16"}), fit=True)
frame("of complex numbers", lambda: with_column(d=DATA["a"] + 1j), says=["'d'", "complex"])
frame("of decimals", lambda: with_column(a=[decimal.Decimal(str(each)) for each in DATA["a"]]), fit=True)
frame("of periods", lambda: with_column(d=pd.PeriodIndex(pd.date_range("2024-01-01", periods=40), freq="D")[ROWS % 40]),
      columns=("a", "b", "c", "d"))  # fmt: skip
frame("of times", lambda: with_column(d=[datetime.time(k % 24) for k in range(COUNT)]), columns=("a", "b", "c", "d"))
frame("of dates as objects", lambda: with_column(d=[datetime.date(2024, 1, 1 + k % 20) for k in range(COUNT)]),
      columns=("a", "b", "c", "d"))  # fmt: skip
frame("of sets", lambda: with_column(d=[{k} for k in range(COUNT)]), says=["'d'"])
frame("of objects", lambda: with_column(d=[object() for _ in range(COUNT)]), says=["'d'"])
frame("of functions", lambda: with_column(d=[len for _ in range(COUNT)]), says=["'d'"])
frame("of arrays", lambda: with_column(d=list(X)), says=["'d'"])
frame("of tensors", lambda: with_column(d=[torch.tensor(float(k)) for k in range(COUNT)]), says=["'d'"])
frame("of numbers as objects", lambda: PLAIN.astype(object), fit=True)
frame("of numbers and text", lambda: with_column(a=[str(each) if k % 2 else each for k, each in enumerate(DATA["a"])]),
      fit=True)  # fmt: skip
frame("of great whole numbers", lambda: with_column(d=[2**70 + k % 5 for k in range(COUNT)]),
      columns=("a", "b", "c", "d"))  # fmt: skip
frame("with infinity", lambda: with_column(a=np.where(ROWS == 5, np.inf, DATA["a"])), refusal=["'a'",
      "infinite", "row 5"],
      quick=True)  # fmt: skip
frame("with columns of two levels", two_levels, refusal=["label"])
frame("with columns of two levels, label named so", two_levels, label="('y', 'label')", columns=("('x', 'a')",
      "('x', 'b')", "('x', 'c')"), fit=True)  # fmt: skip
frame("with columns that are numbers", lambda: PLAIN.set_axis([0, 1, 2, 3], axis=1), label=3, columns=("0", "1", "2"),
      fit=True)  # fmt: skip
frame("with columns 1 and '1'", lambda: PLAIN.rename(columns={"a": 1, "b": "1"}), refusal=["2 columns named '1'"])
frame("with a column called None", lambda: PLAIN.rename(columns={"a": None}), columns=("nan", "b", "c"))
frame("with a column called nan", lambda: PLAIN.rename(columns={"a": np.nan}), columns=("nan", "b", "c"))
frame("with a name twice", lambda: PLAIN.rename(columns={"a": "b"}), refusal=["2 columns named 'b'"])
frame("with an index that is not unique", lambda: PLAIN.set_index(pd.Index(ROWS // 2)), fit=True, quick=True)
frame(
    "with an index of two levels", lambda: PLAIN.set_index(pd.MultiIndex.from_arrays([ROWS // 2, ROWS % 2])), fit=True
)
frame("with an index of dates", lambda: PLAIN.set_index(pd.date_range("2024-01-01", periods=COUNT)), fit=True)
frame("with an index in another order", lambda: PLAIN.set_index(pd.Index(ROWS[::-1])), fit=True)
frame("with an index of nan", lambda: PLAIN.set_index(pd.Index([np.nan] * COUNT)), fit=True)
frame("of which a part is a view", lambda: pd.concat([PLAIN, PLAIN])[:COUNT], fit=True)
frame("without rows", lambda: PLAIN.head(0), refusal=["no rows"])
frame("without columns", lambda: pd.DataFrame(index=range(9)), refusal=["label"])
frame(
    "with labels of NA",
    lambda: with_column(label=LABELS.astype("string").mask(ROWS == 3)),
    refusal=["1 of 120", "row 3"],
)
frame(
    "with labels of None and NaN", lambda: with_column(label=[None, np.nan, pd.NA, *LABELS[3:]]), refusal=["3 of 120"]
)
frame("with labels of NaT", lambda: with_column(label=[pd.NaT, *LABELS[1:]]), refusal=["1 of 120"])
frame("with labels True, 1 and 1.0", lambda: with_column(label=np.array([True, 1, 1.0, "1"], dtype=object)[ROWS % 4]),
      refusal=["constant"])  # fmt: skip
frame("with labels of mixed types", lambda: with_column(label=[[True, 1, 1.0, "1"][k % 4] if name == "pos" else [0,
      "0"][k % 2] for k, name in enumerate(LABELS)]), counts={"1": 68, "0": 52}, fit=True)  # fmt: skip
frame("with labels of nullable booleans", lambda: with_column(label=pd.array(LABELS == "pos", dtype="boolean")),
      counts={"True": 68, "False": 52}, fit=True)  # fmt: skip
frame("with labels of tuples", lambda: with_column(label=[(name,) for name in LABELS]), refusal=["lists"])
frame("with labels of tensors", lambda: with_column(label=list(torch.tensor(Y))), counts=NUMBERS)
frame("with labels of enums", lambda: with_column(label=[torch.float32 if name == "pos" else torch.int32 for name in
      LABELS]), counts={"torch.float32": 68, "torch.int32": 52})  # fmt: skip
frame("as a table of Arrow", lambda: pa.Table.from_pandas(PLAIN, preserve_index=False), fit=True)
frame("as a table of Arrow in chunks", lambda: pa.concat_tables([pa.Table.from_pandas(PLAIN[:7], preserve_index=False),
      pa.Table.from_pandas(PLAIN[7:], preserve_index=False)]), fit=True)  # fmt: skip
frame("as a series", lambda: LABELS, refusal=["Series"])
frame("as a dict", lambda: {"a": [1]}, refusal=["dict"])
frame("as a list", lambda: [[1, 2]], refusal=["list"])
frame("as None of a path", lambda: "", refusal=["empty path"])

# Pairs of arrays

pair("plain", lambda: (X, Y), fit=True, quick=True)
pair("of lists", lambda: (X.tolist(), Y.tolist()), fit=True)
pair("of tensors", lambda: (torch.tensor(X), torch.tensor(Y)), fit=True)
pair(
    "of tensors that need gradients", lambda: (torch.tensor(X, requires_grad=True), torch.tensor(Y)), refusal=["detach"]
)
pair("of tensors of bfloat16", lambda: (torch.tensor(X).bfloat16(), torch.tensor(Y)))
pair("of read-only arrays", lambda: (np.broadcast_to(X[:1], X.shape) + X, np.broadcast_to(Y, Y.shape)), fit=True)
pair("of strided arrays", lambda: (np.repeat(X, 2, axis=0)[::2], np.repeat(Y, 2)[::2]), fit=True)
pair("of big-endian arrays", lambda: (X.astype(">f4"), Y.astype(">i2")), fit=True)
pair("of a sparse matrix", lambda: (sparse.csr_matrix(X), Y), refusal=["sparse"], quick=True)
pair("of masked arrays", lambda: (np.ma.array(X, mask=X > 5), Y), refusal=["masked", "row"])
pair("of masked labels", lambda: (X, np.ma.array(Y, mask=ROWS == 3)), refusal=["1 of 120", "row 3"])
pair("of ragged lists", lambda: ([[1.0, 2.0], [3.0]], [0, 1]), refusal=["one shape"])
pair("of fewer labels", lambda: (X, Y[:-1]), refusal=["119", "120"], quick=True)
pair("of labels one hot", lambda: (X, np.eye(2)[Y]), refusal=["(120, 2)"])
pair("of labels in a column", lambda: (X, Y[:, None]), fit=True)
pair("of labels as a data frame", lambda: (X, pd.DataFrame({"y": Y})), fit=True)
pair("of a data frame and a series", lambda: (DATA, LABELS), counts=COUNTS, fit=True)
pair("of an index in another order", lambda: (DATA, LABELS.iloc[LAST]), refusal=["another order"], quick=True)
pair("of another index", lambda: (DATA, LABELS.set_axis(ROWS + 1000)), counts=COUNTS, says=["different indexes"])
pair("of categories", lambda: (DATA, LABELS.astype("category")), counts=COUNTS, fit=True)
pair("of three", lambda: (X, Y, Y), refusal=["tuple"])
pair("of nothing", lambda: (None, None), refusal=["(N, D)"])
pair("of text", lambda: (np.array(["u", "v"] * 60), Y), refusal=["(N, D)"])
pair("of structured labels", lambda: (X, np.zeros(COUNT, dtype=[("u", int)])), refusal=["records"])
pair(
    "of images with labels missing",
    lambda: (np.zeros((COUNT, 3, 8, 8), np.uint8), [None, *Y[1:]]),
    refusal=["1 of 120"],
)

# The estimator

estimator("plain", lambda: (X, Y), quick=True)
estimator("data frame", lambda: (DATA, LABELS), classes=("neg", "pos"))
estimator("data frame of Arrow's types", lambda: (arrow_frame().drop(columns="label"), arrow_frame()["label"]),
          classes=("neg", "pos"))  # fmt: skip
estimator("data frame of nullable types with gaps", lambda: (DATA.assign(a=pd.array(GAPS).astype("Float64")),
          pd.array(Y).astype("Int64")))  # fmt: skip
estimator("data frame of categories", lambda: (DATA.assign(d=pd.Categorical(ROWS % 3)), LABELS.astype("category")),
          classes=("neg", "pos"))  # fmt: skip
estimator("data frame of big-endian columns", lambda: (DATA.astype(">f8"), Y.astype(">i4")), quick=True)
estimator("data frame of big-endian columns and text", lambda: (DATA.astype(">f8").assign(d=np.array(["u", "v"])[ROWS %
          2]), Y))  # fmt: skip
estimator("big-endian arrays", lambda: (X.astype(">f4"), Y.astype(">i8")))
estimator("float16", lambda: (X.astype(np.float16), Y))
estimator("great numbers", lambda: (X * 1e200, Y))
estimator("numbers far from nought", lambda: (X + 1e7, Y))
estimator("lists", lambda: (X.tolist(), Y.tolist()))
estimator("tensors", lambda: (torch.tensor(X), torch.tensor(Y)))
estimator("sparse", lambda: (sparse.csr_matrix(X), Y), quick=True)
estimator("sparse by columns", lambda: (sparse.csc_array(X), Y))
estimator("sparse as coordinates", lambda: (sparse.coo_matrix(X), Y))
estimator("sparse with infinity", lambda: (sparse.csr_matrix(np.where(X > 5, np.inf, X)), Y), refusal=["inf"])
estimator("table of Arrow", lambda: (pa.Table.from_pandas(DATA, preserve_index=False), Y))
estimator("labels of bytes", lambda: (X, np.array([b"neg", b"pos"])[Y]), classes=("neg", "pos"))
estimator("labels of booleans", lambda: (X, Y.astype(bool)), classes=(False, True))
estimator("labels of objects", lambda: (X, LABELS.to_numpy(dtype=object)), classes=("neg", "pos"))
estimator("labels of floats", lambda: (X, Y.astype(float)), classes=(0.0, 1.0))
estimator("labels of fractions", lambda: (X, Y + 0.5), refusal=["continuous"])
estimator("labels of NaN", lambda: (X, np.where(ROWS == 3, np.nan, Y)), refusal=["NaN"])
estimator("labels of None", lambda: (X, [None, *LABELS[1:]]), refusal=["row 0"])
estimator("labels one hot", lambda: (X, np.eye(2)[Y]), refusal=["(120, 2)"])
estimator("labels in a column", lambda: (X, Y[:, None]))
estimator("one class", lambda: (X, np.zeros(COUNT)), refusal=["one class"])
estimator("fewer labels", lambda: (X, Y[:-1]), refusal=["119"], quick=True)
estimator("index in another order", lambda: (DATA, LABELS.iloc[LAST]), refusal=["another order"])
estimator("NaN in an array", lambda: (np.where(X > 5, np.nan, X), Y), refusal=["NaN"])
estimator(
    "infinity in a data frame", lambda: (DATA.assign(a=np.where(ROWS == 5, np.inf, DATA["a"])), Y), refusal=["inf"]
)
estimator("infinity in a data frame with text", lambda: (DATA.assign(a=np.where(ROWS == 5, np.inf,
          DATA["a"]), d="u"), Y),
          refusal=["'a'", "inf", "row 5"])  # fmt: skip
estimator("columns of two levels", lambda: (two_levels()[["x"]], LABELS), classes=("neg", "pos"))
estimator("columns of two levels and text", lambda: (two_levels()[["x"]].assign(**{"d": "u"}), LABELS), classes=("neg",
          "pos"))  # fmt: skip
estimator("columns that are numbers", lambda: (DATA.set_axis([0, 1, 2], axis=1), Y))
estimator("columns of numbers and text", lambda: (DATA.rename(columns={"a": 0}), Y), refusal=["string"])
estimator("a name twice", lambda: (DATA.set_axis(["a", "a", "c"], axis=1), Y), refusal=["'a'"])
estimator("complex numbers", lambda: (X + 1j, Y), refusal=["complex"])
estimator("text", lambda: (X.astype(str), Y))
estimator("a single column", lambda: (X[:, 0], Y), refusal=["2D"])
estimator("three dimensions", lambda: (X[:, None], Y), refusal=["3"])
