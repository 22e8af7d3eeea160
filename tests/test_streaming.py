"""Runs on images that stay on disk: the same pixels, numbers and rows as of a run that holds them in memory."""

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from elr.data.prepared_data import prepare_data
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, CheckpointError, DataError
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


def test_features_that_do_not_fit_lie_in_the_folder_of_the_run_and_make_the_same_run(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("resnet10t", pretrained=False).state_dict(), tmp_path / "w.pt")
    asked = {"backbone": "resnet10t", "weights": str(tmp_path / "w.pt"), "fine_tune": False, "image_size": 32}
    data, options = folder(tmp_path / "data"), ReadOptions(**asked, stream=True)
    monkeypatch.setattr("elr.data.kinds.images.ROWS_AT_ONCE", 20)
    config = replace(CONFIG, epochs=1)
    held = fit(data, out=tmp_path / "held", options=options, config=config, test=data).fitted
    places = []
    monkeypatch.setattr("elr.data.pictures.streaming.memory_to_use", lambda limit: 1)
    make = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **asked: places.append(asked["dir"]) or make(**asked))
    mapped = fit(data, out=tmp_path / "mapped", options=options, config=config, test=data).fitted
    assert len(places) == 4  # of training and test data, as they were made and scaled
    assert set(places) == {tmp_path}  # the folder of the run is not there yet
    assert mapped.run["data"]["sha256"] == held.run["data"]["sha256"]
    assert (mapped.out / "issues.csv").read_text() == (held.out / "issues.csv").read_text()
    assert {path.name for path in mapped.out.iterdir()} == {path.name for path in held.out.iterdir()}


def stopped(data, out, options):
    """A run that was killed in its second epoch."""

    class Stopped(Exception):
        pass

    def stop(_, progress):
        if progress.step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        fit(data, out=out, options=options, config=CONFIG, on_progress=stop)
    return out


def resumed(data, out, options):
    return fit(data, out=out, options=options, config=CONFIG, resume=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_streamed_run_is_resumed_by_its_index(kind, tmp_path, monkeypatch):
    data, options = made(kind, tmp_path / "data")
    whole = fit(data, out=tmp_path / "whole", options=streamed(options), config=CONFIG)
    out = stopped(data, tmp_path / "run", streamed(options))
    monkeypatch.setattr("elr.data.formats.image_files.tars.open_tars", None)  # the shards are not looked through again
    again = resumed(data, out, options)  # it streams as it did, whatever is asked for now
    assert again.fitted.history[-1]["loss"] == whole.fitted.history[-1]["loss"]
    assert again.fitted.run["data"]["streamed"]


def test_a_run_in_memory_goes_on_in_memory(tmp_path):
    data, options = made("folder", tmp_path / "data")
    out = stopped(data, tmp_path / "run", options)
    assert not resumed(data, out, streamed(options)).fitted.run["data"]["streamed"]


def gone(data):
    (data / "dog" / "004.png").unlink()


def new(data):
    (data / "dog" / "new.png").write_bytes(picture(4))


def changed(data):
    (data / "dog" / "004.png").write_bytes(picture(5))


def shard_gone(data):
    (data / "train-1.tar").unlink()


def shard_new(data):
    shutil.copy2(data / "train-1.tar", data / "train-9.tar")


def shard_cut(data):
    os.truncate(data / "train-1.tar", 2000)


def shard_touched(data):
    os.utime(data / "train-1.tar", ns=(1, 1))


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("folder", gone, r"have changed: dog/004.png of the run are missing"),
        ("folder", new, r"have changed: dog/new.png are new"),
        ("folder", changed, r"image \S*dog/004.png is not the file with which the run began \(one of 1"),
        ("tars", shard_gone, r"shard train-1.tar of the run is missing"),
        ("tars", shard_new, r"shard train-9.tar is new"),
        ("tars", shard_cut, r"shard \S*train-1.tar has 2,000 bytes, [\d,]+ when the run began: it was cut short"),
        ("tars", shard_touched, r"shard \S*train-1.tar was written since the run began"),
    ],
)
def test_files_that_changed_since_the_run_began_are_named_before_anything_happens(kind, change, said, tmp_path):
    data, options = made(kind, tmp_path / "data")
    out = stopped(data, tmp_path / "run", streamed(options))
    change(data)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(CheckpointError, match=said):
        resumed(data, out, options)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_run_that_was_killed_before_its_index_was_written_makes_it(tmp_path):
    data, options = made("tars", tmp_path / "data")
    out = stopped(data, tmp_path / "run", streamed(options))
    (out / "index.parquet").unlink()
    assert resumed(data, out, options).fitted.run["data"]["streamed"]
    assert pq.read_table(out / "index.parquet")["label"].to_pylist()[:3] == list(CLASSES)


def test_labels_of_a_run_with_noise_are_resumed_as_they_were(tmp_path):
    data, options = made("tars", tmp_path / "data")
    noisy = {"noise": ("symmetric", 0.4), "config": CONFIG}
    whole = fit(data, out=tmp_path / "run", options=streamed(options), **noisy)
    run = json.loads((whole.fitted.out / "run.json").read_text())
    (whole.fitted.out / "run.json").write_text(json.dumps(run | {"status": "running"}))
    assert fit(data, out=tmp_path / "run", options=options, resume=True, **noisy).fitted.run["status"] == "complete"


def test_memory_decides_on_streaming(tmp_path, monkeypatch):
    data = folder(tmp_path / "data")
    count = COUNT * 3 * 16 * 16
    monkeypatch.setattr("elr.data.pictures.streaming.memory_to_use", lambda limit: limit or 10 * count)
    assert prepare_data(data, ReadOptions()).streamed is None
    found = prepare_data(data, ReadOptions(max_memory=2 * count))
    assert found.streamed is not None
    assert "since memory does not hold them" in found.records.remarks[-1]
    assert prepare_data(data, ReadOptions(max_memory=2 * count, stream=False)).streamed is None


def test_test_data_are_streamed_too(tmp_path):
    data = folder(tmp_path / "data")
    found = prepare_data(data, ReadOptions(stream=True), test=data)
    assert found.test.inputs.shape == (COUNT, 3, 16, 16)
    assert "48 of 48 rows of the test data (100.0%) stand in the training data" in found.findings[-1].text


def test_what_cannot_be_streamed_says_so(tmp_path):
    with pytest.raises(ArgumentError, match="no image files or shards that could be streamed"):
        prepare_data((np.eye(4), [0, 1, 0, 1]), ReadOptions(stream=True))


def test_new_images_need_no_table_of_names(tmp_path):
    """A run on a table of names predicts, and is tested on, images that lie otherwise."""
    data, options = made("named", tmp_path / "data")
    fitted = fit(data, out=tmp_path / "run", options=streamed(options), config=replace(CONFIG, epochs=1)).fitted
    found = [predict(fitted.out, new) for new in (data.parent / "files", tars(tmp_path / "tars"))]
    assert [len(each) for each in found] == [COUNT, COUNT]
    probs = [each.set_index(each["id"].str[-7:-4] if not n else each["id"].str[-3:]) for n, each in enumerate(found)]
    assert probs[0].sort_index()["prob_cat"].tolist() == probs[1].sort_index()["prob_cat"].tolist()


# An image that cannot be read


@pytest.mark.parametrize("kind", KINDS)
def test_unreadable_images_are_left_out_as_in_memory_or_end_the_run(kind, tmp_path, monkeypatch):
    whole = picture(7)
    monkeypatch.setattr(__name__ + ".picture", lambda n, make=picture: whole[:90] if n == 7 else make(n))
    data, options = made(kind, tmp_path / "data")
    skip = {"skip_unreadable": True}
    held = prepare_data(data, ReadOptions(**options.to_json() | skip))
    found = prepare_data(data, ReadOptions(**options.to_json() | skip, stream=True))
    assert len(found.examples) == len(held.examples) == COUNT - 1
    assert found.records.rows.tolist() == held.records.rows.tolist()
    assert found.records.ids == held.records.ids
    assert any(remark.startswith("unreadable image left out: ") for remark in found.records.remarks)
    with pytest.raises(DataError, match=r"image .* cannot be read .*--skip-unreadable"):
        fit(data, out=tmp_path / "run", options=streamed(options), config=CONFIG)
    out = stopped(data, tmp_path / "skipped", ReadOptions(**options.to_json() | skip, stream=True))
    monkeypatch.setattr("elr.data.pictures.image_store.ImageStore.unreadable", None)  # it is known which they are
    again = resumed(data, out, ReadOptions(**options.to_json() | skip))
    assert again.fitted.results["num_examples"] == COUNT - 1


# Memory and ranks

GROWTH = """
import resource, sys
from pathlib import Path
from elr.data.records import ReadOptions
from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

config = FitConfig(network="linear", epochs=1, members=1, device="cpu", max_memory=20_000_000)
for name in ("small", "large"):
    outcome = fit(Path(sys.argv[1], name), out=Path(sys.argv[1], f"{name}-run"), options=ReadOptions(stream=None if
        name == "large" else True), config=config)
    assert outcome.fitted.run["data"]["streamed"]
    print(peak())
"""


def test_memory_does_not_grow_with_the_images(tmp_path):
    """3,600 images of 64 pixels are 44 MB decoded; 20 MB may be taken; what 1,200 of them take is the baseline."""
    for name, count in (("small", 1_200), ("large", 3_600)):
        for number in range(count):
            path = tmp_path / name / CLASSES[number % 3] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (number % 251, 100 * (number % 3), 50)).save(path)
    found = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path)], capture_output=True, text=True, check=True, timeout=200
    )
    small, large = map(int, found.stdout.split())
    assert large - small < 20_000_000  # the images between them are 29 MB


def test_two_ranks_give_what_one_process_gives(tmp_path):
    data, _ = made("tars", tmp_path / "data")
    asked = ["fit", str(data), "--stream", "--epochs", "3", "--network", "linear", "--members", "1", "--batch-size"]
    asked += ["16", "--device", "cpu", "--precision", "float32", "--out"]
    launch = {
        "one": [sys.executable, "-m", "elr"],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "elr"],
    }
    for name, command in launch.items():
        subprocess.run([*command, *asked, str(tmp_path / name)], capture_output=True, check=True, timeout=200)
    one, two = (pq.read_table(tmp_path / name / "evidence.parquet").to_pandas() for name in launch)
    assert one.columns.equals(two.columns)
    for name in one.select_dtypes("number"):
        np.testing.assert_allclose(one[name], two[name], atol=1e-5)
    assert json.loads((tmp_path / "two" / "run.json").read_text())["num_processes"] == 2
    assert [path.name for path in (tmp_path / "two").iterdir() if "partial" in path.name] == []
