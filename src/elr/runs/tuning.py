"""A search for settings by Optuna, on held-out labels as noisy as those trained on; it goes on where it was stopped.

Only given labels are looked at: `elr.data.prepared_data.hold_out` leaves clean labels and test data out before the
first trial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elr import files
from elr.data.prepared_data import PreparedData, hold_out
from elr.devices import mixed_seed
from elr.errors import ArgumentError, CheckpointError, OutputError, TrainingError, optional
from elr.runs.plan import Plan
from elr.runs.run_folder import alone_in, another, contents, something_else
from elr.runs.study import complete_trials, opened, quiet, writing_study
from elr.training.engine import number_of_processes
from elr.training.loop import Training
from elr.training.progress import Progress

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

    from elr.runs.fit_config import FitConfig

HOLDOUT = 0.2
LEAST = 10
"""Held-out rows below which a search is refused: their labels say next to nothing."""
MOST_LAM, MOST_BETA = 10.0, 0.99
RATE_FACTOR, EPOCHS_LESS, EPOCHS_MORE = 10.0, 4, 2  # around the default for that kind of network and data
_CORRECT, _WINS, _LOSSES = "correct", "wins", "losses"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found. Rates are in [0, 1].

    Args:
        trials: how many, the defaults among them.
        best: the settings to train with, by name; the defaults, where no trial was better by a standard error.
        validation_accuracy: share of the held-out given labels that a network so trained predicts in its last epoch.
        default_validation_accuracy: the same with the defaults.
        highest_validation_accuracy: of any trial.
        standard_error: of the difference between that trial and the defaults, if both were equally good: the square
            root of the number of rows that one of them alone has right, over the number held out.
        holdout: share of the rows held out.
        num_held_out: how many that are.
        kept_defaults: whether `best` are the defaults.
        text: the same in a sentence.

    Example:
        >>> found = Found(
        ...     trials=20, best={"lam": 5.0}, validation_accuracy=0.62, default_validation_accuracy=0.58,
        ...     highest_validation_accuracy=0.62, standard_error=0.01, holdout=0.2, num_held_out=300,
        ...     kept_defaults=False, text="")
        >>> found.to_json()["best"]
        {'lam': 5.0}
    """

    trials: int
    best: dict[str, float | int]
    validation_accuracy: float
    default_validation_accuracy: float
    highest_validation_accuracy: float
    standard_error: float
    holdout: float
    num_held_out: int
    kept_defaults: bool
    text: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, as run.json holds them."""
        return asdict(self)


def check_tuning(trials: int) -> None:
    """Refuse a search that cannot be, before data are read.

    Args:
        trials: how many settings to try.

    Raises:
        ArgumentError: fewer than one trial, no Optuna, or several processes.

    Example:
        >>> check_tuning(0)
        Traceback (most recent call last):
        elr.errors.ArgumentError: tune is 0: expected the number of settings to try, at least 1
    """
    if type(trials) is not int or trials < 1:
        raise ArgumentError(f"tune is {trials!r}: expected the number of settings to try, at least 1")
    optional("optuna", "tune", extra="tune")
    if number_of_processes() > 1:
        raise ArgumentError("tune runs in one process: leave torchrun out, or pass the settings that it finds there")


def tune(
    prepared: PreparedData,
    config: FitConfig,
    *,
    trials: int,
    out: Path,
    holdout: float = HOLDOUT,
    resume: bool = False,
    on_progress: Callable[[str, Progress], None] | None = None,
) -> tuple[FitConfig, Found]:
    """Choose lam, beta, learning rate and epochs, those of them that `config` leaves open.

    A share of the rows is held out with its given labels. Each trial trains on the others and counts how many of the
    held-out labels its last epoch predicts. The first trial has the defaults; settings count as better only where they
    beat them by a standard error of the paired difference. Trial k depends on the seed and on the trials before it, and
    on nothing else, so that a search that was stopped and resumed finds what an unbroken one finds.

    Args:
        prepared: the data.
        config: what was asked for; settings that are not None stay as they are.
        trials: how many settings to try, the defaults included, >= 1.
        out: folder of the run, in which tuning.sqlite keeps the trials: new, empty, or with `resume` that of before.
        holdout: share of the rows held out, in (0, 1). Default 0.2.
        resume: go on with the trials in `out`.
        on_progress: called with "trial K/N" and where its training stands, after every batch.

    Returns:
        (config with the chosen settings, what was found).

    Raises:
        ArgumentError: nothing to search, too few rows, or settings out of range.
        OutputError: `out` holds something else, or cannot be written.
        CheckpointError: `out` holds a search of other data or settings, or a run without one.

    Example:
        >>> import tempfile
        >>> from elr.data.prepared_data import prepare_data
        >>> from elr.data.records import ReadOptions
        >>> from elr.runs.fit_config import FitConfig
        >>> prepared = prepare_data((np.tile(np.eye(2), (40, 1)), np.tile([0, 1], 40)), ReadOptions())
        >>> asked = FitConfig(members=1, epochs=2, learning_rate=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     config, found = tune(prepared, asked, trials=1, out=Path(folder) / "a")
        >>> found.kept_defaults, sorted(found.best)
        (True, ['beta', 'lam'])

    Source: tree-structured Parzen estimator, Bergstra et al., NeurIPS 2011, as in Optuna. That the better network is
    also better on labels as noisy as these holds where the noise does not depend on the inputs.
    """
    check_tuning(trials)
    defaults = _defaults(config, prepared)
    if not defaults:
        raise ArgumentError("tune has nothing to search: every setting that it could choose is given; leave one out")
    part = hold_out(prepared, holdout, seed=config.seed)
    count = 0 if part.validation is None else len(part.validation)
    if count < LEAST:
        raise ArgumentError(
            f"tune would hold {count} of {len(prepared.examples)} rows out, on which no settings can be told apart: "
            f"expected at least {LEAST}; leave it out"
        )
    untrained = _training(_plan(config, defaults, part), part)
    untrained.predict(part.examples.first(2))  # a network that the examples do not fit fails before anything is written
    del untrained
    names = contents(out)
    _check_folder(out, names, resume=resume)
    space = _space(defaults)
    identity = _identity(config, part, space, holdout)
    with files.writing(out):
        out.mkdir(parents=True, exist_ok=True)
    with alone_in(out), quiet(), opened(out / files.TUNING_FILE, identity) as study:
        done = complete_trials(study)
        while len(done) < trials:
            name = f"trial {len(done) + 1}/{trials}"
            show = partial(on_progress, name) if on_progress else None
            _try(study, space, defaults, lambda values, show=show: _correct(config, values, part, show), config.seed)
            done = complete_trials(study)
        found = _choose(done[:trials], count, holdout)
    return replace(config, **found.best), found  # type: ignore[arg-type]


def _defaults(config: FitConfig, prepared: PreparedData) -> dict[str, float | int]:
    """What would be trained with, of the settings that were not given."""
    plan = config.plan(prepared)
    method = {name: value for name, value in plan.method.to_json().items() if name in ("lam", "beta")}
    values = {**method, "learning_rate": plan.training.learning_rate, "epochs": plan.training.epochs}
    return {name: value for name, value in values.items() if getattr(config, name) is None}


def _space(defaults: dict[str, float | int]) -> dict[str, BaseDistribution]:
    """Where each setting is searched, around its default; epochs by their logarithm, since long trials cost most."""
    from optuna.distributions import FloatDistribution, IntDistribution

    rate, epochs = float(defaults.get("learning_rate", 1.0)), int(defaults.get("epochs", 1))
    space = {
        "lam": FloatDistribution(0.0, MOST_LAM, step=0.5),
        "beta": FloatDistribution(0.0, MOST_BETA, step=0.01),
        "learning_rate": FloatDistribution(rate / RATE_FACTOR, rate * RATE_FACTOR, log=True),
        "epochs": IntDistribution(max(1, epochs // EPOCHS_LESS), EPOCHS_MORE * epochs, log=True),
    }
    return {name: space[name] for name in defaults}


def _identity(
    config: FitConfig, part: PreparedData, space: dict[str, BaseDistribution], holdout: float
) -> dict[str, Any]:
    """What a search that goes on must agree in."""
    from optuna.distributions import distribution_to_json

    spaces = {f"space of {name}": distribution_to_json(each) for name, each in space.items()}
    settings = config.to_json() | {name: getattr(config, name) for name in ("lam", "beta")}
    return {"data": part.sha256, "holdout": holdout, **settings, **spaces}


def _plan(config: FitConfig, values: dict[str, float | int], part: PreparedData) -> Plan:
    plan = replace(config, **values).plan(part)  # type: ignore[arg-type]
    return replace(plan, probe_period=plan.training.epochs)  # the last epoch alone counts


def _training(plan: Plan, part: PreparedData) -> Training:
    return plan.build(part, probe=part.probe, folder=None)


def _correct(
    config: FitConfig,
    values: dict[str, float | int],
    part: PreparedData,
    on_progress: Callable[[Progress], None] | None,
) -> NDArray[np.bool_]:
    """(M,) which held-out labels the last epoch predicts; none, where training diverged."""
    assert part.validation is not None, "rows were held out"
    assert part.validation.labels is not None, "with their labels"
    training = _training(_plan(config, values, part), part)
    try:
        training.run(on_progress=on_progress)
    except TrainingError:
        return np.zeros(len(part.validation), dtype=bool)
    return (training.probe_labels[-1] == part.validation.labels).numpy()


def _try(
    study: optuna.Study,
    space: dict[str, BaseDistribution],
    defaults: dict[str, float | int],
    evaluate: Callable[[dict[str, float | int]], NDArray[np.bool_]],
    seed: int,
) -> None:
    """One trial: the defaults if it is the first, or else what the sampler proposes after those before."""
    import optuna

    done = complete_trials(study)
    study.sampler = optuna.samplers.TPESampler(seed=mixed_seed(seed, len(done)) % 2**32)
    with writing_study():
        if not done:
            study.enqueue_trial(defaults)
        trial = study.ask(space)
    correct = evaluate(_tidy(trial.params))
    before = _unpacked(done[0].user_attrs[_CORRECT], len(correct)) if done else correct
    with writing_study():
        if not done:
            trial.set_user_attr(_CORRECT, np.packbits(correct).tobytes().hex())
        trial.set_user_attr(_WINS, int((correct & ~before).sum()))
        trial.set_user_attr(_LOSSES, int((before & ~correct).sum()))
        study.tell(trial, float(correct.mean()))


def _tidy(values: dict[str, Any]) -> dict[str, float | int]:
    """Steps of a hundredth without the dust of binary fractions."""
    return {name: round(value, 2) if name in ("lam", "beta") else value for name, value in values.items()}


def _unpacked(text: str, count: int) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8), count=count).astype(bool)


def _choose(done: list[optuna.trial.FrozenTrial], count: int, holdout: float) -> Found:
    """The best trial, if it beats the defaults by a standard error of the paired difference."""
    default = done[0]
    best = max(done, key=lambda trial: trial.values[0])  # the earliest of equals
    wins, losses = best.user_attrs[_WINS], best.user_attrs[_LOSSES]
    difference = (wins - losses) / count
    error = float(np.sqrt(wins + losses) / count)  # as McNemar: if both were equally good, each would win as often
    kept = difference <= error
    chosen = default if kept else best
    settings = _tidy(chosen.params)
    words = ", ".join(f"{name} {value:.3g}" for name, value in settings.items())
    looked = f"{len(done)} trials on {count} held-out given labels: " if len(done) > 1 else "one trial, the defaults: "
    if not kept:
        said = (
            f"{words} predict {best.values[0]:.1%} of them, the defaults {default.values[0]:.1%} (standard error of "
            f"the difference {error:.1%})"
        )
    elif difference > 0:
        said = (
            f"the defaults were kept ({words}): the best other settings predict {best.values[0]:.1%} of them, the "
            f"defaults {default.values[0]:.1%}, no more than a standard error apart ({error:.1%})"
        )
    else:
        said = f"the defaults were kept ({words}): they predict {default.values[0]:.1%} of them, no others more"
    return Found(
        trials=len(done),
        best=settings,
        validation_accuracy=chosen.values[0],
        default_validation_accuracy=default.values[0],
        highest_validation_accuracy=best.values[0],
        standard_error=error,
        holdout=holdout,
        num_held_out=count,
        kept_defaults=kept,
        text=f"Settings: {looked}{said}",
    )


def _check_folder(out: Path, names: list[str], *, resume: bool) -> None:
    if not names:
        return
    if files.TUNING_FILE in names:
        if not resume:
            raise OutputError(f"{out} already holds a search: {another(out)}, or --resume to go on with that one")
    elif files.RUN_FILE in names:
        if not resume:
            raise OutputError(f"{out} already holds a run: {another(out)}")
        raise CheckpointError(
            f"{out} holds a run without a search ({files.TUNING_FILE}): leave --tune out to go on with it, or "
            f"{another(out)}"
        )
    else:
        raise something_else(out, names)
