"""Train ELR on however many processes there are, and write what came out; see test_contract.py."""

import gc
import math
import sys
from dataclasses import replace
from pathlib import Path

import torch

from blobs import METHODS, N, blobs, examples
from elr.training import checkpoints
from elr.training.config import TrainingConfig
from elr.training.engine import leave_process_group
from elr.training.loop import Training
from elr.training.monitor import Monitor

MEASURED = (
    "agreement_with_given_labels",
    "fraction_correct_on_wrong",
    "target_accuracy",
    "gradient_on_clean",
    "gradient_on_wrong",
    "gradient_cross_entropy_on_wrong",
)

if __name__ == "__main__":
    config = TrainingConfig(epochs=3, batch_size=17, device="cpu", precision="float32")
    _, given, clean = blobs()
    monitor = Monitor(given, clean_labels=clean)
    training = Training(METHODS["elr"](), examples(), config=config, monitor=monitor)
    checkpoints.COST_SHARE = math.inf  # one after each epoch
    training.run()
    ranks = training.accelerator.num_processes
    folder = Path(sys.argv[1]).with_suffix(".run")
    first = Training(METHODS["elr"](), examples(), config=config, folder=folder)
    if first.accelerator.is_main_process:
        folder.mkdir()
    first.accelerator.wait_for_everyone()

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.step == 10:
            raise Stopped

    try:
        first.run(on_progress=stop)
    except Stopped:
        pass
    resumed = Training(METHODS["elr"](), examples(), config=config, folder=folder)
    resumed.run(resume=True)
    pair = Training(METHODS["two networks"](), examples(), config=config)
    pair.run()
    alike = Training(METHODS["elr aligned"](), examples(), config=config)
    alike.run()
    storeless = Training(METHODS["elr stateless"](), examples(), config=config)
    storeless.run()
    twice = TrainingConfig(epochs=4, generations=2, batch_size=17, device="cpu", precision="float32")
    weighed = Training(METHODS["elr between generations"](), examples(), config=twice)
    weighed.run()
    joint = Training(METHODS["joint optimization"](), examples(), config=twice)
    joint.run()
    several = Training(METHODS["ensemble"](), examples(), config=config)
    several.run()
    demanding = Training(METHODS["everything asked for"](), examples(), config=config)
    seen = []
    demanding.method.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].index))
    demanding.run()
    padded = torch.nn.functional.pad(torch.cat(seen), (0, 3 * N - sum(map(len, seen))), value=-1)  # alike on each rank
    rows = demanding.accelerator.gather(padded)
    divided = Training(METHODS["dividemix"](), examples(), config=replace(config, epochs=2))
    steps = []
    divided.method.register_forward_pre_hook(lambda _, arguments: steps.append(arguments[0].index))
    divided.run()
    padded = torch.nn.functional.pad(torch.cat(steps), (0, 6 * N - sum(map(len, steps))), value=-1)
    divided_rows = divided.accelerator.gather(padded)
    here = torch.stack([divided.method.clean_probs, divided.method.labeled.float(), divided.method.losses[0]])
    divisions = divided.accelerator.gather(here[None])
    noisy = Training(METHODS["sop"](std=0.3), examples(), config=config)
    noisy.run()
    corrected = Training(METHODS["forward correction, estimated"](), examples(), config=config)
    corrected.run()
    truncated = Training(METHODS["truncated"](), examples(), config=config)
    truncated.run()
    estimates = corrected.accelerator.gather(corrected.method.transitions[None].double())
    kept = corrected.accelerator.gather(truncated.method.kept[None].long())
    spoiled = METHODS["elr"]().train()
    store = spoiled.stores[0]
    store.distribute(torch.distributed.group.WORLD if ranks > 1 else None)
    agreed = divided.accelerator.gather(divided.view.agreed(torch.full((1,), 7.0 + divided.accelerator.process_index)))
    rank, mine = training.accelerator.process_index, torch.full((2, 3), 1 / 3)
    mine[0] = torch.nan if rank == 0 else 1 / 3  # row 0 of the first rank, which the second has finite
    store.update(torch.tensor([0, 2 + rank]), mine, beta=0.5)
    mine[1] = torch.inf if rank == 0 else 1 / 3
    store.update(torch.tensor([5, 7 + rank]), mine, beta=0.5)
    if training.accelerator.is_main_process:
        torch.save(
            {
                "ranks": ranks,
                "targets": training.method.stores[0].table,
                "probs": training.predict(examples()),
                "agreement": training.history[-1]["agreement_with_given_labels"],
                "loss": training.history[-1]["loss"],
                "history": [{name: record[name] for name in MEASURED} for record in training.history],
                "aligned": alike.method.stores[0].table,
                "weights": alike.method.losses[0].alignment.weights,
                "pair agreement": pair.history[-1]["agreement_with_given_labels"],
                "pair": torch.stack([store.table for store in pair.method.stores]),
                "stateless probs": storeless.predict(examples()),
                "weighed": weighed.method.stores[0].table,
                "weighed probs": weighed.predict(examples()),
                "joint": torch.stack([store.table for store in joint.method.stores]),
                "joint prior": [record["prior"] for record in joint.history],
                "joint probs": joint.predict(examples()),
                "ensemble": several.method.evidence.table,
                "hits": several.method.hits,
                "demanding": demanding.method.targets.table,
                "shifts": demanding.method.shifts.detach(),
                "noise": torch.cat([noisy.method.u, noisy.method.v], dim=1).detach(),
                "estimates": estimates,
                "corrected probs": corrected.predict(examples()),
                "kept": kept,
                "truncated probs": truncated.predict(examples()),
                "rows": rows,
                "divisions": divisions,
                "divided rows": divided_rows,
                "divided evidence": divided.pred_probs(),
                "agreed": agreed,
                "spoiled": store.table,
                "nonfinite": store.nonfinite,
                "visited": demanding.state.visited,
                "resumed": resumed.method.stores[0].table,
            },
            sys.argv[1],
        )
    del (
        training,
        first,
        resumed,
        pair,
        alike,
        storeless,
        weighed,
        joint,
        several,
        demanding,
        noisy,
        divided,
        corrected,
        truncated,
    )
    gc.collect()  # what outlives the group of processes has been seen to end in an abort, here and there
    leave_process_group()
