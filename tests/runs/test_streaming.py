"""Runs on images that stay on disk: the same pixels, numbers and rows as of a run that holds them in memory."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig
from elr.runs.predict import predict
from tiny_tars import write_tar

CLASSES = ("cat", "dog", "owl")
COUNT = 48
CONFIG = FitConfig(network="linear", epochs=3, batch_size=16, members=1, device="cpu", precision="float32")


def picture(number, size=(20, 16)):
    """A noisy image whose color says its class, encoded."""
    pixels = np.random.default_rng(number).integers(0, 120, (size[1], size[0], 3), dtype=np.uint8)
    pixels[..., number % 3] += 120
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def folder(root):
    for number in range(COUNT):
        path = root / CLASSES[number % 3] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return root


def named(root):
    folder(root / "files")
    lines = [f"{CLASSES[n % 3]}/{n:03}.png,{CLASSES[n % 3]}" for n in range(COUNT)]
    path = root / "list.csv"
    path.write_text("\n".join(["file,kind", *lines]) + "\n")
    return path


def tars(root):
    for shard in range(3):
        members = []
        for number in range(shard * COUNT // 3, (shard + 1) * COUNT // 3):
            members += [(f"{number:03}.png", picture(number)), (f"{number:03}.cls", CLASSES[number % 3].encode())]
        write_tar(root / f"train-{shard}.tar", members)
    return root


def tables(root):
    root.mkdir(parents=True)
    for shard in range(2):
        numbers = range(shard * COUNT // 2, (shard + 1) * COUNT // 2)
        images = [{"bytes": picture(number), "path": f"{number}.png"} for number in numbers]
        table = pa.table({"image": images, "label": [CLASSES[number % 3] for number in numbers]})
        pq.write_table(table, root / f"part-{shard}.parquet", row_group_size=7)
    return root


KINDS = {
    "folder": (folder, ReadOptions()),
    "named": (named, ReadOptions(label="kind", image="file")),
    "tars": (tars, ReadOptions()),
    "tables": (tables, ReadOptions(label="label")),
}


def made(kind, root):
    make, options = KINDS[kind]
    return make(root), options


def streamed(options):
    return ReadOptions(**options.to_json(), stream=True)


@pytest.mark.parametrize("kind", KINDS)
def test_streamed_images_are_the_same_pixels_rows_and_labels(kind, tmp_path):
    data, options = made(kind, tmp_path / "data")
    held, on_disk = prepare_data(data, options), prepare_data(data, streamed(options))
    assert held.streamed is None
    assert on_disk.streamed is not None
    rows = torch.arange(COUNT)
    assert torch.equal(on_disk.examples.fetch(rows), held.examples.fetch(rows))
    assert torch.equal(on_disk.examples.labels, held.examples.labels)
    assert on_disk.records.ids == held.records.ids
    assert on_disk.preprocessing == held.preprocessing


@pytest.mark.parametrize("kind", ["folder", "tars"])
def test_a_streamed_run_is_bit_for_bit_that_in_memory(kind, tmp_path):
    data, options = made(kind, tmp_path / "data")
    runs = {
        name: fit(data, out=tmp_path / name, options=each, config=CONFIG)
        for name, each in (("held", options), ("streamed", streamed(options)))
    }
    held, on_disk = (each.fitted for each in runs.values())
    assert [each["loss"] for each in held.history] == [each["loss"] for each in on_disk.history]
    assert (held.out / "issues.csv").read_text() == (on_disk.out / "issues.csv").read_text()
    assert (on_disk.out / "index.parquet").exists()
    assert not (held.out / "index.parquet").exists()
    assert predict(on_disk.out, data).equals(predict(held.out, data))
