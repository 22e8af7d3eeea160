"""Small folders of images to make trials of, and what came of one of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from campaign.outcomes import Outcome, accepted, inside
from campaign.trials import SILENT, need
from elr.data.reading import read_data
from elr.data.records import ReadOptions

RED, BLUE = (200, 40, 40), (40, 40, 200)
COLORS = {"cat": RED, "dog": BLUE, "owl": (40, 200, 40)}
NEAR = 14  # by how much a mean color may differ: JPEG, and color spaces
FIT = ("--epochs", "2", "--out", "run", "--json")


def picture(color: tuple[int, ...] = RED, *, side: int = 16, seed: int = 0) -> Image.Image:
    """One image of a noisy color."""
    noise = np.random.default_rng(seed).normal(0, 10, (side, side, 3))
    return Image.fromarray(np.clip(np.array(color) + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **settings: Any) -> bytes:
    """Its bytes in a format of Pillow."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def pictures(
    folder: Path, *, count: int = 10, side: int = 16, names: Sequence[str] = ("cat", "dog"), wrong: int = 0
) -> Path:
    """A folder of classes, `count` images each; the first `wrong` of the first class look as the second does."""
    root = folder / "d"
    for place, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(count):
            shown = names[1] if not place and number < wrong else name
            content = encoded(picture(COLORS[shown], side=side, seed=1000 * place + number))
            (root / name / f"{number:03}.png").write_bytes(content)
    return root


def fitted(folder: Path, *more: object, data: str = "d") -> Outcome:
    """`elr fit` on the folder d."""
    return inside("fit", data, *FIT, *more, folder=folder)


def counts(folder: Path, *more: object, data: str = "d") -> dict[str, int]:
    """What `elr inspect` says of each class."""
    found = accepted(inside("inspect", data, "--json", *more, folder=folder))
    return {each["name"]: each["count"] for each in found["classes"]}


def shown(folder: Path, name: str, **settings: Any) -> np.ndarray:
    """(H, W, 3), as `elr` sees an image of the folder d."""
    records = read_data(folder / "d", ReadOptions(**settings))
    need(records.ids is not None and name in records.ids, SILENT, f"{name} is not among {records.ids}")
    assert records.ids is not None
    assert records.images is not None
    return records.images[records.ids.index(name)].permute(1, 2, 0).numpy()


def near(pixels: np.ndarray, color: tuple[int, ...], what: str, *, by: float = NEAR) -> None:
    """The mean of some pixels is a color."""
    mean = pixels.reshape(-1, 3).mean(axis=0)
    need(np.abs(mean - np.array(color)).max() <= by, SILENT, f"{what} is {mean.round().tolist()}, not {color}")
