"""The same computed in different ways: a plain NumPy version, one process or several, eager or compiled, any store."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from campaign.made import clusters
from campaign.outcomes import accepted, gone_to, inside
from campaign.trials import DIFFERS, SILENT, FaultFound, need, trial
from elr.methods.loss.elr_loss import ELRLoss
from elr.targets.config import PLACEMENTS, TargetsConfig

LAMS, BETAS, CLAMPS = (0.0, 1.0, 3.0, 7.0), (0.0, 0.5, 0.7, 0.9), (0.0, 1e-4, 1e-2)
Numbers = NDArray[np.float64]


def plain_step(
    table: Numbers,
    logits: Numbers,
    labels: Numbers,
    index: NDArray[np.int64],
    settings: tuple[float, float, float],
    stored: Numbers | None = None,
) -> tuple[float, Numbers, Numbers]:
    """Loss, its gradient in the logits, and the new table; from the formulas, row by row, float64.

    `settings` are lam, beta and clamp; `stored` is the new table as the loss has it, rounded.
    """
    lam, beta, clamp = settings
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    probs = np.exp(log_probs)
    entering = probs if clamp == 0 else np.clip(probs, clamp, 1 - clamp)
    entering = entering if clamp == 0 else entering / entering.sum(axis=1, keepdims=True)
    table = table.copy()
    for row in np.unique(index):
        table[row] = beta * table[row] + (1 - beta) * entering[index == row].mean(axis=0)
    targets = (table if stored is None else stored)[index]
    if clamp == 0:  # 1 - <p, t> without cancellation
        rest = (1 - targets.sum(axis=1)) * probs.sum(axis=1) + ((1 - probs) * targets).sum(axis=1)
        pulls = probs * targets
    else:
        rest = 1 - (np.clip(probs, clamp, 1 - clamp) * targets).sum(axis=1)
        pulls = np.where((probs >= clamp) & (probs <= 1 - clamp), probs * targets, 0.0)
    floored = np.maximum(rest, clamp) if clamp else rest
    loss = -(labels * log_probs).sum(axis=1)
    slope = labels.sum(axis=1, keepdims=True) * probs - labels
    if not lam:  # what would be taken 0 times may be infinite
        return float(loss.mean()) if len(loss) else float("nan"), slope / max(len(logits), 1), table
    loss += lam * np.log(floored)
    active = (rest >= clamp)[:, None] if clamp else np.ones((len(rest), 1), bool)
    by_logits = -(pulls - probs * pulls.sum(axis=1, keepdims=True)) / floored[:, None] * active
    slope = (slope + lam * by_logits) / max(len(logits), 1)
    return float(loss.mean()) if len(loss) else float("nan"), slope, table


def drawn(generator: random.Random) -> dict[str, Any]:
    """One batch, anything from nothing to 30,000 classes and logits of 1e4."""
    seed = generator.randrange(2**31)
    draw = np.random.default_rng(seed)
    classes = generator.choice([2, 3, 10, 100, 1000, 30_000])
    batch = generator.choice([1, 2, 7, 64] if classes < 5000 else [1, 5])
    count, scale = generator.choice([1, 5, 200]), generator.choice([0.1, 1.0, 10.0, 100.0, 1e4])
    soft = generator.random() < 0.3
    labels = draw.integers(0, classes, batch)
    shares = draw.dirichlet(np.full(classes, 0.3), batch) if soft else np.eye(classes)[labels]
    settings = (generator.choice(LAMS), generator.choice(BETAS), generator.choice(CLAMPS))
    if settings[2] >= 1.0 / classes:  # every class would be confined
        settings = (*settings[:2], 0.0)
    return {
        "classes": classes,
        "count": count,
        "soft": soft,
        "labels": labels,
        "shares": shares,
        "settings": settings,
        "steps": [(scale * draw.normal(size=(batch, classes)), draw.integers(0, count, batch)) for _ in range(3)],
        "words": f"C {classes}, B {batch}, N {count}, logits x {scale}, soft {soft}, lam, beta, clamp {settings}",
    }


def compared(case: dict[str, Any], dtype: torch.dtype, loss_of: Any = None, tolerance: float = 0.0) -> None:
    """Three steps of `ELRLoss` beside `plain_step` on the same numbers, from the same table."""
    lam, beta, clamp = case["settings"]
    count, classes = case["count"], case["classes"]
    loss = ELRLoss(count, classes, lam=lam, beta=beta, clamp=clamp)
    call = loss if loss_of is None else loss_of(loss)
    table = np.zeros((count, classes))
    exact = dtype == torch.float64
    near = tolerance or (1e-9 if exact else 2e-4)
    for numbers, rows in case["steps"]:
        logits = torch.tensor(numbers, dtype=dtype, requires_grad=True)
        labels = torch.tensor(case["shares"], dtype=torch.float64) if case["soft"] else torch.tensor(case["labels"])
        labels = labels if exact or not case["soft"] else labels.float()
        found = call(logits, labels, torch.tensor(rows))
        found.backward()
        seen = logits.detach().double().numpy()
        # float32 rounds a target of 1 - e to 1, and half of 1 - <p, t> is lost: the loss is that of what is stored
        stored = loss.targets.read(torch.arange(count)).double().numpy()
        value, slope, table = plain_step(table, seen, case["shares"], rows, case["settings"], stored)
        scale = max(1.0, abs(value))
        need(
            abs(found.item() - value) <= 20 * near * scale, DIFFERS, f"loss {found.item()} for {value}: {case['words']}"
        )
        gap = np.abs(stored - table).max()
        need(gap <= near, DIFFERS, f"targets differ by {gap}: {case['words']}")
        if clamp == 0.0 and lam and _is_steep(seen, table[rows]):
            continue  # 1 - <p, t> is lost to rounding of the table itself in float32
        gap, size = np.abs(logits.grad.double().numpy() - slope).max(), max(1.0, np.abs(slope).max())
        need(
            gap <= 50 * near * size + (4e-3 if dtype == torch.bfloat16 else 0),
            DIFFERS,
            f"gradient {gap}: {case['words']}",
        )


def _is_steep(logits: Numbers, targets: Numbers) -> bool:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = shifted / shifted.sum(axis=1, keepdims=True)
    return bool((1 - (probs * targets).sum(axis=1) < 1e-3).any())


@trial("differential", repeats=150, quick=True)
def loss_beside_numpy_in_float64(_: Path, generator: random.Random) -> None:
    compared(drawn(generator), torch.float64)


@trial("differential", repeats=150, quick=True)
def loss_beside_numpy_in_float32(_: Path, generator: random.Random) -> None:
    case = drawn(generator)
    case["steps"] = [(np.float64(np.float32(numbers)), rows) for numbers, rows in case["steps"]]
    compared(case, torch.float32)


@trial("differential", repeats=60)
def loss_beside_numpy_in_bfloat16(_: Path, generator: random.Random) -> None:
    compared(drawn(generator), torch.bfloat16)


@trial("differential", quick=True)
def empty_batches(_: Path, generator: random.Random) -> None:
    loss = ELRLoss(5, 3)
    before = loss.targets.read(torch.arange(5)).clone()
    found = loss(
        torch.zeros(0, 3, requires_grad=True), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    )
    need(torch.equal(loss.targets.read(torch.arange(5)), before), SILENT, "an empty batch moved targets")
    need(bool(found.isnan()) or found.item() == 0.0, DIFFERS, f"the loss of nothing is {found.item()}")


@trial("differential", repeats=6, seconds=600)
def eager_beside_compiled(_: Path, generator: random.Random) -> None:
    torch._dynamo.reset()
    case = drawn(generator)
    lam, beta, clamp = case["settings"]
    plain, other = (ELRLoss(case["count"], case["classes"], lam=lam, beta=beta, clamp=clamp) for _ in range(2))
    compiled = torch.compile(other)
    for numbers, rows in case["steps"]:
        values = []
        for call in (plain, compiled):
            logits = torch.tensor(numbers, dtype=torch.float32, requires_grad=True)
            values.append((call(logits, torch.tensor(case["labels"]), torch.tensor(rows)), logits))
            values[-1][0].backward()
        (one, first), (two, second) = values
        scale = max(1.0, abs(one.item()))
        need(abs(one.item() - two.item()) < 1e-3 * scale, DIFFERS, f"loss {one.item()}, {two.item()}: {case['words']}")
        gap = (first.grad - second.grad).abs().max().item()
        need(gap < 1e-2 * max(1.0, first.grad.abs().max().item()), DIFFERS, f"gradient {gap}: {case['words']}")
    every = torch.arange(case["count"])
    gap = (plain.targets.read(every) - other.targets.read(every)).abs().max().item()
    need(gap < 1e-4, DIFFERS, f"targets {gap}: {case['words']}")


@trial("differential", repeats=20, quick=True)
def every_store_beside_the_dense_one(folder: Path, generator: random.Random) -> None:
    case = drawn(generator)
    classes, count = min(case["classes"], 1000), case["count"]
    stores = {}
    for name in PLACEMENTS:
        if name not in ("dense", "stateless"):
            more = {"top_k": classes} if name == "sparse" else {}
            where = folder / name
            where.mkdir()
            config = TargetsConfig(placement=name, dtype="float32", **more)
            stores[name] = config.build(count, classes, folder=where)
    dense = TargetsConfig().build(count, classes)
    for numbers, rows in case["steps"]:
        probs = torch.tensor(numbers[:, :classes], dtype=torch.float32).softmax(dim=1)
        index = torch.tensor(rows)
        expected = dense.update(index, probs, beta=0.7)
        for name, store in stores.items():
            gap = (store.update(index, probs, beta=0.7) - expected).abs().max().item()
            need(gap < 1e-5, DIFFERS, f"{name}: targets differ by {gap}: {case['words']}")


TABLE_KINDS = ("csv", "tsv", "parquet", "feather", "jsonl", "frame", "arrays")


def _written(folder: Path, kind: str) -> Any:
    frame = clusters(200, wrong=12)
    path = folder / f"data.{kind}"
    if kind in ("csv", "tsv"):
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    elif kind == "parquet":
        frame.to_parquet(path, index=False)
    elif kind == "feather":
        frame.to_feather(path)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        return frame
    return path


@trial("differential", seconds=600)
def one_table_in_every_format_gives_one_ranking(folder: Path, _: random.Random) -> None:
    """Text, Arrow and data frames hold the same numbers; arrays of the same, standardized, rank alike too."""
    from elr.data.records import ReadOptions
    from elr.runs.fit import fit
    from elr.runs.fit_config import FitConfig

    rankings = {}
    for kind in TABLE_KINDS:
        data = _written(folder, kind)
        options = ReadOptions(label="label")
        if kind == "arrays":
            data, options = (data[list("abc")].to_numpy(), data["label"].to_numpy()), ReadOptions()
        fitted = fit(data, out=folder / f"run-{kind}", options=options, config=FitConfig(epochs=3)).fitted
        rankings[kind] = fitted.audit.label_quality
    first = rankings["csv"]
    for kind, ranking in rankings.items():
        gap = float(np.abs(ranking - first).max())
        need(
            gap == 0.0 if kind != "arrays" else gap < 1e-4, DIFFERS, f"{kind}: label quality differs by {gap} from csv"
        )


@trial("differential", seconds=600)
def one_process_beside_two_and_four(folder: Path, _: random.Random) -> None:
    clusters(300, wrong=12).to_csv(folder / "data.csv", index=False)
    scores = {}
    for ranks in (1, 2, 4):
        command = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--rdzv-backend=c10d"]
        command += [
            "--rdzv-endpoint=localhost:0",
            "-m",
            "elr",
            "fit",
            "data.csv",
            "--label",
            "label",
            "--device",
            "cpu",
        ]
        command += ["--out", f"run-{ranks}", "--epochs", "4", "--members", "1"]
        result = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=300)
        if result.returncode:
            raise FaultFound(DIFFERS, f"{ranks} ranks: {result.stderr[-1500:]}")
        scores[ranks] = _quality(folder / f"run-{ranks}")
    for ranks in (2, 4):
        gap = float(np.abs(scores[ranks] - scores[1]).max())
        need(gap < 1e-3, DIFFERS, f"{ranks} ranks: label quality differs by {gap} from one process")


def _quality(run: Path) -> NDArray[np.float64]:
    import pandas as pd

    return pd.read_csv(run / "issues.csv").sort_values("row")["label_quality"].to_numpy()


@trial("differential", quick=True)
def command_line_beside_python(folder: Path, _: random.Random) -> None:
    from elr.data.records import ReadOptions
    from elr.runs.fit import fit
    from elr.runs.fit_config import FitConfig

    clusters().to_csv(folder / "data.csv", index=False)
    accepted(inside("fit", "data.csv", "--label", "label", "--epochs", "2", "--out", "by-command", folder=folder))
    with gone_to(folder):
        fit("data.csv", out="by-call", options=ReadOptions(label="label"), config=FitConfig(epochs=2))
    one, two = _quality(folder / "by-command"), _quality(folder / "by-call")
    need(bool((one == two).all()), DIFFERS, f"label quality differs by {np.abs(one - two).max()}")
