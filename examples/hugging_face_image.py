"""A vision transformer learns from small pictures with wrong labels, by the Hugging Face Trainer, without a network.

    python examples/hugging_face_image.py

A ViT of two layers, made from a configuration, sees scikit-learn's digits, 30 % of them with a wrong label, as a
`datasets.Dataset` of images that a transform turns into tensors. A plain Trainer and `ELRTrainer` train it with the
same settings, for as long as the plain one takes to learn four fifths of the given labels by heart, right and wrong
ones. Printed are the accuracy on clean labels, how many of the given labels each says again (about 70 % of them are
right), and how many of the planted wrong labels were found.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from transformers import PrinterCallback, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import datasets
from elr.integrations.hugging_face import ELRTrainer

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def pictures(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Tensors (1, 8, 8) of images; an image processor does this for a pretrained model."""
    values = [torch.from_numpy(np.asarray(image, dtype=np.float32))[None] / 128 - 1 for image in batch["image"]]
    return {"pixel_values": values, "labels": batch["label"]}


def main(*, count: int = 600, epochs: int = 40, noise_rate: float = 0.3) -> dict[str, float]:
    """Accuracies on clean labels of both Trainers, and precision and recall of the suspects."""
    datasets.disable_progress_bars()
    digits, draw = load_digits(), np.random.default_rng(0)
    order = draw.permutation(len(digits.target))
    images, clean = (digits.images[order] * 15).astype(np.uint8), digits.target[order]
    given = clean.copy()
    wrong = np.flatnonzero(draw.random(count) < noise_rate)
    given[wrong] = (clean[wrong] + draw.integers(1, 10, len(wrong))) % 10
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=NAMES))
    everything = datasets.Dataset.from_dict({"image": list(images), "label": given.tolist()}, features=features)
    train = everything.select(range(count)).with_transform(pictures)
    test = everything.select(range(count, len(order))).with_transform(pictures)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=32,
            learning_rate=2e-3,
            warmup_steps=100,
            remove_unused_columns=False,  # the transform takes its columns from all
            disable_tqdm=True,
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
            dataloader_pin_memory=False,
        )
        config = ViTConfig(
            image_size=8,
            patch_size=2,
            num_channels=1,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            id2label=dict(enumerate(NAMES)),
        )
        for name, kind in (("Trainer", Trainer), ("ELRTrainer", ELRTrainer)):
            torch.manual_seed(0)
            trainer: Any = kind(ViTForImageClassification(config), args, train_dataset=train)
            trainer.remove_callback(PrinterCallback)  # no lines of its own between ours
            trainer.train()
            predicted = trainer.predict(test).predictions.argmax(axis=1)
            found[name] = float((predicted == clean[count:]).mean())
            fit = (trainer.predict(train).predictions.argmax(axis=1) == given[:count]).mean()
            print(f"{name:<10}  accuracy on clean labels {found[name]:.1%}; says {fit:.1%} of the labels it was given")
    suspects = trainer.audit()  # of the last, ELRTrainer
    rows = suspects[suspects["is_label_issue"]]["row"].to_numpy()
    hits = len(np.intersect1d(rows, wrong))
    found |= {"recall": hits / len(wrong), "precision": hits / max(1, len(rows))}
    print(f"{len(rows)} suspects, {hits} of the {len(wrong)} planted wrong labels among them; the first:")
    print(suspects.head(5).to_string(index=False))
    return found


if __name__ == "__main__":
    main()
