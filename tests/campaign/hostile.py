"""Files made to execute something: nothing in them is, and they are refused by name."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer
from skops import io as skops_io

from campaign.made import table
from campaign.made_pictures import pictures
from campaign.outcomes import Outcome, accepted, contents, inside, refused
from campaign.trials import EXECUTED, SILENT, UNCLEAR, NotHere, need, trial
from elr.training.checkpoints import Checkpoints

FIT = ("fit", "data.csv", "--label", "label", "--epochs", "2", "--members", "1", "--out", "run", "--json")
LABELS = np.array(["cat", "dog"] * 20)
NUMBERS = np.tile(np.eye(2), (20, 1))


class Payload:
    """Makes the folder `executed` when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder / "executed"),)


def nothing_ran(folder: Path, what: str) -> None:
    need(not (folder / "executed").exists(), EXECUTED, f"{what} executed what it was told to")


def pickled(folder: Path) -> dict[str, bytes]:
    """The payload in each way in which files of PyTorch hold objects."""
    whole, old = io.BytesIO(), io.BytesIO()
    torch.save({"weight": Payload(folder)}, whole)
    torch.save({"weight": Payload(folder)}, old, _use_new_zipfile_serialization=False)
    return {"pickle": pickle.dumps(Payload(folder)), "torch": whole.getvalue(), "old torch": old.getvalue()}


def lying(header: dict[str, Any] | bytes, *, length: int | None = None, body: bytes = b"\0" * 64) -> bytes:
    """A safetensors file whose header says what it likes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", (len(text) if length is None else length) % 2**64) + text + body


def _tensor(start: int, end: int, shape: list[int], kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


LIES = {
    "a header of 2^63 bytes": lying({}, length=2**63),
    "a header of 90 GB": lying({}, length=90 * 10**9),
    "a header of -1 bytes": lying({}, length=-1),
    "offsets beyond the file": lying({"a": _tensor(0, 10**12, [25 * 10**10])}),
    "offsets that overlap": lying({"a": _tensor(0, 64, [16]), "b": _tensor(32, 64, [8])}),
    "negative offsets": lying({"a": _tensor(-64, 0, [16])}),
    "an end before its start": lying({"a": _tensor(64, 0, [16])}),
    "a shape beyond its offsets": lying({"a": _tensor(0, 64, [2**40, 2**40])}),
    "an unknown type": lying({"a": _tensor(0, 64, [16], "PICKLE")}),
    "JSON of absurd depth": lying(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "no header": b"\0" * 3,
}


def a_run(folder: Path) -> Path:
    """The folder of a run on a table, and the table."""
    if not (folder / "run").exists():
        table(folder)
        accepted(inside(*FIT, folder=folder))
    return folder / "run"


def every_command(folder: Path, run: str = "run", data: str = "data.csv") -> list[Outcome]:
    """What all commands on a run say of it: done, or refused; never anything else."""
    (folder / "none.csv").write_text("row,id,given_label,decision,label\n")
    out = Path(f"{len(list(folder.iterdir()))}")
    (folder / out).mkdir()
    commands: list[tuple[object, ...]] = [
        ("report", run, "--out", out / "r.html"),
        (
            "audit",
            run,
            "--export",
            out / "a.csv",
            "--export-label-studio",
            out / "l.json",
            "--export-cleanlab",
            out / "c",
        ),
        ("audit", run, "--export-cvat", out / "v.zip"),
        ("audit", run, "--export-fiftyone", out / "f"),
        ("explain", run, "0"),
        ("predict", run, data, "--out", out / "p.csv"),
        ("export", run, "--torch-export", out / "m.pt2"),
        ("clean", run, "--decisions", "none.csv", "--out", out / Path(data).name),
    ]
    outcomes = [inside(*command, folder=folder) for command in commands]
    for outcome in outcomes:
        if outcome.code:
            refused(outcome)
    return outcomes


@trial("hostile", quick=True)
def pickles_in_arrays(folder: Path, _: random.Random) -> None:
    bad = np.array([Payload(folder)] * 40, dtype=object)
    fit = ("fit", "a.npz", "--label", "label", "--epochs", "2", "--out", "run")
    for name, arrays in {
        "labels": {"x": NUMBERS, "label": bad},
        "features": {"x": bad, "label": LABELS},
        "both": {"x": bad.reshape(20, 2), "label": bad},
    }.items():
        np.savez(folder / "a.npz", **arrays)
        refused(inside(*fit, folder=folder), "a.npz", "pickled", out=folder / "run")
        nothing_ran(folder, name)
    np.savez(folder / "a.npz", x=NUMBERS, label=LABELS, more=bad)
    need(
        accepted(inside(*fit, "--json", folder=folder))["num_examples"] == 40, SILENT, "a third array stood in the way"
    )
    (folder / "d.csv").write_text("row,id,given_label,decision,label\n0,,cat,relabel,dog\n")
    accepted(inside("clean", "run", "--decisions", "d.csv", "--out", "new.npz", folder=folder))
    nothing_ran(folder, "clean")
    np.save(folder / "x.npy", bad)
    np.save(folder / "y.npy", LABELS)
    npy = ("fit", "x.npy", "--label", "y.npy", "--out", "run2")
    refused(inside(*npy, folder=folder), "x.npy", "pickled", out=folder / "run2")
    for name, content in pickled(folder).items():
        (folder / "x.npy").write_bytes(content)
        (folder / "a.npz").write_bytes(content)
        refused(inside(*npy, folder=folder), "x.npy", out=folder / "run2")
        refused(inside(*fit[:-1], "run2", folder=folder), "a.npz", out=folder / "run2")
        nothing_ran(folder, name)


@trial("hostile")
def members_of_an_archive_that_climb_out(folder: Path, _: random.Random) -> None:
    inner = folder / "inner"
    inner.mkdir()
    buffer = io.BytesIO()
    np.save(buffer, NUMBERS)
    with zipfile.ZipFile(inner / "a.npz", "w") as archive:
        for name in ("../../x.npy", "/tmp/elr-hostile.npy", "..\\y.npy", "x.npy"):
            archive.writestr(name, buffer.getvalue())
        labels = io.BytesIO()
        np.save(labels, LABELS)
        archive.writestr("label.npy", labels.getvalue())
    options = ("--label", "label", "--epochs", "2", "--out", "run")
    ignored = ("--ignore", "../../x", "--ignore", "/tmp/elr-hostile", "--ignore", "..\\y")
    outcome = inside("fit", "a.npz", *options, folder=inner)
    refused(outcome, "a.npz", "--ignore", out=inner / "run")
    accepted(inside("fit", "a.npz", *options, *ignored, folder=inner))
    (inner / "d.csv").write_text("row,id,given_label,decision,label\n0,,cat,relabel,dog\n")
    accepted(inside("clean", "run", "--decisions", "d.csv", "--out", "new.npz", folder=inner))
    found = {str(path.relative_to(folder)) for path in folder.rglob("*.npy")}
    need(not found and not Path("/tmp/elr-hostile.npy").exists(), EXECUTED, f"written: {found}")


@trial("hostile", quick=True)
def a_preprocessing_of_foreign_types(folder: Path, _: random.Random) -> None:
    run = a_run(folder)
    path = run / "preprocessing.skops"
    good = path.read_bytes()
    path.unlink()
    skops_io.dump(FunctionTransformer(os.mkdir, kw_args={}), path)
    bad = {"a function of os": path.read_bytes()} | pickled(folder)
    for what, other in {"a class of scikit-learn": LogisticRegression(), "a list": [1, 2], "a text": "x"}.items():
        path.unlink()
        skops_io.dump(other, path)
        bad[what] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../climbed.txt", "x")
        archive.writestr("schema.json", '{"__class__":' + "[" * 100_000 + "]" * 100_000 + "}")
    bad["JSON of absurd depth"] = buffer.getvalue()
    bad["nothing"] = b""
    for what, content in bad.items():
        path.write_bytes(content)
        for command in (("predict", "run", "data.csv", "--out", "p.csv"), ("export", "run", "--torch-export", "m.pt2")):
            refused(inside(*command, folder=folder), "preprocessing.skops")
        nothing_ran(folder, what)
        need(not (folder / "p.csv").exists(), SILENT, f"{what}: predictions were written")
    path.write_bytes(good)
    accepted(inside("predict", "run", "data.csv", "--out", "p.csv", folder=folder))


def replaced(folder: Path, name: str, contents_of: dict[str, bytes], command: tuple[object, ...]) -> None:
    """A command refuses each of some contents of a file in a run, by the name of that file."""
    for what, content in contents_of.items():
        (folder / "run" / name).write_bytes(content)
        outcome = refused(inside(*command, folder=folder))
        need(name in outcome.err, UNCLEAR, f"{what} in {name}: {outcome.words}")
        nothing_ran(folder, f"{what} in {name}")


@trial("hostile", quick=True)
def weights_of_a_run_that_lie_or_execute(folder: Path, _: random.Random) -> None:
    run = a_run(folder)
    before = contents(run)
    predict = ("predict", "run", "data.csv", "--out", "p.csv")
    save_file({"other": torch.zeros(3)}, folder / "other.safetensors")
    others = {"another network's": (folder / "other.safetensors").read_bytes()}
    replaced(folder, "model.safetensors", LIES | pickled(folder) | others, predict)
    for name in ("pytorch_model.bin", "model.pt", "model.pkl", "custom.py", "__init__.py", "conftest.py"):
        (run / name).write_bytes(pickled(folder)["pickle"])
    (run / "model.safetensors").unlink()
    refused(inside(*predict, folder=folder), "model.safetensors")
    nothing_ran(folder, "a pickle beside the weights")
    need(before.keys() <= contents(run).keys() | {"model.safetensors"}, SILENT, "files of the run are gone")


@trial("hostile", quick=True)
def evidence_and_explanations_that_are_something_else(folder: Path, _: random.Random) -> None:
    a_run(folder)
    bad = pickled(folder) | {"nothing": b"", "half": (folder / "run" / "evidence.parquet").read_bytes()[:-200]}
    good = (folder / "run" / "explanations.parquet").read_bytes()
    replaced(folder, "explanations.parquet", bad, ("explain", "run", "0"))
    (folder / "run" / "explanations.parquet").write_bytes(good)
    replaced(folder, "evidence.parquet", bad, ("audit", "run"))


def interrupted(folder: Path, *command: object, after: int = 0) -> Path:
    """A run that was interrupted after its checkpoint of an epoch; where that is."""
    saved = Checkpoints.save

    def stop(self: Checkpoints, epoch: int) -> None:
        saved(self, epoch)
        if epoch == after:
            raise KeyboardInterrupt

    with patch.object(Checkpoints, "due", lambda self: True), patch.object(Checkpoints, "save", stop):
        outcome = inside(*command, folder=folder)
    need(outcome.code == 130, UNCLEAR, outcome.words)
    return max((folder / "run").glob("checkpoint-*"))


@trial("hostile", quick=True)
def checkpoints_that_execute(folder: Path, _: random.Random) -> None:
    table(folder)
    checkpoint = interrupted(folder, *FIT)
    names = sorted(
        (path.name for path in checkpoint.iterdir() if path.is_file()), key=lambda name: (name[:6] == "random", name)
    )
    need({"optimizer.bin", "parts.pt"} <= set(names), UNCLEAR, f"a checkpoint holds {names}")
    before = {name: (checkpoint / name).read_bytes() for name in names}
    for name in names:
        for what, content in (pickled(folder) | {"nothing": b"", "a lie": LIES["a header of 90 GB"]}).items():
            (checkpoint / name).write_bytes(content)
            outcome = inside(*FIT, "--resume", folder=folder)
            nothing_ran(folder, f"{what} in {name}")
            if name.startswith("random_states"):
                accepted(outcome)  # elr draws by seed and epoch, and reads no state of generators
                return
            refused(outcome, checkpoint.name)
        (checkpoint / name).write_bytes(before[name])


@trial("hostile")
def a_checkpoint_with_a_pickle_in_place_of_weights(folder: Path, _: random.Random) -> None:
    table(folder)
    checkpoint = interrupted(folder, *FIT)
    (checkpoint / "model.safetensors").unlink()
    for name, content in pickled(folder).items():
        for file in ("pytorch_model.bin", "custom_checkpoint_0.pkl", "sampler.bin", "dl_state_dict.bin", "scaler.pt"):
            (checkpoint / file).write_bytes(content)
        refused(inside(*FIT, "--resume", folder=folder), checkpoint.name)
        nothing_ran(folder, name)


@trial("hostile")
def weights_of_a_backbone_that_execute_or_lie(folder: Path, _: random.Random) -> None:
    try:
        import timm  # noqa: F401
    except ImportError as error:
        raise NotHere("timm is not installed") from error
    pictures(folder)
    fit = ("fit", "d", "--backbone", "resnet10t", "--epochs", "2", "--out", "run", "--weights")
    for suffix in (".pt", ".pth", ".bin", ".safetensors"):
        for what, content in (pickled(folder) | LIES).items():
            (folder / f"w{suffix}").write_bytes(content)
            refused(inside(*fit, f"w{suffix}", folder=folder), f"w{suffix}", out=folder / "run")
            nothing_ran(folder, f"{what} in w{suffix}")
    for name in ("hf-hub:nobody/nothing", "hf_hub:nobody/nothing", "local-dir:d", "../d", "os.system", "timm"):
        refused(inside(*fit[:3], name, "--epochs", "2", "--out", "run", folder=folder), "backbone", out=folder / "run")


@trial("hostile", quick=True)
def a_sentence_encoder_with_code_of_its_own(folder: Path, _: random.Random) -> None:
    """A folder whose modules are classes of a file in it: older versions of sentence-transformers execute that file."""
    encoder = folder / "encoder"
    encoder.mkdir()
    (encoder / "evil.py").write_text(f"import os\nos.mkdir({str(folder / 'executed')!r})\nclass Evil: pass\n")
    (encoder / "config_sentence_transformers.json").write_text("{}")
    (encoder / "config.json").write_text(
        json.dumps({"auto_map": {"AutoModel": "evil.Evil", "AutoConfig": "evil.Evil"}})
    )
    (folder / "t.csv").write_text("text,label\n" + "".join(f"word{k % 7} and more,{'ab'[k % 2]}\n" for k in range(40)))
    fit = ("fit", "t.csv", "--label", "label", "--text", "text", "--encoder", "encoder", "--out", "run")
    for kind in ("evil.Evil", "os.path.join", "sentence_transformers.../evil.Evil", "subprocess.Popen", 7):
        (encoder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
        refused(inside(*fit, folder=folder), "encoder", out=folder / "run")
        nothing_ran(folder, f"a module {kind}")
    (encoder / "modules.json").unlink()
    refused(inside(*fit, folder=folder), "encoder", out=folder / "run")
    nothing_ran(folder, "auto_map")
