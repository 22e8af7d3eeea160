"""From someone's data to a robust model, its suspect labels and a report, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from elr.checking import checked
from elr.data.formats.labels import row_index
from elr.data.inspection import Inspection
from elr.data.labels.value_types import LABEL_TYPE, as_values
from elr.data.prepared_data import PreparedData, inspection_of, prepare_data, prepare_records
from elr.data.reading import Data
from elr.data.records import NO_BACKBONE, ReadOptions
from elr.datasets.as_data import load_digits
from elr.errors import ArgumentError
from elr.files import INDEX_FILE, REPORT_FILE, RUN_FILE, writing
from elr.runs.fit_config import FitConfig
from elr.runs.model_card.card import write_card
from elr.runs.plan import Plan
from elr.runs.reporting import write_report
from elr.runs.run import Fitted, run_plan
from elr.runs.run_folder import alone_in, read_begun
from elr.runs.tuning import check_tuning
from elr.runs.tuning import tune as search
from elr.targets.choice import AUTO
from elr.training.engine import from_main_process, is_main_process, number_of_processes, on_all_ranks
from elr.training.progress import Progress

BASELINE = "cross_entropy"
DIGITS_NOISE = ("symmetric", 0.4)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `fit` gave.

    Args:
        fitted: the run.
        report: where its page is.
        baseline: plain cross entropy on the same data, where it was asked for.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> data = (np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     outcome = fit(data, out=Path(folder) / "run", config=FitConfig(epochs=2), compare=True)
        >>> sorted(outcome.results["methods"]), outcome.report.name, outcome.baseline.out.name
        (['cross_entropy', 'elr'], 'report.html', 'cross_entropy')
    """

    fitted: Fitted
    report: Path
    baseline: Fitted | None = None

    @property
    def results(self) -> dict[str, Any]:
        """What --json prints: the numbers of the run, or of both methods."""
        if self.baseline is None:
            return self.fitted.results
        name = self.fitted.run["config"]["method"]
        return {"methods": {BASELINE: self.baseline.results, name: self.fitted.results}}


@checked
def fit(
    data: Data | None = None,
    *,
    out: str | Path,
    label: str | int | None = None,
    method: str | None = None,
    settings: Mapping[str, Any] | None = None,
    options: ReadOptions | None = None,
    config: FitConfig | None = None,
    test: Data | None = None,
    test_label: str | None = None,
    noise: tuple[str, float] | None = None,
    compare: bool | None = None,
    tune: int | None = None,
    resume: bool = False,
    command: str = "",
    on_read: Callable[[Inspection], None] | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    on_progress: Callable[[str, Progress], None] | None = None,
) -> Outcome:
    """Train robustly, audit the labels and write the folder of the run, its report and its model card included.

    Args:
        data: what `elr.data.reading.read_data` reads; None: scikit-learn's digits with 40 % symmetric noise, compared
            with plain cross entropy.
        out: folder for the results: new, empty, or with `resume` that of the same run.
        label: column (or array) of the given labels; short for options.
        method: what to train with, one of `elr.methods.catalog.METHODS`; short for config.
        settings: of the method, by name; short for config.
        options: how to read the data.
        config: how to train.
        test: data whose labels are trusted; measured at the end, never used.
        test_label: column (or array) of their labels, if it has another name than in `data`.
        noise: (name in `elr.noise.named.NOISES`, rate): for experiments on clean labels, corrupt them first.
        compare: also train a single network by plain cross entropy, into the subfolder cross_entropy. Default: only for
            the digits.
        tune: first choose lam, beta, learning rate and epochs, those of them that config leaves open (None), in so many
            trials on held-out given labels: see `elr.runs.tuning.tune`. Of a single network, unless config.members says
            more. Cross entropy is compared with the same learning rate and epochs. Needs the extra elr[tune].
        resume: go on from the last checkpoint, and with the trials that are finished.
        command: the command that repeats the run, for the report.
        on_read: called with what was read, before anything is trained.
        on_plan: called with how it is going to be trained, before it is.
        on_progress: called with the name of the method (or "trial K/N") and where it stands, after every batch.

    Raises:
        ELRError: see `prepare_data`, `run_plan` and `elr.runs.tuning.tune`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> labels = np.tile([0, 1], 30)
        >>> inputs = labels[:, None] + 0.2 * np.random.default_rng(0).normal(size=(60, 4))
        >>> labels[7] = 0  # which was right as 1
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     outcome = fit((inputs, labels), out=Path(folder) / "run", config=FitConfig(epochs=10))
        >>> audit = outcome.fitted.audit
        >>> int(audit.ranking[0]), int(audit.predicted_labels[7]), audit.num_label_issues
        (7, 1, 1)
    """
    out, given = Path(out), config or FitConfig()
    asked = {name: value for name, value in (("method", method), ("settings", settings)) if value is not None}
    compare = data is None if compare is None else compare

    def asked_for() -> tuple[ReadOptions, FitConfig]:
        more = {} if label in (None, "") else {"label": str(label)}
        return _checked(replace(options or ReadOptions(), **more), replace(given, **asked), tune, compare)

    options, config = on_all_ranks(given.device, asked_for)
    if data is None:
        prepared = on_all_ranks(config.device, partial(_digits, options, config, test, test_label, noise))
    else:
        options = replace(options, max_memory=config.max_memory or options.max_memory, scratch=str(out))
        read = partial(prepare_data, data, test=test, test_label=test_label, noise=noise, seed=config.seed)
        prepared = _read(read, data, options, config.device, out=out, resume=resume)
    if on_read is not None:
        on_read(inspection_of(prepared))

    found = None
    if tune is not None:
        config, found = search(prepared, config, trials=tune, out=out, resume=resume, on_progress=on_progress)

    def run(each: FitConfig, folder: Path, tuning: dict[str, Any] | None = None) -> Fitted:
        def show(progress: Progress) -> None:
            if on_progress:
                on_progress(each.method, progress)

        plan = each.plan(prepared).on_ranks()
        if on_plan is not None:
            on_plan(plan)
        return run_plan(
            prepared,
            plan,
            config=each.to_json(),
            out=folder,
            command=command,
            resume=resume,
            tuning=tuning,
            on_progress=show,
        )

    baseline_folder = out / BASELINE
    fitted = run(config, out, None if found is None else found.to_json())
    baseline = run(_baseline(config), baseline_folder) if compare else None
    if is_main_process():
        with alone_in(out, wait=True):
            write_report(prepared, fitted, baseline=baseline)
            write_card(out)
            if baseline is not None:
                write_report(prepared, baseline)
                write_card(baseline_folder)
    baseline = None if baseline is None else _as_passed(baseline, data, prepared)
    return Outcome(fitted=_as_passed(fitted, data, prepared), report=out / REPORT_FILE, baseline=baseline)


def _as_passed(fitted: Fitted, data: Data | None, prepared: PreparedData) -> Fitted:
    """The run with the audit as who passed the data knows them: with their index, and labels of their type."""
    audit, names = fitted.audit, prepared.preprocessing.coding.class_names
    values = as_values(names, prepared.records.facts.get(LABEL_TYPE))
    index = row_index(data, prepared.records.rows)
    names = audit.class_names if values is None else tuple(values.tolist())
    return replace(fitted, audit=replace(audit, index=index, class_names=names))


def _baseline(config: FitConfig) -> FitConfig:
    """The same for plain cross entropy, which has neither settings of its own nor targets."""
    return replace(
        config, method=BASELINE, members=1, settings={}, lam=None, beta=None, targets=AUTO, targets_dtype=None
    )


def _checked(options: ReadOptions, config: FitConfig, tune: int | None, compare: bool) -> tuple[ReadOptions, FitConfig]:
    """What was asked for, if it goes together, with what follows from it."""
    if compare and config.method == BASELINE:
        raise ArgumentError("cross_entropy cannot be compared with itself: leave out --compare, or the method")
    if config.network not in (None, "linear", "mlp") and options.backbone is None:
        options = replace(options, backbone=NO_BACKBONE)  # a network of their own was asked for
    if tune is not None:
        check_tuning(tune)
        config = replace(config, members=1) if config.members is None else config
    return options, config


def _read(
    read: Callable[[ReadOptions], PreparedData],
    data: Data,
    options: ReadOptions,
    device: str,
    *,
    out: Path,
    resume: bool,
) -> PreparedData:
    """The data; streamed as they were where a run goes on, and under several ranks as the first one found them.

    That one alone lists the files and looks through the shards: the others have its index.
    """
    index = out / INDEX_FILE
    if resume:
        options = on_all_ranks(device, partial(_as_begun, options, out))
    if not isinstance(data, str | Path) or options.stream is False:
        return on_all_ranks(device, partial(read, options))
    found: list[PreparedData] = []
    handed = index if options.index else index.with_name(f".{index.name}.partial")

    def first() -> int:
        found.append(read(options))
        if found[0].streamed is None:
            return 0
        if number_of_processes() > 1 and not (options.index and index.exists()):
            _hand_over(found[0], handed)
        return 1

    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    streamed = from_main_process(device, first)
    options = replace(options, stream=bool(streamed), index=str(handed) if streamed else None)
    try:
        return on_all_ranks(device, lambda: found[0] if found else read(options))
    finally:
        if found and handed != index:  # all have read it, or one of them cannot
            _take_back(handed, made)


def _as_begun(options: ReadOptions, out: Path) -> ReadOptions:
    """The options of reading with the images where those of a run that goes on are, in memory or on disk."""
    if not (out / RUN_FILE).exists():
        return options
    streamed = bool(read_begun(out)["data"].get("streamed"))
    return replace(options, stream=streamed, index=str(out / INDEX_FILE) if streamed else None)


def _take_back(handed: Path, made: Sequence[Path]) -> None:
    """Remove the index that the other ranks have read, and the folders that were made for it."""
    with suppress(OSError):
        handed.unlink(missing_ok=True)
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


def _hand_over(prepared: PreparedData, handed: Path) -> None:
    index = prepared.image_index()
    assert index is not None, "streamed images have an index"
    with writing(handed):
        handed.parent.mkdir(parents=True, exist_ok=True)
    index.write(handed)


def _digits(
    options: ReadOptions,
    config: FitConfig,
    test: Data | None,
    test_label: str | None,
    noise: tuple[str, float] | None,
) -> PreparedData:
    if options != ReadOptions() or test is not None or test_label is not None:
        raise ArgumentError("without data the embedded digits are used: --label, --test and the like need DATA")
    name, rate = noise or DIGITS_NOISE
    train, trusted = load_digits(noise=name, noise_rate=rate, seed=config.seed)
    source = f"digits ({name} noise {rate:g})"
    return prepare_records(train, trusted, options=options, source=source, test_source="digits, the rest")
