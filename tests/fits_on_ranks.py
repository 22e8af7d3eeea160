"""`elr fit` on several gloo ranks, killed, resumed, compared; see test_fits_on_ranks.py.

The ranks of a run are forked from one process that has everything imported. `python fits_on_ranks.py FOLDER` makes all
runs; under torchrun, `fits_on_ranks.py --as-rank fit ...` is `python -m elr fit ...`, with a checkpoint after each
epoch and the rank KILLED_RANK killed in the middle of that of the epoch KILLED_AT.
"""

import json
import math
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from elr.cli.main import main
from elr.runs import fit as _fit
from elr.runs.reporting import write_report as _report
from elr.training import checkpoints
from elr.training.checkpoints import Checkpoints

IMPORTED = (_fit, _report)  # before the forks, not in each
EPOCHS = 3
OTHERS = {"elr_plus": (), "mixup": (), "sop_plus": (), "co_teaching": ("--set", "forget_rate=0.2")}
"""Methods that look at a batch as a whole."""


def write_data(folder):
    draw = np.random.default_rng(0)
    labels = draw.integers(3, size=121)
    inputs = (4 * draw.normal(size=(3, 6))[labels] + draw.normal(size=(121, 6))).astype(np.float32)
    given = np.where(draw.random(121) < 0.2, (labels + 1) % 3, labels)
    np.savez(folder / "data.npz", x=inputs, y=given)
    images = (np.eye(3)[labels, :, None, None] * 120 + draw.integers(120, size=(121, 3, 16, 16))).astype(np.uint8)
    np.savez(folder / "images.npz", x=images, y=given)
    given = given.copy()
    given[5] = (given[5] + 1) % 3
    np.savez(folder / "other.npz", x=inputs, y=given)
    for part, names in (("images", "abcd"), ("fewer", "abc")):
        for label in ("cat", "dog"):
            (folder / part / label).mkdir(parents=True)
            for name in names:
                Image.effect_noise((16, 16), 50).save(folder / part / label / f"{name}.png")


def command(folder, out, data="data.npz", placement="dense", more=()):
    wanted = ["--epochs", EPOCHS, "--batch-size", 17, "--device", "cpu", "--targets-dtype", "float32"]
    if data != "images.npz":
        wanted += ["--dropout", 0.5, "--targets", placement]
    if not more or more[0] != "--members":  # a single network
        wanted += ["--members", 1, *(["--network", "mlp"] if data != "images.npz" else ["--precision", "float32"])]
    return ["fit", *map(str, [folder / data, "--label", "y", *wanted, "--no-compare", *more, "--out", folder / out])]


def prepare(placement, killed_at):
    """A checkpoint after each epoch; and death in the middle of one, whose name the store decides."""
    checkpoints.COST_SHARE = math.inf
    if killed_at is None:
        return
    write, rank, epochs = Checkpoints._write, int(os.environ.get("RANK", 0)), []

    def half(self, partial):
        epochs.append(0)
        if len(epochs) - 1 < killed_at[1] or rank != killed_at[0]:
            write(self, partial)
            return
        mine = partial / ("half" if placement == "dense" else f"targets-0/rank-{rank}-of-2-rows-half.safetensors")
        mine.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints._write = half


def rank_of(rank, world, arguments, port, *, placement, killed_at, log):
    torch.set_num_threads(1)
    os.environ |= {"TERM": "dumb", "GLOO_SOCKET_IFNAME": "lo"}
    if world > 1:
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        os.environ |= {name: str(value) for name, value in (own | {"MASTER_PORT": port}).items()}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    prepare(placement, killed_at)
    sys.argv = ["elr", *arguments]
    main()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(world, arguments, *, placement="dense", killed_at=None, log, other=None):
    """The exit codes of the ranks, or the signals that ended them."""
    port, children = free_port(), []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            code = 70
            try:
                mine = other if other is not None and rank == world - 1 else arguments
                rank_of(rank, world, mine, port, placement=placement, killed_at=killed_at, log=f"{log}-{rank}.log")
                code = 0
            except SystemExit as ended:
                code = ended.code or 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def all_runs(folder):
    found = {}

    def do(name, world, out, *, resume=False, **settings):
        started = time.perf_counter()
        more, data = settings.pop("more", ()), settings.pop("data", "data.npz")
        arguments = command(folder, out, data, placement=settings.get("placement", "dense"), more=more)
        arguments += ["--resume"] * resume
        found[name] = run(world, arguments, log=folder / name, **settings)
        print(name, found[name], round(time.perf_counter() - started, 1), flush=True)

    write_data(folder)
    do("one", 1, "one")
    do("dense", 2, "dense")
    do("sharded", 2, "sharded", placement="sharded")
    for method, settings in OTHERS.items():
        for world in (1, 2, 3):
            do(f"{method}-{world}", world, f"{method}-{world}", more=("--method", method, *settings))
    for world in (1, 3):
        do(f"members-{world}", world, f"members-{world}", more=("--members", 3))
        do(f"images-{world}", world, f"images-{world}", data="images.npz")
    do("killed", 2, "killed", placement="sharded", killed_at=(1, 2))
    found["left"] = sorted(path.name for path in (folder / "killed").glob("checkpoint*"))
    for world in (1, 2, 4):
        shutil.copytree(folder / "killed", folder / f"resumed-{world}")
        do(f"resumed-{world}", world, f"resumed-{world}", placement="sharded", resume=True)
    do("unlike", 2, "unlike", other=command(folder, "unlike", "other.npz"))
    do("lacking", 2, "unlike", other=command(folder, "unlike", "nowhere.npz"))
    do("lacking-json", 2, "unlike", more=("--json",), other=command(folder, "unlike", "nowhere.npz", more=["--json"]))
    streamed = [
        ["fit", str(folder / part), "--stream", "--out", str(folder / "unlike")] for part in ("images", "fewer")
    ]
    found["streamed"] = run(2, streamed[0], log=folder / "streamed", other=streamed[1])
    do("wrong", 2, "unlike", more=("--set", "no-such=1"))
    found["nothing written"] = not (folder / "unlike").exists()
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "--as-rank":
        killed = os.environ.get("KILLED_RANK")
        prepare("dense", None if killed is None else (int(killed), int(os.environ["KILLED_AT"])))
        sys.argv = ["elr", *sys.argv[2:]]
        main()
    else:
        all_runs(Path(sys.argv[1]))
