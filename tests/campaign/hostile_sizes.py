"""Small files that unpack to gigabytes, numbers and depths beyond all bounds: refused, within bounded memory."""

from __future__ import annotations

import gzip
import io
import random
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.hostile_runs import bounded
from campaign.made import table
from campaign.made_pictures import encoded, fitted, picture, pictures
from campaign.outcomes import accepted, inside, refused
from campaign.trials import LEAK, need, trial

GIB = 2**30
DEPTH = 100_000


@contextmanager
def peak(most: float, what: str) -> Iterator[None]:
    """The process never holds more than `most` GiB beyond what it has, looked at a hundred times a second."""
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    highest = [before]

    def look() -> None:
        while not done.is_set():
            highest[0] = max(highest[0], process.memory_info().rss)
            time.sleep(0.01)

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
    took = (highest[0] - before) / GIB
    need(took <= most, LEAK, f"{what} took {took:.1f} GiB, more than {most} GiB")


def warm(folder: Path) -> None:
    """Load what any run loads, before memory is measured."""
    (folder / "warm").mkdir()
    table(folder / "warm")
    accepted(inside("inspect", "data.csv", "--label", "label", folder=folder / "warm"))


@trial("hostile_sizes")
def gzip_that_unpacks_to_sixty_gigabytes(folder: Path, _: random.Random) -> None:
    warm(folder)
    part = gzip.compress(b"1,2,cat\n" * (2**27 // 8), 9)
    (folder / "d.csv").write_bytes(gzip.compress(b"x,y,label\n") + part * 480)
    with bounded(6 * GIB), peak(6, "a bomb of gzip"):
        outcome = inside("fit", "d.csv", "--label", "label", "--out", "run", folder=folder)
        refused(outcome, "d.csv", "memory", out=folder / "run")


@trial("hostile_sizes", quick=True)
def gzip_that_is_damaged(folder: Path, generator: random.Random) -> None:
    table(folder)
    whole = gzip.compress((folder / "data.csv").read_bytes())
    for content in (whole[:-30], whole[:12], whole[:100] + b"\0" * 50 + whole[150:], whole[:-8] + b"\0" * 8):
        (folder / "d.csv").write_bytes(content)
        refused(inside("fit", "d.csv", "--label", "label", "--out", "run", folder=folder), "d.csv", out=folder / "run")
    (folder / "d.csv").write_bytes(whole)
    accepted(inside("inspect", "d.csv", "--label", "label", folder=folder))


def _npz(path: Path, shape: tuple[int, ...], body: int, *, kind: str = "<f8") -> None:
    """An archive with an array x that says `shape`, and has `body` megabytes of zeros."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": kind, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(head.getvalue())
            for _ in range(body):
                member.write(bytes(2**20))
        labels = io.BytesIO()
        np.save(labels, np.array(["a", "b"] * 20))
        archive.writestr("label.npy", labels.getvalue())


@trial("hostile_sizes")
def npz_that_unpacks_to_gigabytes(folder: Path, _: random.Random) -> None:
    warm(folder)
    _npz(folder / "a.npz", (40, 2**17 * 100), 4096)
    with bounded(2 * GIB), peak(2, "a bomb of npz"):
        outcome = inside("fit", "a.npz", "--label", "label", "--out", "run", folder=folder)
        refused(outcome, "a.npz", out=folder / "run")


@trial("hostile_sizes", quick=True)
def arrays_that_say_more_than_they_have(folder: Path, _: random.Random) -> None:
    fit = ("fit", "a.npz", "--label", "label", "--out", "run")
    for shape, kind in (
        ((40, 10**12), "<f8"),
        ((10**18, 2), "<f8"),
        ((-1, 2), "<f8"),
        ((40, 2), "<f8"),
        ((2**62, 2**62), "|u1"),
    ):
        _npz(folder / "a.npz", shape, 0, kind=kind)
        with bounded(4 * GIB):
            refused(inside(*fit, folder=folder), "a.npz", out=folder / "run")
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": kind, "fortran_order": False, "shape": shape})
        (folder / "x.npy").write_bytes(head.getvalue())
        np.save(folder / "y.npy", np.array([0, 1] * 20))
        with bounded(4 * GIB):
            outcome = inside("fit", "x.npy", "--label", "y.npy", "--out", "run", folder=folder)
            refused(outcome, "x.npy", out=folder / "run")


@trial("hostile_sizes")
def parquet_that_unpacks_to_gigabytes(folder: Path, _: random.Random) -> None:
    warm(folder)
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**6, np.int32)), pa.array(["x" * 500]))
    labels = pa.DictionaryArray.from_arrays(pa.array(np.arange(10**6, dtype=np.int32) % 2), pa.array(["a", "b"]))
    schema = pa.schema([("x", text.type), ("label", labels.type)])
    with pq.ParquetWriter(folder / "t.parquet", schema, store_schema=False) as out:
        for _ in range(40):
            out.write_table(pa.Table.from_arrays([text, labels], schema=schema))
    size = (folder / "t.parquet").stat().st_size
    need(size < 20 * 2**20, LEAK, f"the bomb itself has {size} bytes")
    with bounded(8 * GIB), peak(8, "a bomb of Parquet"):
        outcome = inside("fit", "t.parquet", "--label", "label", "--out", "run", folder=folder)
        refused(outcome, "t.parquet", "memory", out=folder / "run")


@trial("hostile_sizes")
def pictures_as_large_as_may_be(folder: Path, _: random.Random) -> None:
    """89 million pixels are read, in 8 and in 16 bits; each takes gigabytes at most."""
    root = pictures(folder)
    accepted(inside("inspect", "d", folder=folder))
    side = 9400
    for depth, color, channels, most in ((8, 2, 3, 2), (16, 2, 3, 4), (16, 0, 1, 3)):
        row = b"\0" + bytes(side * channels * depth // 8)
        compressor = zlib.compressobj(9)
        packed = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
        head = struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, 0)
        chunks = [(b"IHDR", head), (b"IDAT", packed), (b"IEND", b"")]
        content = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
            for kind, part in chunks
        )
        need(len(content) < 4 * 2**20, LEAK, f"the bomb itself has {len(content)} bytes")
        (root / "cat" / "large.png").write_bytes(content)
        with peak(most, f"a PNG of {depth} bits"):
            found = accepted(inside("inspect", "d", "--json", folder=folder))
        need(sum(each["count"] for each in found["classes"]) == 21, LEAK, f"{found['classes']}")


@trial("hostile_sizes")
def texts_and_profiles_in_pictures_that_unpack_to_gigabytes(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    accepted(inside("inspect", "d", folder=folder))
    zeros = zlib.compressobj(9)
    packed = b"".join(zeros.compress(bytes(2**20)) for _ in range(2048)) + zeros.flush()
    whole = encoded(picture())
    for kind, head in ((b"zTXt", b"key\0\0"), (b"iTXt", b"key\0\1\0\0\0"), (b"iCCP", b"key\0\0")):
        chunk = (
            struct.pack(">I", len(head + packed))
            + kind
            + head
            + packed
            + struct.pack(">I", zlib.crc32(kind + head + packed))
        )
        (root / "cat" / "x.png").write_bytes(whole[:33] + chunk + whole[33:])
        with peak(1, f"a chunk {kind.decode()}"):
            outcome = inside("inspect", "d", "--json", folder=folder)
        if outcome.code:
            refused(outcome, "cat/x.png")
        else:
            need(sum(each["count"] for each in accepted(outcome)["classes"]) == 21, LEAK, outcome.words)


@trial("hostile_sizes", quick=True)
def json_of_absurd_depth_and_numbers(folder: Path, _: random.Random) -> None:
    good = "".join(f'{{"x": {k}, "label": "{"ab"[k % 2]}"}}\n' for k in range(40))
    nines = "9" * 5000
    for text in (
        "[" * DEPTH + "]" * DEPTH,
        '{"a":' * DEPTH + "1" + "}" * DEPTH,
        f'{{"x": {nines}, "label": "a"}}',
        '{"x": NaN, "label": "a"}',
        '{"x": -Infinity, "label": "a"}',
    ):
        (folder / "d.jsonl").write_text(f"{good}{text}\n")
        outcome = inside("fit", "d.jsonl", "--label", "label", "--out", "run", folder=folder)
        refused(outcome, "d.jsonl", out=folder / "run")
    for text in ("[" * DEPTH, '{"a":' * DEPTH, "[" * DEPTH + "]" * DEPTH):
        (folder / "d.json").write_text(text)
        outcome = inside("fit", "d.json", "--label", "label", "--out", "run", folder=folder)
        refused(outcome, "d.json", out=folder / "run")


@trial("hostile_sizes", quick=True)
def grids_of_odd_content(folder: Path, _: random.Random) -> None:
    odd = {
        "depth": "x = " + "[" * DEPTH + "]" * DEPTH,
        "a tag of YAML": "!!python/object/apply:os.mkdir ['executed']",
        "no text": "\xff\xfe\x00",
        "numbers": f"title = {'9' * 5000}",
        "dates": "title = 1979-05-27",
        "a path": '[[cells]]\ndata = "../../../etc/passwd"\nmethod = "elr"\n',
        "code": '[[cells]]\ndata = "digits"\nmethod = "os.system"\n',
        "nothing": "",
        "escapes": 'title = "\\u001b[2J"\n[[cell]]\n',
    }
    for what, text in odd.items():
        (folder / "g.toml").write_bytes(text.encode("latin-1"))
        outcome = inside("bench", "g.toml", "--out", "bench", folder=folder)
        refused(outcome)
        need("\x1b" not in outcome.err, LEAK, f"{what}: {outcome.words!r}")
        need(not (folder / "executed").exists(), LEAK, f"{what} executed something")
        need(not (folder / "bench").exists() or not any((folder / "bench").iterdir()), LEAK, f"{what} left a folder")


@trial("hostile_sizes")
def thousands_of_classes_in_folders(folder: Path, _: random.Random) -> None:
    """Two thousand folders with an image each, all the same: refused or done, in bounded time."""
    content = encoded(picture())
    for number in range(2000):
        (folder / "d" / f"c{number}").mkdir(parents=True)
        (folder / "d" / f"c{number}" / "1.png").write_bytes(content)
    outcome = fitted(folder)
    if outcome.code:
        refused(outcome, "d", out=folder / "run")
    else:
        accepted(outcome)
