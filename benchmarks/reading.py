"""How fast images on disk are read, beside torchvision's decoder alone.

    python benchmarks/reading.py [--images 400] [--rounds 5] [--json]

Three sets of JPEG photographs, quality 90, cut from scikit-learn's two sample images: shorter side 256 pixels (as
WebVision is given out), sides of about 300 to 640 pixels, and 1600 x 1200. In turns, in one process, all cores:

- decode: torchvision.io.decode_image on the bytes of every file, whole, in a pool of as many threads as cores: the
  yardstick.
- fetch: files read in random order, decoded, cropped at random (224 of 256), uint8, in batches of 64, two of them begun
  ahead: what is left to the processor where there is an accelerator.
- files: all that training does on a processor: the same, then flipped at random and normalized.
- tar, parquet: the same from shards.
- own: what `elr fit` does with people's folders: the middle square of each file at 224 pixels, as for a pretrained
  network, uint8.

Ratios are taken round by round; medians are printed, and last the ratio of what the process takes of the processors per
image, to which other work on the machine adds little. The files are in the page cache: a disk is not measured.
"""

import argparse
import io
import json
import os
import statistics
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torchvision.io import ImageReadMode, decode_image

from elr.data.examples import Examples
from elr.data.pictures.decoding import Square
from elr.data.pictures.image_store import FileImages, ImageStore
from elr.data.transforms import ImageTransform
from elr.datasets.readers.shards import open_shards
from elr.devices import keep_freed_memory, one_thread
from elr.training.inference import ahead

BATCH, AHEAD = 64, 2
SETS = {
    "256 pixels": ((256, 341), (256, 384)),
    "300 to 640 pixels": ((300, 400), (375, 500), (480, 640), (427, 640)),
    "1600 x 1200 pixels": ((1200, 1600),),
}


def write_files(root: Path, sizes: tuple[tuple[int, int], ...], count: int) -> list[str]:
    """Random cuts of the sample images, each resized to one of the sizes (height, width)."""
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    names = []
    for number in range(count):
        picture, (height, width) = pictures[number % 2], sizes[number % len(sizes)]
        share = rng.uniform(0.6, 1.0)
        left, top = (rng.uniform(0, (1 - share) * side) for side in picture.size)
        box = (left, top, left + share * picture.width, top + share * picture.height)
        picture.resize((width, height), Image.Resampling.BICUBIC, box=box).save(root / f"{number:05}.jpg", quality=90)
        names.append(f"{number:05}.jpg")
    return names


def write_shards(root: Path, names: list[str]) -> tuple[Path, Path]:
    """The same files as four tars and as four Parquet files."""
    tars, tables = root / "tars", root / "tables"
    tars.mkdir()
    tables.mkdir()
    for shard in range(4):
        rows = names[shard::4]
        encoded = [(root / name).read_bytes() for name in rows]
        with tarfile.open(tars / f"{shard}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in zip(rows, encoded, strict=True):
                for member, value in ((name, content), (name.replace("jpg", "cls"), b"0")):
                    entry = tarfile.TarInfo(member)
                    entry.size = len(value)
                    tar.addfile(entry, io.BytesIO(value))
        table = pa.table({"image": pa.array(encoded, pa.binary()), "label": [0] * len(rows)})
        pq.write_table(table, tables / f"{shard}.parquet", row_group_size=50)
    return tars, tables


def decode_all(files: list[Path]) -> None:
    def decode(path: Path) -> None:
        decode_image(torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8), mode=ImageReadMode.RGB)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, files))


def epoch(store: ImageStore, seed: int, *, augmented: bool) -> None:
    """What the training loop does to read an epoch; the last steps of it may be an accelerator's."""
    transform = ImageTransform([0.5] * 3, [0.25] * 3, flip=True, window=True)
    examples, generator = Examples(store, [0] * len(store)), torch.Generator().manual_seed(seed)

    def begin(rows: torch.Tensor) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
        draws = transform.draw(len(rows), generator)
        return draws, examples.start(rows, transform.places(draws))

    for draws, fetched in ahead(map(begin, examples.order(generator).split(BATCH)), AHEAD):
        images = fetched()
        if augmented:
            with one_thread():  # as training does
                transform(images, draws)


def measure(root: Path, names: list[str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Images per second of each way, and per second of a processor, round by round."""
    tars, tables = write_shards(root, names)
    stores = {
        "fetch": FileImages(root, names),
        "files": FileImages(root, names),
        "tar": open_shards(tars).part.images,
        "parquet": open_shards(tables).part.images,
        "own": FileImages(root, names, Square(crop=224)),
    }
    files = [root / name for name in names]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("decode", *stores)}
    for number in range(rounds + 1):
        for name in found:
            started = time.perf_counter(), time.process_time()
            if name == "decode":
                decode_all(files)
            else:
                epoch(stores[name], number, augmented=name not in ("fetch", "own"))
            if number:  # the first round warms up
                taken = time.perf_counter() - started[0], time.process_time() - started[1]
                found[name].append((len(names) / taken[0], len(names) / taken[1]))
    return found


def beside(rates: list[tuple[float, float]], yardstick: list[tuple[float, float]]) -> dict[str, float]:
    """Medians: images per second, and their ratio to the yardstick, by the clock and by the processors' time."""
    pairs = list(zip(rates, yardstick, strict=True))
    clock, processor = (statistics.median(each[at] / base[at] for each, base in pairs) for at in (0, 1))
    speed = statistics.median(rate for rate, _ in rates)
    return {"images_per_second": speed, "ratio": clock, "processor_ratio": processor}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep_freed_memory()  # as training does
    warnings.filterwarnings("ignore", message=".*TorchVision are deprecated.*")
    results = {}
    for name, sizes in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), write_files(Path(folder), sizes, arguments.images), arguments.rounds)
        results[name] = {way: beside(rates, found["decode"]) for way, rates in found.items()}
    if arguments.json:
        print(json.dumps(results))
        return
    for name, ways in results.items():
        for way, numbers in ways.items():
            print(
                f"{name:<20} {way:<8} {numbers['images_per_second']:8.0f} images/s  {numbers['ratio']:.2f}  "
                f"{numbers['processor_ratio']:.2f}"
            )


if __name__ == "__main__":
    main()
