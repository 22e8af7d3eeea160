"""Small data to make trials of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd


def clusters(
    count: int = 120, *, seed: int = 0, wrong: int = 8, names: tuple[str, ...] = ("neg", "pos")
) -> pd.DataFrame:
    """A table of Gaussian clusters, columns a, b, c and label; the labels of the first `wrong` rows are another's."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, len(names), count)
    numbers = generator.normal(size=(count, 3))
    numbers[np.arange(count), truth % 3] += 3.0
    given = truth.copy()
    given[:wrong] = (given[:wrong] + 1) % len(names)
    frame = pd.DataFrame(numbers.round(4), columns=list("abc"))
    frame["label"] = [names[number] for number in given]
    return frame


def table(folder: Path, name: str = "data.csv", **settings: object) -> Path:
    """`clusters` as a CSV file."""
    path = folder / name
    clusters(**settings).to_csv(path, index=False)  # type: ignore[arg-type]
    return path
