"""Tables and Parquet files that name or hold images, as people have them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.made_pictures import BLUE, RED, counts, encoded, fitted, near, picture, pictures
from campaign.outcomes import accepted, inside, no_leftovers, refused
from campaign.trials import SILENT, need, trial
from elr.data.reading import read_data
from elr.data.records import ReadOptions

LABEL = ("--label", "label")
IMAGE = ("--image", "file", *LABEL)


def _named(folder: Path, rename: Callable[[str], object] = str, **columns: Any) -> pd.DataFrame:
    """t.csv, whose column file names the images of the folder d."""
    root = pictures(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in root.rglob("*.png"))
    frame = pd.DataFrame({"file": [rename(name) for name in names], "label": [name.split("/")[1] for name in names]})
    frame = frame.assign(**columns)
    frame.to_csv(folder / "t.csv", index=False)
    return frame


def _rows(folder: Path, count: int, *more: object) -> dict[str, Any]:
    found = accepted(fitted(folder, *IMAGE, *more, data="t.csv"))
    need(found["num_examples"] == count, SILENT, f"{found['num_examples']} rows of {count}")
    return found


@trial("picture_tables", quick=True)
def names_from_the_table_on(folder: Path, _: random.Random) -> None:
    _named(folder)
    _rows(folder, 20)
    records = read_data(folder / "t.csv", ReadOptions(label="label", image="file"))
    assert records.images is not None
    for row, color in ((0, RED), (19, BLUE)):
        near(records.images[row].permute(1, 2, 0).numpy(), color, f"row {row}")


@trial("picture_tables")
def absolute_names(folder: Path, _: random.Random) -> None:
    _named(folder, lambda name: folder / name)
    _rows(folder, 20)


@trial("picture_tables")
def names_without_the_folder(folder: Path, _: random.Random) -> None:
    _named(folder, lambda name: name.removeprefix("d/"))
    _rows(folder, 20)


@trial("picture_tables", quick=True)
def names_with_backslashes(folder: Path, _: random.Random) -> None:
    """As Windows writes them: read, or refused with a name; never another image."""
    _named(folder, lambda name: name.replace("/", "\\"))
    outcome = fitted(folder, *IMAGE, data="t.csv")
    if outcome.code:
        refused(outcome, "t.csv", "000.png", out=folder / "run")
    else:
        need(accepted(outcome)["num_examples"] == 20, SILENT, "rows were lost")


@trial("picture_tables")
def addresses_of_the_net(folder: Path, _: random.Random) -> None:
    _named(folder, lambda name: f"https://example.invalid/{name}")
    refused(fitted(folder, *IMAGE, data="t.csv"), "t.csv", "https://example.invalid", out=folder / "run")


@trial("picture_tables")
def addresses_of_files(folder: Path, _: random.Random) -> None:
    _named(folder, lambda name: f"file://{folder / name}")
    refused(fitted(folder, *IMAGE, data="t.csv"), "t.csv", "file://", out=folder / "run")


@trial("picture_tables", quick=True)
def images_that_are_not_there(folder: Path, _: random.Random) -> None:
    frame = _named(folder)
    (folder / frame["file"][3]).unlink()
    (folder / frame["file"][7]).unlink()
    refused(fitted(folder, *IMAGE, data="t.csv"), "line 5", "2 of 20", "d/cat/003.png", out=folder / "run")
    found = _rows(folder, 18, "--skip-unreadable")
    need(any("003.png" in each for each in found["remarks"]), SILENT, f"not said: {found['remarks']}")


@trial("picture_tables")
def cells_that_are_empty(folder: Path, _: random.Random) -> None:
    frame = _named(folder)
    frame.loc[4, "file"] = None
    frame.to_csv(folder / "t.csv", index=False)
    refused(fitted(folder, *IMAGE, data="t.csv"), "t.csv", "line 6", out=folder / "run")
    _rows(folder, 19, "--skip-unreadable")


@trial("picture_tables")
def folders_and_devices_for_images(folder: Path, _: random.Random) -> None:
    os.mkfifo(folder / "pipe.png")
    for name in ("d", "pipe.png", "/dev/zero", "d/cat/../../t.csv"):
        frame = pd.DataFrame(
            {"file": [name] * 10 + [f"d/dog/00{k}.png" for k in range(10)], "label": [*"a" * 10, *"b" * 10]}
        )
        if not (folder / "d").exists():
            pictures(folder)
        frame.to_csv(folder / "t.csv", index=False)
        refused(fitted(folder, *IMAGE, data="t.csv"), name, out=folder / "run")


@trial("picture_tables")
def a_label_of_the_table_against_the_folder(folder: Path, _: random.Random) -> None:
    """The label is that of the table; a row stands for itself though two name one image."""
    frame = _named(folder)
    frame["label"] = ["x", "y"] * 10
    frame.loc[1, "file"] = frame.loc[0, "file"]
    frame.to_csv(folder / "t.csv", index=False)
    need(counts(folder, *IMAGE, data="t.csv") == {"x": 10, "y": 10}, SILENT, "labels")
    _rows(folder, 20)


@trial("picture_tables")
def images_without_being_asked(folder: Path, _: random.Random) -> None:
    """A table of nothing but names of images is one of images; with other columns, people are told."""
    _named(folder)
    found = accepted(inside("inspect", "t.csv", *LABEL, "--json", folder=folder))
    need(found["kind"] == "images", SILENT, f"{found['kind']}")
    _named_again = pd.read_csv(folder / "t.csv").assign(width=range(20))
    _named_again.to_csv(folder / "t.csv", index=False)
    found = accepted(inside("inspect", "t.csv", *LABEL, "--json", folder=folder))
    said = [*found["remarks"], *(each["text"] for each in found["warnings"])]
    need(any("--image file" in each for each in said), SILENT, f"nothing said: {said}")


@trial("picture_tables", quick=True)
def corrected_names_stay_as_they_are(folder: Path, _: random.Random) -> None:
    _named(folder)
    _rows(folder, 20)
    (folder / "decisions.csv").write_text("row,id,given_label,decision,label\n0,,cat,relabel,dog\n")
    before = (folder / "t.csv").read_bytes()
    accepted(inside("clean", "run", "--decisions", "decisions.csv", "--out", "new.csv", "--json", folder=folder))
    expected = before.replace(b"d/cat/000.png,cat", b"d/cat/000.png,dog")
    need((folder / "new.csv").read_bytes() == expected, SILENT, "more than one label has changed")
    need((folder / "t.csv").read_bytes() == before, SILENT, "the original has changed")
    no_leftovers(folder)


def _images(count: int = 20) -> tuple[list[bytes], list[str]]:
    labels = ["cat", "dog"] * (count // 2)
    return [encoded(picture(RED if label == "cat" else BLUE, seed=k)) for k, label in enumerate(labels)], labels


def _parquet(folder: Path, images: Any, labels: list[Any], **more: Any) -> None:
    pq.write_table(pa.table({"image": images, "label": labels}), folder / "t.parquet", **more)


def _fit_parquet(folder: Path, *more: object) -> Any:
    return fitted(folder, *LABEL, *more, data="t.parquet")


@trial("picture_tables", quick=True)
def parquet_of_records_some_of_them_null(folder: Path, _: random.Random) -> None:
    content, labels = _images()
    records: list[Any] = [{"bytes": each, "path": f"{k}.png"} for k, each in enumerate(content)]
    records[3], records[5], records[7] = None, {"bytes": None, "path": None}, {"bytes": b"", "path": "none.png"}
    _parquet(folder, pa.array(records), labels)
    refused(_fit_parquet(folder), "row 3", out=folder / "run")
    found = accepted(_fit_parquet(folder, "--skip-unreadable"))
    need(found["num_examples"] == 17, SILENT, f"{found['num_examples']} rows of 17")
    lines = pd.read_csv(folder / "run" / "issues.csv")
    need(not set(lines["row"]) & {3, 5, 7}, SILENT, "a row without an image was ranked")
    given = lines.set_index("row")["given_label"]
    need(all(given[row] == labels[row] for row in given.index), SILENT, "labels went to other rows")


@trial("picture_tables")
def parquet_of_nothing_but_null(folder: Path, _: random.Random) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    _parquet(folder, pa.array([None] * 10, kind), ["a", "b"] * 5)
    refused(_fit_parquet(folder), "row 0", out=folder / "run")
    refused(_fit_parquet(folder, "--skip-unreadable"), "none of the 10 images", out=folder / "run")
    _parquet(folder, pa.array([], kind), pa.array([], pa.string()))
    refused(_fit_parquet(folder), "t.parquet", out=folder / "run")


@trial("picture_tables")
def parquet_of_images_in_other_types(folder: Path, _: random.Random) -> None:
    content, labels = _images()
    for kind in (pa.binary(), pa.large_binary()):
        _parquet(folder, pa.array(content, kind), labels, row_group_size=3)
        need(counts(folder, *LABEL, data="t.parquet") == {"cat": 10, "dog": 10}, SILENT, f"{kind}")
    _parquet(folder, pa.array(content).dictionary_encode(), pa.array(labels).dictionary_encode())
    need(counts(folder, *LABEL, data="t.parquet") == {"cat": 10, "dog": 10}, SILENT, "dictionaries")
    struct = pa.array([{"path": None, "bytes": each, "more": 1} for each in content])
    _parquet(folder, struct, [k % 2 for k in range(20)])
    need(counts(folder, *LABEL, data="t.parquet") == {"0": 10, "1": 10}, SILENT, "numbers as labels")


@trial("picture_tables")
def parquet_of_records_with_odd_fields(folder: Path, _: random.Random) -> None:
    """Bytes that are text or numbers, paths that are numbers: refused or right."""
    content, labels = _images()
    odd = {
        "'image'": [
            pa.array([{"bytes": "x", "path": "p"}] * 20),
            pa.array([{"bytes": 7, "path": 3}] * 20),
            pa.array([{"bytes": [1, 2], "path": ["p"]}] * 20),
            pa.array([[("bytes", each)] for each in content], pa.map_(pa.string(), pa.binary())),
        ],
        "3": [pa.array([{"bytes": None, "path": 3}] * 20)],
        "x.png": [pa.array([{"bytes": None, "path": None if k else "x.png"} for k in range(20)])],
    }
    for word, column in ((word, each) for word, columns in odd.items() for each in columns):
        _parquet(folder, column, labels)
        refused(_fit_parquet(folder), word, out=folder / "run")


@trial("picture_tables")
def parquet_that_names_files_beside_it(folder: Path, _: random.Random) -> None:
    pictures(folder)
    names = [f"d/{kind}/00{k}.png" for k in range(10) for kind in ("cat", "dog")]
    _parquet(folder, pa.array([{"bytes": None, "path": name} for name in names]), ["cat", "dog"] * 10)
    found = accepted(_fit_parquet(folder))
    need(found["num_examples"] == 20, SILENT, f"{found['num_examples']} rows")
    os.mkfifo(folder / "pipe.png")
    for name in ("pipe.png", "/dev/zero", "d", "gone.png"):
        _parquet(folder, pa.array([{"bytes": None, "path": name}] * 20), ["cat", "dog"] * 10)
        refused(inside("fit", "t.parquet", *LABEL, "--out", "run2", folder=folder), name, out=folder / "run2")


@trial("picture_tables")
def parquet_that_is_truncated(folder: Path, generator: random.Random) -> None:
    content, labels = _images()
    _parquet(folder, pa.array(content), labels)
    whole = (folder / "t.parquet").read_bytes()
    for _ in range(5):
        (folder / "t.parquet").write_bytes(whole[: generator.randrange(4, len(whole))])
        refused(_fit_parquet(folder), "t.parquet", out=folder / "run")


@trial("picture_tables", quick=True)
def arrays_of_images_in_odd_shapes(folder: Path, _: random.Random) -> None:
    labels = np.array(["cat", "dog"] * 10)
    for shape, kind, word in (
        ((20, 16, 16, 3), "uint8", "transpose"),
        ((20, 3, 16, 16), "float32", "uint8"),
        ((20, 3, 16, 16), "uint16", "uint8"),
        ((20, 2, 16, 16), "uint8", "channels"),
        ((20, 3, 0, 16), "uint8", "a.npz"),
        ((0, 3, 16, 16), "uint8", "no rows"),
    ):
        np.savez(folder / "a.npz", x=np.zeros(shape, kind), label=labels[: shape[0]])
        refused(inside("fit", "a.npz", *LABEL, "--out", "run", folder=folder), word, out=folder / "run")
