"""A small text model from a configuration, made sentences with planted wrong labels, and Trainers of them."""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

WORDS, CLASSES, LENGTH = 40, 3, 8
QUIET = {"disable_tqdm": True, "report_to": "none", "logging_strategy": "no", "save_strategy": "no"}


def sentences(count=48, *, wrong=0.0, seed=0):
    """Sentences of words of their class and of noise; the labels given, and the right ones."""
    draw = np.random.default_rng(seed)
    clean = np.arange(count) % CLASSES
    own = 3 + clean[:, None] * 10 + draw.integers(0, 10, (count, LENGTH))
    noise = draw.integers(3, WORDS, (count, LENGTH))
    words = np.where(draw.random((count, LENGTH)) < 0.7, own, noise)
    planted = draw.random(count) < wrong
    given = np.where(planted, (clean + draw.integers(1, CLASSES, count)) % CLASSES, clean)
    rows = [
        {"input_ids": list(map(int, words[row])), "attention_mask": [1] * LENGTH, "labels": int(given[row])}
        for row in range(count)
    ]
    return rows, given, clean


def model(*, dropout=0.0, **changes):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        **{
            "vocab_size": WORDS,
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "max_position_embeddings": 16,
            "hidden_dropout_prob": dropout,
            "attention_probs_dropout_prob": dropout,
            "num_labels": CLASSES,
        }
        | changes
    )
    return BertForSequenceClassification(config)


def trainer(folder, rows=None, *, kind=None, network=None, settings=None, **changes):
    """An ELRTrainer (or another kind) on the processor; `changes` are of TrainingArguments."""
    from transformers import TrainingArguments

    from elr.integrations.hugging_face import ELRTrainer

    wanted = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "optim": "adamw_torch",
    }
    args = TrainingArguments(str(folder), **QUIET | wanted | changes)
    rows = sentences()[0] if rows is None else rows
    if "model_init" not in (settings or {}):
        network = network or model()
    made = (kind or ELRTrainer)(network, args, train_dataset=rows, **settings or {})
    silent(made)
    return made


def silent(made):
    from transformers import PrinterCallback

    made.remove_callback(PrinterCallback)


if __name__ == "__main__":  # under torchrun: what test_two_ranks compares
    warnings.simplefilter("error", RuntimeWarning)
    folder, per_device, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    more = {"max_grad_norm": 0.0, "optim": "sgd", "learning_rate": 0.1, "train_sampling_strategy": "sequential"}
    given = sentences(count)[0]
    made = trainer(
        folder,
        given,
        per_device_train_batch_size=per_device,
        gradient_accumulation_steps=int(sys.argv[4]),
        **more | {"save_strategy": "epoch"},
    )
    made.train()
    made.evaluate(given)
    ranks = made.accelerator.num_processes
    table = made.elr_loss.targets.table
    tables = made.accelerator.gather(table[None])
    labels = made.accelerator.gather(made._memory.labels[None])
    audit = made.audit()
    if made.accelerator.is_main_process:
        weights = torch.cat([each.detach().flatten() for each in made.model.parameters()])
        found = {"ranks": ranks, "tables": tables, "labels": labels, "weights": weights, "audit": len(audit)}
        torch.save(found, folder / "found.pt")
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
