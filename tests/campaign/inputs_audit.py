"""Labels and probabilities as people pass them to `elr.audit`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy import sparse

import elr
from campaign.trials import SILENT, TRIALS, UNCLEAR, FaultFound, Trial, need

GENERATOR = np.random.default_rng(0)
COUNT, NAMES = 90, ["cow", "ant", "bee"]  # in no order of letters
TRUE = GENERATOR.integers(0, 3, COUNT)
WRONG = [3, 17, 40, 66, 81]
PROBS = np.full((COUNT, 3), 0.05) + 0.85 * np.eye(3)[TRUE]
Y = TRUE.copy()
Y[WRONG] = (Y[WRONG] + 1) % 3
WORDS = np.array(NAMES)[Y]
MISSING = Y.astype(float)
MISSING[4] = np.nan


def audited(
    name: str,
    make: Callable[[], tuple[Any, Any]],
    *,
    refusal: Sequence[str] | None = None,
    class_names: Sequence[Any] | None = None,
    names: Sequence[Any] | None = None,
    quick: bool = False,
) -> None:
    """The wrong labels must be the most suspect, each with the right one instead; or a refusal with these words."""

    def run(folder: Path, _: random.Random) -> None:
        del folder
        labels, probs = make()
        try:
            found = elr.audit(labels, probs, class_names=class_names)
        except (elr.ELRError, ValueError) as error:
            need(refusal is not None, UNCLEAR, f"expected it to be done: {error}")
            for word in refusal or ():
                need(word.lower() in str(error).lower(), UNCLEAR, f"expected {word!r} in: {error}")
            return
        if refusal is not None:
            raise FaultFound(SILENT, f"expected a refusal, got {found.to_frame().head()}")
        table = found.to_frame()
        need(len(table) == COUNT, SILENT, f"{len(table)} rows of {COUNT}")
        need(sorted(table["row"][: len(WRONG)]) == WRONG, SILENT, f"most suspect: {table['row'][:8].tolist()}")
        said = names if names is not None else class_names if class_names is not None else [0, 1, 2]
        for row, predicted, given in zip(table["row"], table["predicted_label"], table["given_label"], strict=True):
            right = str(predicted) == str(said[TRUE[row]]) and str(given) == str(said[Y[row]])
            need(right, SILENT, f"row {row}: given {given!r}, predicted {predicted!r}")

    TRIALS.append(Trial(area="inputs_audit", name=name, run=run, quick=quick))


def frame(order: Sequence[int] = (0, 1, 2), probs: np.ndarray = PROBS) -> pd.DataFrame:
    return pd.DataFrame(probs[:, list(order)], columns=[NAMES[number] for number in order])


audited("plain", lambda: (Y, PROBS), quick=True)
audited("lists", lambda: (Y.tolist(), PROBS.tolist()))
audited("tensors", lambda: (torch.tensor(Y), torch.tensor(PROBS)))
audited("tensors that need gradients", lambda: (torch.tensor(Y), torch.tensor(PROBS, requires_grad=True)))
audited("tensors of bfloat16", lambda: (torch.tensor(Y), torch.tensor(PROBS).bfloat16()))
audited("big-endian", lambda: (Y.astype(">i4"), PROBS.astype(">f8")), quick=True)
audited("big-endian names", lambda: (WORDS.astype(">U3"), PROBS), class_names=NAMES)
audited("float16", lambda: (Y, PROBS.astype(np.float16)))
audited("Fortran order", lambda: (Y, np.asfortranarray(PROBS)))
audited("int8 labels", lambda: (Y.astype(np.int8), PROBS))
audited("uint64 labels", lambda: (Y.astype(np.uint64), PROBS))
audited("labels of whole floats", lambda: (Y.astype(float), PROBS), refusal=["float64", "integers"])
audited("labels of fractions", lambda: (Y + 0.5, PROBS), refusal=["labels"])
audited("labels of NaN", lambda: (MISSING, PROBS), refusal=["labels"], quick=True)
audited("labels of None", lambda: ([None, *Y[1:].tolist()], PROBS), refusal=["label"])
audited("labels of a nullable type", lambda: (pd.array(Y).astype("Int64"), PROBS))
audited(
    "labels of a nullable type, one missing", lambda: (pd.Series(MISSING).astype("Int64"), PROBS), refusal=["label"]
)
audited("labels too great", lambda: (Y + 1, PROBS), refusal=["3"], quick=True)
audited("labels below nought", lambda: (Y - 1, PROBS), refusal=["-1"])
audited("labels one hot", lambda: (np.eye(3)[Y], PROBS), refusal=["labels"])
audited("labels in a column", lambda: (Y[:, None], PROBS), refusal=["labels"])
audited("fewer labels", lambda: (Y[:-1], PROBS), refusal=["89", "90"], quick=True)
audited("labels of words", lambda: (WORDS, PROBS), class_names=NAMES, quick=True)
audited("labels of words without names", lambda: (WORDS, PROBS), refusal=["class_names"])
audited("labels of words and blanks", lambda: ([f" {name}" for name in WORDS], PROBS), class_names=NAMES)
audited("labels of bytes", lambda: (WORDS.astype("S3"), PROBS), class_names=NAMES)
audited("labels of a word that is no class", lambda: (["dog", *WORDS[1:]], PROBS), class_names=NAMES, refusal=["'dog'",
        "row 0"])  # fmt: skip
audited("labels of categories", lambda: (pd.Series(pd.Categorical(WORDS, NAMES)), PROBS), class_names=NAMES)
audited("labels of categories in an order of their own", lambda: (pd.Series(pd.Categorical(WORDS, NAMES)), PROBS),
        refusal=["sorted", "class_names"])  # fmt: skip
audited("labels of categories in the order of letters", lambda: (pd.Series(pd.Categorical(WORDS)), PROBS[:, [1, 2, 0]]),
        names=NAMES)  # fmt: skip
audited("labels of Arrow", lambda: (pa.array(WORDS), frame()), names=NAMES)
audited("numbers as names", lambda: (Y * 10, PROBS), class_names=[0, 10, 20])
audited("a data frame", lambda: (WORDS, frame()), names=NAMES)
audited("a data frame in another order", lambda: (WORDS, frame((2, 0, 1))), names=NAMES, quick=True)
audited("a data frame in another order, and class names", lambda: (WORDS, frame((2, 0, 1))), class_names=NAMES)
audited("a data frame and numbers", lambda: (Y, frame()), names=NAMES)
audited("a data frame of counted columns", lambda: (Y, pd.DataFrame(PROBS)))
audited("a data frame of counted columns in another order", lambda: (Y, pd.DataFrame(PROBS)[[2, 0, 1]]))
audited("a data frame of Arrow's types", lambda: (WORDS, frame().convert_dtypes(dtype_backend="pyarrow")), names=NAMES)
audited("a table of Arrow", lambda: (WORDS, pa.Table.from_pandas(frame(), preserve_index=False)), names=NAMES)
audited("a data frame in another order of rows", lambda: (pd.Series(WORDS), frame().iloc[::-1]), refusal=["order"])
audited("class names twice", lambda: (WORDS, PROBS), class_names=["cow", "ant", "ant"], refusal=["class"])
audited("class names too few", lambda: (WORDS, PROBS), class_names=["cow", "ant"], refusal=["3 columns"])
audited("NaN", lambda: (Y, np.where(np.arange(COUNT)[:, None] == 5, np.nan, PROBS)), refusal=["pred_probs"], quick=True)
audited("infinity", lambda: (Y, np.where(np.arange(COUNT)[:, None] == 5, np.inf, PROBS)), refusal=["pred_probs"])
audited("logits", lambda: (Y, np.log(PROBS)), refusal=["pred_probs"], quick=True)
audited("percent", lambda: (Y, 100 * PROBS), refusal=["pred_probs"])
audited("rows that do not sum to one", lambda: (Y, PROBS * 0.5), refusal=["sum"])
audited("below nought", lambda: (Y, PROBS * 2 - 1 / 3), refusal=["pred_probs"])
audited("one dimension", lambda: (Y, PROBS[:, 0]), refusal=["pred_probs"])
audited("turned on their side", lambda: (Y, PROBS.T), refusal=["pred_probs"])
audited("three dimensions", lambda: (Y, PROBS[:, :, None]), refusal=["pred_probs"])
audited("one class", lambda: (np.zeros(COUNT, int), np.ones((COUNT, 1))), refusal=["pred_probs"])
audited("no rows", lambda: (Y[:0], PROBS[:0]), refusal=["labels"])
audited("sparse", lambda: (Y, sparse.csr_matrix(PROBS)), refusal=["pred_probs"])
audited("masked", lambda: (Y, np.ma.array(PROBS, mask=PROBS > 0.5)), refusal=["mask"])
audited("masked labels", lambda: (np.ma.array(Y, mask=Y == 1), PROBS), refusal=["mask"])
audited("complex", lambda: (Y, PROBS + 0j), refusal=["pred_probs"])
audited("text", lambda: (Y, PROBS.astype(str)), refusal=["pred_probs"])
audited("objects", lambda: (Y, PROBS.astype(object)), refusal=["pred_probs"])
