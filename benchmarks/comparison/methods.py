"""What benchmarks/own_data.py compares: elr and its variants, and what people write with scikit-learn and cleanlab."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.classification import CleanLearning
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import elr
from comparison.cases import ARRAY, TABLE, TEXT, Case, Inputs, encoder
from elr.audit.evidence import read_evidence
from elr.audit.label_quality import Audit
from elr.data.records import ReadOptions
from elr.data.text import fit_text
from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig
from elr.runs.predict import predict

LABEL, TEXTS = "label", "text"
MAX_ITERATIONS = 5_000
"""Of logistic regression: scikit-learn's 100 are not enough for some of the sets."""

VARIANTS: dict[str, dict[str, Any]] = {
    "elr": {},
    "elr-cross-entropy": {"method": "cross_entropy"},
}
"""elr by name, with the fields of `FitConfig` that are not left at their defaults."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a method says.

    Args:
        test_labels: (M,) predicted class numbers of the test rows.
        seconds: of fitting.
        label_quality: (N,) of the given labels, low = suspect; None if the method does not rank them.
        num_issues: how many labels it calls wrong, of a ranking.
        expected_precision: (N,) the share of wrong labels that it announces among the most suspect, if it does.
        kept: arrays for later studies.
    """

    test_labels: NDArray[np.int64]
    seconds: float
    label_quality: NDArray[np.float64] | None = None
    num_issues: int | None = None
    expected_precision: NDArray[np.float64] | None = None
    kept: Mapping[str, NDArray] | None = None


Method = Callable[[Case, int], Found]
Transform = Callable[[Inputs], Any]


def methods(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Method]:
    """All methods by name: peers, and variants of elr."""
    return PEERS | {name: elr_method(fields) for name, fields in variants.items()}


# elr


def elr_method(fields: Mapping[str, Any]) -> Method:
    """elr as people call it, with some fields of `FitConfig`."""

    def run(case: Case, seed: int) -> Found:
        config = FitConfig(**({"seed": seed} | dict(fields)))
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            started = time.perf_counter()
            outcome = fit(_training_data(case), out=out, options=_OPTIONS[case.kind], config=config)
            seconds = time.perf_counter() - started
            predictions = predict(out, _new_data(case))
            evidence = read_evidence(out)
            names, pred_probs = evidence.class_names, evidence.pred_probs
        audit = outcome.fitted.audit
        number = _numbers(names, case)
        assert np.array_equal(number[audit.labels], case.labels), "an audit has its rows in the order of the data"
        return Found(
            test_labels=_numbers(predictions["predicted_label"], case),
            seconds=seconds,
            label_quality=audit.label_quality,
            num_issues=audit.num_label_issues,
            expected_precision=audit.expected_precision,
            kept=_kept(case, audit)
            | {
                "pred_probs": _in_order(pred_probs, number, case),
                "test_probs": _in_order(predictions[[f"prob_{name}" for name in names]].to_numpy(), number, case),
            },
        )

    return run


def _kept(case: Case, audit: Audit) -> dict[str, NDArray]:
    of_audit = {name: getattr(audit, name) for name in ("label_quality", "error_probs", "is_label_issue")}
    return of_audit | {name: getattr(case, name) for name in ("labels", "clean_labels", "test_labels")}


_OPTIONS = {TABLE: ReadOptions(label=LABEL), TEXT: ReadOptions(label=LABEL, text=TEXTS), ARRAY: ReadOptions()}


def _training_data(case: Case) -> Any:
    if case.kind == ARRAY:
        return case.inputs, np.array(case.given_names)
    return _frame(case.kind, case.inputs).assign(**{LABEL: case.given_names})


def _new_data(case: Case) -> Any:
    return (case.test_inputs, None) if case.kind == ARRAY else _frame(case.kind, case.test_inputs)


def _frame(kind: str, inputs: Inputs) -> pd.DataFrame:
    return pd.DataFrame({TEXTS: inputs}) if kind == TEXT else inputs


def _numbers(names: Iterable[Any], case: Case) -> NDArray[np.int64]:
    return np.array([case.class_names.index(str(name)) for name in names], dtype=np.int64)


def _in_order(probs: NDArray, number: NDArray[np.int64], case: Case) -> NDArray[np.float32]:
    """Probabilities with a column for each class of the case; 0 for classes that were given to no row."""
    found = np.zeros((len(probs), len(case.class_names)), dtype=np.float32)
    found[:, number] = probs
    return found


def elr_commit() -> str:
    """The last commit that changed the source of the elr that is imported; with +HASH where it has changed since."""
    folder = Path(elr.__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        commit, changed = git("log", "-1", "--format=%h", "--", "."), git("status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):  # installed, without its repository
        commit, changed = elr.__version__, "unknown"
    return f"{commit}+{_digest(folder)}" if changed else commit


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:7]


# Peers: all defaults, but seeds, and iterations until logistic regression has converged


def _peer(classifier: Callable[[int], Any], prepare: Callable[[Case], Transform], *, cleaned: bool = False) -> Method:
    """A classifier on prepared inputs; cleaned: inside cleanlab, as its tutorials have it.

    Prepared beforehand and not in a pipeline, since cleanlab can only then weight the rows that it keeps.
    """

    def run(case: Case, seed: int) -> Found:
        started = time.perf_counter()
        transform = prepare(case)
        model = classifier(seed)
        model = CleanLearning(model, seed=seed) if cleaned else model
        model.fit(transform(case.inputs), case.labels)
        seconds = time.perf_counter() - started
        predicted = np.asarray(model.predict(transform(case.test_inputs)))
        if not cleaned:
            return Found(test_labels=predicted, seconds=seconds)
        issues = model.get_label_issues()
        quality, num_issues = issues["label_quality"].to_numpy(), int(issues["is_label_issue"].sum())
        return Found(test_labels=predicted, seconds=seconds, label_quality=quality, num_issues=num_issues)

    return run


def _scaled(case: Case) -> Transform:
    if case.kind == ARRAY:
        return StandardScaler().fit(case.inputs).transform
    return _unscaled(case)


def _unscaled(case: Case) -> Transform:
    if case.kind == TABLE:
        return encoder(case.inputs).fit(case.inputs).transform
    return TfidfVectorizer().fit(case.inputs).transform if case.kind == TEXT else _same


def _dense(case: Case) -> Transform:
    """Columns of categories as such, as is the default; texts, which have to be dense, in the 300 numbers of elr."""
    if case.kind == TABLE:
        return _categories
    return fit_text(case.inputs, name="texts").transform if case.kind == TEXT else _same


def _same(inputs: Inputs) -> Inputs:
    return inputs


def _categories(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(dict.fromkeys(frame.select_dtypes(exclude="number").columns, "category"))


def _logistic(seed: int) -> LogisticRegression:
    return LogisticRegression(max_iter=MAX_ITERATIONS, random_state=seed)


def _forest(seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(random_state=seed)


def _boosting(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(random_state=seed)


PEERS: dict[str, Method] = {
    "logistic": _peer(_logistic, _scaled),
    "forest": _peer(_forest, _unscaled),
    "boosting": _peer(_boosting, _dense),
    "cleanlab-logistic": _peer(_logistic, _scaled, cleaned=True),
    "cleanlab-boosting": _peer(_boosting, _dense, cleaned=True),
}
