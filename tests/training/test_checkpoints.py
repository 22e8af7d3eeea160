import gc
import json
import math
import weakref

import pytest
import torch

from blobs import METHODS, C, N, examples, network
from elr.errors import CheckpointError, OutputError
from elr.methods.elr import ELR, ELRConfig
from elr.methods.method import ParameterGroup
from elr.training import checkpoints
from elr.training.checkpoints import Checkpoints, checkpoint_folders, identity_of
from elr.training.config import TrainingConfig
from elr.training.engine import make_accelerator
from elr.training.loop import Training

SETTINGS = TrainingConfig()


def training_of(method="elr", folder=None, **settings):
    config = TrainingConfig(**{"epochs": 3, "batch_size": 20, "device": "cpu"} | settings)
    return Training(METHODS[method](), examples(), config=config, folder=folder)


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A folder with the checkpoint of a run that was broken off after its first epoch."""

    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 10:
            raise Stopped

    with pytest.raises(Stopped):
        training_of(folder=tmp_path).run(on_progress=stop)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rate": 0.5}, "learning_rate was 0.02, now 0.5"),
        ({"seed": 7}, "seed was 0, now 7"),
        ({"method": "cross entropy"}, "method was 'ELR"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(stopped, settings, words):
    with pytest.raises(CheckpointError, match=f"of another configuration.*{words}"):
        training_of(folder=stopped, **settings).run(resume=True)


def test_adamw_goes_on_from_a_checkpoint_bit_identical(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "COST_SHARE", math.inf)
    settings = {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.1, "epochs": 4}

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 15:
            raise Stopped

    whole = training_of(**settings)
    whole.run()
    with pytest.raises(Stopped):
        training_of(folder=tmp_path, **settings).run(on_progress=stop)
    resumed = training_of(folder=tmp_path, **settings)
    resumed.run(resume=True)
    assert resumed.earlier_seconds > 0
    for found, expected in zip(resumed.method.parameters(), whole.method.parameters(), strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(resumed.pred_probs(), whole.pred_probs())
    assert isinstance(resumed.optimizers[0].optimizer, torch.optim.AdamW)


@pytest.mark.parametrize("name", ["identity.json", "model.safetensors", "optimizer.bin", "parts.pt"])
def test_a_damaged_checkpoint_is_named(stopped, name):
    [checkpoint] = checkpoints.checkpoint_folders(stopped)
    content = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=str(checkpoint)):
        training_of(folder=stopped).run(resume=True)


def test_a_half_written_checkpoint_is_not_taken_for_one(stopped):
    (stopped / checkpoints.PARTIAL).mkdir()
    (stopped / checkpoints.PARTIAL / "model.safetensors").write_bytes(b"half")
    training = training_of(folder=stopped)
    training.run(resume=True)
    assert training.earlier_seconds > 0
    assert len(training.history) == 3
    assert not (stopped / checkpoints.PARTIAL).exists()


def test_resume_without_a_checkpoint_begins_anew(tmp_path):
    training = training_of(folder=tmp_path)
    training.run(resume=True)
    assert [record["epoch"] for record in training.history] == [1, 2, 3]
    assert len(checkpoints.checkpoint_folders(tmp_path)) == 1


def test_what_could_not_be_written_holds_no_stores_back(tmp_path):
    (tmp_path / "file").touch()
    written = Checkpoints(tmp_path / "file", {}, make_accelerator("cpu"), {})
    gc.disable()  # a cycle of the error and its frames would keep the files of stores until it is found
    try:
        with pytest.raises(OutputError, match="cannot write"):
            written.save(1)
        alive = weakref.ref(written)
        del written
        assert alive() is None
    finally:
        gc.enable()


def test_identity_says_what_it_was(stopped):
    [checkpoint] = checkpoints.checkpoint_folders(stopped)
    identity = json.loads((checkpoint / "identity.json").read_text())
    assert identity["num_examples"] == N
    assert identity["state"]["losses.0.targets._extra_state"] == [N, C]


def test_a_checkpoint_that_would_execute_code_is_refused(stopped, capsys):
    class Foreign:
        def __reduce__(self):
            return print, ("code was executed",)

    [checkpoint] = checkpoints.checkpoint_folders(stopped)
    for name in ("parts.pt", "optimizer.bin"):
        good = (checkpoint / name).read_bytes()
        torch.save({"state": Foreign()}, checkpoint / name)
        with pytest.raises(CheckpointError, match="cannot be read"):
            training_of(folder=stopped).run(resume=True)
        (checkpoint / name).write_bytes(good)
    assert "executed" not in capsys.readouterr().out


def test_another_lam_is_another_configuration(stopped):
    other = ELRConfig(lam=7.0).build([network()], num_examples=N, num_classes=C)
    config = TrainingConfig(epochs=3, batch_size=20, device="cpu")
    with pytest.raises(CheckpointError, match=r"lam=3\.0.*lam=7\.0"):
        Training(other, examples(), config=config, folder=stopped).run(resume=True)


def test_other_views_are_another_configuration(stopped, monkeypatch):
    monkeypatch.setattr(ELR, "views", 2)
    with pytest.raises(CheckpointError, match="views was 1, now 2"):
        training_of(folder=stopped).run(resume=True)


def test_a_weight_in_another_group_is_another_configuration():
    first, second = torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False)
    method = METHODS["cross entropy"]()
    method.first, method.second = first, second
    one, other = (
        identity_of(method, [[ParameterGroup([a.weight]), ParameterGroup([b.weight], learning_rate=1.0)]], SETTINGS)
        for a, b in ((first, second), (second, first))
    )
    assert one["groups"] != other["groups"]


@pytest.mark.parametrize("own", [{"plain": True}, {"batch_size": 8}, {"weight_decay": 0.0}])
def test_a_group_that_moves_otherwise_is_another_configuration(own):
    method = METHODS["cross entropy"]()
    weights = list(method.parameters())
    one, other = (identity_of(method, [[ParameterGroup(weights, 1.0, **more)]], SETTINGS) for more in ({}, own))
    assert one["groups"] != other["groups"]


def test_a_kill_while_a_checkpoint_is_written_again_leaves_no_half_of_one(tmp_path, monkeypatch):
    again = Checkpoints(tmp_path, {"lam": 3.0}, make_accelerator("cpu"), {})
    again.save(1)

    def killed(path, **_):
        if path.exists() and path.name != "checkpoint.partial":
            (path / "identity.json").unlink()  # the first file that goes
            raise KeyboardInterrupt

    monkeypatch.setattr("elr.training.checkpoints.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        again.save(1)
    monkeypatch.undo()
    assert [(path.name, (path / "identity.json").exists()) for path in checkpoint_folders(tmp_path)] == [
        ("checkpoint-000001", True)
    ]
    again.save(2)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000002"]


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("scheduler 0", "last_epoch", torch.zeros(0)),
        ("scheduler 0", "last_epoch", "x"),
        ("scheduler 0", "last_epoch", -1),
        ("scheduler 0", "last_epoch", 2**40),
        ("scheduler 0", "_step_count", 0),
        ("scheduler 0", "base_lrs", [7.0]),
        ("scheduler 0", "_last_lr", ["x"] * 50),
        ("state", "generation", -1),
        ("state", "generation", 1),
        ("state", "generation", False),
        ("state", "first", [{}]),
        ("state", "epoch", 2**40),
        ("state", "epoch", None),
        ("state", "history", "[]"),
        ("state", "history", '[{"epoch": 1, "seconds": "x"}]'),
        ("state", "probe_epochs", {}),
        ("state", "probe_epochs", [1]),
        ("state", "probe_labels", [torch.zeros(2, dtype=torch.int64)]),
        ("state", "visited", float("inf")),
        ("state", "visited", torch.zeros(3, dtype=torch.bool)),
    ],
)
def test_a_checkpoint_whose_values_are_others_is_refused_before_it_is_gone_on_with(stopped, part, name, value):
    path = checkpoint_folders(stopped)[-1] / "parts.pt"
    parts = torch.load(path, weights_only=True)
    parts[part][name] = value
    torch.save(parts, path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        training_of(folder=stopped).run(resume=True)
