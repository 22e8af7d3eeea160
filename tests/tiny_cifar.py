"""A made CIFAR-10 of a few dozen images, in the layouts in which the real one lies about."""

import hashlib
import io
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
RECORD = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def labels_of(count):
    """Class numbers, every class in each ten rows, in an order that is not sorted."""
    return [(7 * row + row // 10) % 10 for row in range(count)]


def pixels_of(labels, seed=0, side=32):
    """(N, side, side, 3) uint8: a shade of its own for each class, and noise."""
    rng = np.random.default_rng(seed)
    shades = np.random.default_rng(99).integers(30, 220, size=(10, 1, 1, 3))
    return (shades[labels] + rng.integers(-25, 26, size=(len(labels), side, side, 3))).astype(np.uint8)


def encoded(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def write_part(path, count, *, seed=0, kind="PNG", named=False, labels=None, side=32):
    """One Parquet file as the hub has it; `named`: with the names of the classes beside their numbers."""
    labels = labels_of(count) if labels is None else labels
    images = [{"bytes": encoded(each, kind), "path": None} for each in pixels_of(labels, seed, side)]
    table = pa.table({"img": pa.array(images, RECORD), "label": pa.array(labels, pa.int64())})
    if named:
        features = {"label": {"names": NAMES, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_parquet(folder, train=60, test=20, *, names=("train.parquet", "test.parquet"), **settings):
    write_part(folder / names[0], train, **settings)
    write_part(folder / names[1], test, seed=1, **settings)
    return folder


def write_human(path, labels, clean=None, **others):
    """A file like CIFAR-10N's."""
    clean = labels_of(len(labels)) if clean is None else clean
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"clean_label": np.array(clean), "random_label1": np.array(labels)} | others, path)
    return path


def write_archive(root, monkeypatch, per_batch=10):
    """cifar-10-batches-py with tiny batches, and torchvision told that these are the published ones."""
    from torchvision.datasets import CIFAR10

    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    labels = labels_of(per_batch)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()]

    def batch(seed):
        return {"data": pixels_of(labels, seed).transpose(0, 3, 1, 2).reshape(per_batch, -1), "labels": labels}

    parts = [write(f"data_batch_{number}", batch(number)) for number in range(1, 6)]
    monkeypatch.setattr(CIFAR10, "train_list", parts)
    monkeypatch.setattr(CIFAR10, "test_list", [write("test_batch", batch(9))])
    name, checksum = write("batches.meta", {"label_names": NAMES})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": checksum})
    return folder
