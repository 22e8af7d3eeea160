"""A small language model learns from sentences with wrong labels, by the Hugging Face Trainer; nothing is downloaded.

    python examples/hugging_face_text.py

BERT of one layer, made from a configuration, sees messages of four kinds, 30 % of them with a wrong label. A plain
Trainer and `ELRTrainer` train it with the same settings; printed are the accuracy on clean labels, how many of the
given labels each says again (about 70 % of them are right), and how many of the planted wrong labels
`trainer.audit()` found.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, PrinterCallback, Trainer, TrainingArguments

import datasets
from elr.integrations.hugging_face import ELRTrainer

KINDS = {
    "billing": "invoice refund charge card payment price receipt bank fee balance",
    "delivery": "parcel courier address late truck tracking door box shipment lost",
    "account": "password login email user profile locked reset phone code name",
    "product": "broken color size screen battery button manual quality warranty spare",
}
FILLERS = "the a my please is was it not i have and with for since again still your about can you help".split()  # noqa: SIM905
WORDS = {word: 1 + place for place, word in enumerate([*FILLERS, *" ".join(KINDS.values()).split()])}  # 0 pads
LENGTH = 12


def messages(count: int, *, noise_rate: float, seed: int) -> tuple[datasets.Dataset, np.ndarray]:
    """Messages with their given labels, and the clean ones."""
    draw = np.random.default_rng(seed)
    names = list(KINDS)
    clean = draw.integers(0, len(names), count)
    wrong = draw.random(count) < noise_rate
    given = np.where(wrong, (clean + draw.integers(1, len(names), count)) % len(names), clean)
    texts = []
    for kind in clean:
        words = [*draw.choice(KINDS[names[kind]].split(), 3), *draw.choice(FILLERS, 8)]
        if draw.random() < 0.3:
            words.append(str(draw.choice(KINDS[names[draw.integers(len(names))]].split())))
        texts.append(" ".join(draw.permutation(words)))
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=names))
    return datasets.Dataset.from_dict({"text": texts, "label": given.tolist()}, features=features), clean


def tokens(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
    """Word numbers, padded; a tokenizer does this for a pretrained model."""
    numbers = [[WORDS[word] for word in text.split()] for text in batch["text"]]
    padding = [[0] * (LENGTH - len(row)) for row in numbers]
    return {
        "input_ids": [row + rest for row, rest in zip(numbers, padding, strict=True)],
        "attention_mask": [[1] * len(row) + rest for row, rest in zip(numbers, padding, strict=True)],
    }


def main(*, count: int = 800, epochs: int = 15, noise_rate: float = 0.3) -> dict[str, float]:
    """Accuracies on clean labels of both Trainers, and precision and recall of the suspects."""
    datasets.disable_progress_bars()
    train, clean = messages(count, noise_rate=noise_rate, seed=0)
    test, _ = messages(500, noise_rate=0.0, seed=1)
    train, test = train.map(tokens, batched=True), test.map(tokens, batched=True)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            folder,
            num_train_epochs=epochs,
            per_device_train_batch_size=32,
            learning_rate=5e-3,
            lr_scheduler_type="constant",
            disable_tqdm=True,
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
            dataloader_pin_memory=False,
        )
        config = BertConfig(
            vocab_size=len(WORDS) + 1,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=LENGTH,
            num_labels=len(KINDS),
        )
        for name, kind in (("Trainer", Trainer), ("ELRTrainer", ELRTrainer)):
            torch.manual_seed(0)
            trainer: Any = kind(BertForSequenceClassification(config), args, train_dataset=train)
            trainer.remove_callback(PrinterCallback)  # no lines of its own between ours
            trainer.train()
            predicted = trainer.predict(test).predictions.argmax(axis=1)
            found[name] = float((predicted == np.array(test["label"])).mean())
            fit = (trainer.predict(train).predictions.argmax(axis=1) == np.array(train["label"])).mean()
            print(f"{name:<10}  accuracy on clean labels {found[name]:.1%}; says {fit:.1%} of the labels it was given")
    suspects = trainer.audit()  # of the last, ELRTrainer
    rows = suspects[suspects["is_label_issue"]]["row"].to_numpy()
    wrong = np.flatnonzero(np.array(train["label"]) != clean)
    hits = len(np.intersect1d(rows, wrong))
    found |= {"recall": hits / len(wrong), "precision": hits / max(1, len(rows))}
    print(f"{len(rows)} suspects, {hits} of the {len(wrong)} planted wrong labels among them; the first:")
    shown = suspects.head(5).assign(text=[train[int(row)]["text"] for row in suspects["row"].head(5)])
    print(shown[["row", "given_label", "predicted_label", "label_quality", "text"]].to_string(index=False))
    return found


if __name__ == "__main__":
    main()
