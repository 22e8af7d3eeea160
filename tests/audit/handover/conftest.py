import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import elr
from elr.audit.audited_run import AuditedRun

BRIGHT = "bright & <new>"


@pytest.fixture(scope="session")
def noisy_images(tmp_path_factory):
    """Bright and dark images of 8 pixels, the first two under the wrong label, as a folder and as a Parquet file.

    Name -> (the run, row -> (encoded image, given label)).
    """
    root, rng, records = tmp_path_factory.mktemp("images"), np.random.default_rng(0), []
    for number in range(24):
        bright = number % 2
        buffer = io.BytesIO()
        Image.fromarray((rng.integers(0, 60, size=(8, 8, 3)) + 190 * bright).astype("uint8")).save(buffer, "PNG")
        label = BRIGHT if bool(bright) != (number < 2) else "dark"
        path = root / "images" / label / f"no {number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        records.append({"img": {"bytes": buffer.getvalue(), "path": None}, "label": label})
    pd.DataFrame(records).to_parquet(root / "images.parquet")
    config = elr.FitConfig(epochs=30, network="linear")
    elr.fit(root / "images", out=root / "folder", config=config)
    elr.fit(root / "images.parquet", out=root / "parquet", label="label", config=config)
    folder, parquet = AuditedRun.read(root / "folder"), AuditedRun.read(root / "parquet")
    paths = {row: root / "images" / name for row, name in zip(folder.evidence.rows, folder.evidence.ids, strict=True)}
    lying = {int(row): (path.read_bytes(), path.parent.name) for row, path in paths.items()}
    inside = {row: (record["img"]["bytes"], record["label"]) for row, record in enumerate(records)}
    return {"folder": (folder, lying), "parquet": (parquet, inside)}
