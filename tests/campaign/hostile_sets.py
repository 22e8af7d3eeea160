"""Published data sets as a stranger would hand them out: pickles, tars whose members climb out or go in circles."""

from __future__ import annotations

import io
import mmap
import pickle
import random
import tarfile
from pathlib import Path

import numpy as np

from campaign.hostile import Payload, nothing_ran, pickled
from campaign.made_pictures import encoded, picture
from campaign.outcomes import inside, refused
from campaign.trials import EXECUTED, SILENT, need, trial
from elr.data.pictures.tar_members import members
from elr.errors import DataError


@trial("hostile_sets", quick=True)
def cifar_as_pickles_that_execute(folder: Path, _: random.Random) -> None:
    """Its archives are pickles; they are read only where their checksums are those of the authors."""
    root = folder / "cifar" / "cifar-10-batches-py"
    root.mkdir(parents=True)
    for name in ("batches.meta", "test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (root / name).write_bytes(pickle.dumps({b"data": Payload(folder), b"labels": Payload(folder)}))
    for place in ("cifar", "cifar/cifar-10-batches-py"):
        outcome = inside("data", "check", "cifar10", place, folder=folder)
        need(outcome.code == 2, SILENT, outcome.words)
        nothing_ran(folder, "data check")
        outcome = inside("run", "cifar10-symmetric40-elr", "--data", place, "--out", "run", folder=folder)
        need(outcome.code == 2, SILENT, outcome.words)
        nothing_ran(folder, "run")


@trial("hostile_sets", quick=True)
def human_labels_that_execute(folder: Path, _: random.Random) -> None:
    root = folder / "cifar"
    root.mkdir()
    for name in ("train.bin", "test.bin", "data_batch_1.bin", "test_batch.bin"):
        (root / name).write_bytes(bytes(3073 * 20))
    arrays = io.BytesIO()
    np.save(arrays, np.array([Payload(folder)], dtype=object))
    labels = pickled(folder) | {"npy": arrays.getvalue()}
    for what, content in labels.items():
        for name in ("CIFAR-10_human.pt", "CIFAR-10_human.npy", "CIFAR-10_human_ordered.npy", "image_order_c10.npy"):
            (root / name).write_bytes(content)
        for name in ("CIFAR-10_human.pt", "CIFAR-10_human.npy"):
            options = ("--labels", root / name)
            outcome = inside("data", "check", "cifar10n-worse", "cifar", *options, folder=folder)
            need(outcome.code == 2, SILENT, f"{what}: {outcome.words}")
            nothing_ran(folder, f"{what} in {name}")


def _tar(path: Path, entries: list[tuple[str, bytes, dict[str, object]]], kind: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=kind) as tar:
        for name, content, about in entries:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for attribute, value in about.items():
                setattr(member, attribute, value)
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def _members(path: Path) -> list[tuple[bytes, str, int, int]]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return members(path, content)[0]


@trial("hostile_sets", quick=True, seconds=30)
def tars_whose_members_climb_out(folder: Path, _: random.Random) -> None:
    """They are read where they lie: no member becomes a file, links and devices are passed over."""
    (folder / "inner").mkdir()
    entries: list[tuple[str, bytes, dict[str, object]]] = [
        ("../../climbed.jpg", b"x" * 700, {}),
        ("/tmp/elr-climbed.jpg", b"x", {}),
        ("link.jpg", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
        ("hard.jpg", b"", {"type": tarfile.LNKTYPE, "linkname": "../../x"}),
        ("device.jpg", b"", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5}),
        ("pipe.jpg", b"", {"type": tarfile.FIFOTYPE}),
        ("a" * 300 + ".jpg", encoded(picture()), {}),
    ]
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        found = _members(_tar(folder / "inner" / "s.tar", entries, kind))
        need(len(found) == 3, SILENT, f"{len(found)} members of 3")
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    need(there == ["inner", "inner/s.tar"], EXECUTED, f"files came of it: {there}")
    need(not Path("/tmp/elr-climbed.jpg").exists(), EXECUTED, "a file was written outside")


@trial("hostile_sets", quick=True, seconds=30)
def tars_that_go_round_in_circles(folder: Path, generator: random.Random) -> None:
    """Sizes below zero, beyond the file, and bytes changed at random: an end, and one of a few errors."""
    whole = bytearray(_tar(folder / "s.tar", [(f"{k}.jpg", b"x" * 600, {}) for k in range(4)]).read_bytes())
    for size in (-512, -1536, -(2**60), 2**60, 2**90):
        content = whole.copy()
        header = content[1536:2048]
        header[124:136] = (size % 2**95).to_bytes(12, "big") if size < 0 else size.to_bytes(12, "big")
        header[124] |= 0xFF if size < 0 else 0x80
        header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
        content[1536:2048] = header
        (folder / "s.tar").write_bytes(content)
        try:
            found = _members(folder / "s.tar")
        except DataError as error:
            need("s.tar" in str(error), SILENT, str(error))
        else:
            need(False, SILENT, f"a size of {size} was read: {found}")
    for _ in range(200):
        content = whole.copy()
        for _ in range(generator.choice((1, 5))):
            content[generator.randrange(len(content))] = generator.randrange(256)
        (folder / "s.tar").write_bytes(content)
        try:
            need(
                all(at + size <= len(content) for _, _, at, size in _members(folder / "s.tar")),
                SILENT,
                "beyond the file",
            )
        except DataError:
            pass


@trial("hostile_sets", quick=True)
def workbooks_and_archives_for_data(folder: Path, _: random.Random) -> None:
    """Excel files, zips and tars are refused by name, whatever is in them; none is unpacked."""
    import zipfile

    for name in ("d.xlsx", "d.zip", "d.tar", "d.7z", "d.csv", "d.parquet", "d.npz", "d.jsonl"):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr("../../climbed.csv", "x,label\n1,a\n")
            archive.writestr("xl/workbook.xml", '<!DOCTYPE x [<!ENTITY a "a"><!ENTITY b "&a;&a;">]><x>&b;</x>')
        outcome = inside("fit", name, "--label", "label", "--out", "run", folder=folder)
        refused(outcome, name, out=folder / "run")
        (folder / name).unlink()
    need(not list(folder.iterdir()), EXECUTED, "something was unpacked")
