"""The cost of the ELR loss, forward, backward and the update of the targets, as a ratio to cross entropy.

    python benchmarks/loss.py [--device cpu] [--threads N] [--rounds 30] [--no-compile] [--json]

The denominator is always the forward and backward pass of eager `F.cross_entropy` on the same float32 logits, in this
process, in turns with what it is compared to; a ratio is the median over the rounds. Numerators: `eager`, a
call of `ELRLoss` (defaults, train mode) and `backward()`; `compiled`, the same through `torch.compile`; `authors`, the
formula of the authors' code, eager, written anew, with its update of its table; `aligned`, as `eager` with aligned
targets, `realign` before each epoch of four batches included. The table for people adds `compiled` as a ratio to
compiled cross entropy, and `aligned` as a ratio to `eager`. `--json` prints a list of {batch, classes, eager, compiled,
authors, aligned, passes}, null for what was not measured.

`passes` is what the memory allows: (B, C) copied three times, from and to tensors of four batches. So many bytes cross
entropy moves (reads logits, writes log p; writes zeros, reads them and log p, writes the gradient), and the compiled
loss (reads logits and targets, writes targets and gradient; reads the gradient and writes it multiplied by the incoming
one). With `--threads 1` times are those of the processor, to which other work on the machine does not add.

On a GPU a turn ends when the device has done its steps, not when they are asked for; the rows lie on the device and
are not trusted, the dearest case (see `elr.targets.store.trusted_rows`).

The logits are those of a network that has learned half of its examples: normal, plus 12 on the label of every second
row.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from elr import ELRLoss

SHAPES = ((500, 10), (500, 100), (1024, 1000), (256, 21841))
BATCHES = 4  # of them, the table has rows; each step comes with other rows
LAM, BETA = 3.0, 0.7


class AuthorsLoss:
    """PAPER.md, "Code": clamped probabilities, normalized for the table, subtracted from 1 in the regularizer."""

    def __init__(self, num_examples: int, num_classes: int, device: torch.device) -> None:
        self.table = torch.zeros(num_examples, num_classes, device=device)

    def __call__(self, logits: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        probs = torch.clamp(F.softmax(logits, dim=1), 1e-4, 1.0 - 1e-4)
        constant = probs.detach()
        self.table[index] = BETA * self.table[index] + (1 - BETA) * (constant / constant.sum(dim=1, keepdim=True))
        entropy = F.cross_entropy(logits, labels)
        return entropy + LAM * (1 - (self.table[index] * probs).sum(dim=1)).log().mean()


def data(batch: int, classes: int, device: torch.device) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Logits, labels, and the rows of each batch of an epoch."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (batch,), generator=generator)
    logits = torch.randn(batch, classes, generator=generator)
    logits[::2] += 12.0 * F.one_hot(labels[::2], classes)
    rows = torch.randperm(BATCHES * batch, generator=generator).split(batch)
    return logits.to(device).requires_grad_(), labels.to(device), [index.to(device) for index in rows]


def steps(batch: int, classes: int, compiled: bool, device: torch.device) -> dict[str, Callable[[Tensor], Tensor]]:
    """What is timed, by name, as a function from the row numbers to a loss."""
    logits, labels, _ = data(batch, classes, device)
    ours = ELRLoss(BATCHES * batch, classes, lam=LAM, beta=BETA).to(device)
    authors = AuthorsLoss(BATCHES * batch, classes, device)
    alike = ELRLoss(BATCHES * batch, classes, lam=LAM, beta=BETA, class_shares=torch.ones(classes)).to(device)
    turn = itertools.count()

    def aligned(index: Tensor) -> Tensor:
        if next(turn) % BATCHES == 0:
            alike.realign()
        return alike(logits, labels, index)

    found = {
        "aligned": aligned,
        "cross_entropy": lambda _: F.cross_entropy(logits, labels),
        "eager": lambda index: ours(logits, labels, index),
        "authors": lambda index: authors(logits, labels, index),
    }
    if compiled:
        torch.compiler.reset()
        compiled_entropy = torch.compile(F.cross_entropy, fullgraph=True, dynamic=False)
        loss = ELRLoss(BATCHES * batch, classes, lam=LAM, beta=BETA).to(device)
        other = torch.compile(loss, fullgraph=True, dynamic=False)
        found["compiled"] = lambda index: other(logits, labels, index)
        found["compiled_cross_entropy"] = lambda _: compiled_entropy(logits, labels)

    def timed(step: Callable[[Tensor], Tensor]) -> Callable[[Tensor], None]:
        def run(index: Tensor) -> None:
            logits.grad = None
            step(index).backward()

        return run

    return {name: timed(step) for name, step in found.items()} | {"passes": passes(batch, classes, device)}


def passes(batch: int, classes: int, device: torch.device) -> Callable[[Tensor], None]:
    """Six passes over (B, C): three copies, of other memory each time."""
    parts, others = torch.zeros(2, BATCHES, batch, classes, device=device)
    turn = itertools.count()

    def run(_: Tensor) -> None:
        for _copy in range(3):
            others[next(turn) % BATCHES].copy_(parts[next(turn) % BATCHES])

    return run


def measure(batch: int, classes: int, rounds: int, compiled: bool, device: torch.device) -> dict[str, float]:
    """Of each step, the median ratio to cross entropy, and as "microseconds" the median time of cross entropy.

    In turns; a turn is as many steps as take about 20 ms, a multiple of an epoch's.
    """
    rows = data(batch, classes, device)[2]
    timed = steps(batch, classes, compiled, device)
    seconds = {}
    for name, step in timed.items():
        for index in rows:  # the first steps allocate and compile
            step(index)
        seconds[name] = _seconds(step, rows, len(rows)) / len(rows)
    counts = {name: len(rows) * max(1, round(0.02 / taken / len(rows))) for name, taken in seconds.items()}
    turns = {name: [] for name in timed}
    for _ in range(rounds):
        for name, step in timed.items():
            step(rows[0])  # caches belong to the step that is timed
            turns[name].append(_seconds(step, rows, counts[name]) / counts[name])
    unit = turns["cross_entropy"]
    ratios = {
        name: statistics.median(taken / one for taken, one in zip(values, unit, strict=True))
        for name, values in turns.items()
    }
    return ratios | {"microseconds": 1e6 * statistics.median(unit)}


def _seconds(step: Callable[[Tensor], None], rows: list[Tensor], count: int) -> float:
    finish = torch.cuda.synchronize if rows[0].is_cuda else lambda: None
    now = time.process_time if torch.get_num_threads() == 1 and not rows[0].is_cuda else time.perf_counter
    finish()
    started = now()
    for number in range(count):
        step(rows[number % len(rows)])
    finish()
    return now() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--threads", type=int, help="default: as PyTorch has it")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    results = []
    if not arguments.json:
        compared = "compiled | (to compiled cross_entropy) | authors | aligned | (to eager) | passes"
        print(f"| B, C | cross_entropy, us | eager | {compared} |")
        print("|---|---|---|---|---|---|---|---|---|")
    for batch, classes in SHAPES:
        taken = measure(batch, classes, arguments.rounds, not arguments.no_compile, arguments.device)
        ratios = {name: taken.get(name) for name in ("eager", "compiled", "authors", "aligned", "passes")}
        results.append({"batch": batch, "classes": classes, **ratios})
        if not arguments.json:
            among = taken["compiled"] / taken["compiled_cross_entropy"] if "compiled" in taken else None
            cells = (ratios["eager"], ratios["compiled"], among, ratios["authors"], ratios["aligned"])
            cells = (*cells, ratios["aligned"] / ratios["eager"], ratios["passes"])
            words = " | ".join("-" if cell is None else f"{cell:.2f}" for cell in cells)
            print(f"| {batch}, {classes} | {taken['microseconds']:.0f} | {words} |", flush=True)
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
