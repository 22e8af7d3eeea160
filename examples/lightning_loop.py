"""ELR in Lightning: a callback numbers the rows, keeps the targets and audits.

    pip install '.[lightning]'
    python examples/lightning_loop.py

Digits with 30 % of the labels replaced. The module's own lines are those of any LightningModule, but for the third
part of the batch and the loss.
"""

import logging
import warnings

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from elr.integrations.lightning import ELRCallback
from elr.noise.models import corrupt_symmetric


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))

    def training_step(self, batch, _):
        inputs, labels, index = batch
        return self.elr_loss(self.network(inputs), labels, index)

    def validation_step(self, batch, _):
        inputs, labels = batch
        self.log("accuracy", (self.network(inputs).argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.02, momentum=0.9)


def main(epochs: int = 30) -> dict[str, float]:
    """Train and audit; the accuracy on clean test labels, and the share of wrong labels among the suspects."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    seed_everything(0, verbose=False)
    torch.set_num_threads(1)
    pixels, digits = load_digits(return_X_y=True)
    inputs = torch.tensor((pixels - 4.9) / 6.0, dtype=torch.float32)
    train, test = train_test_split(range(len(digits)), test_size=0.25, random_state=0)
    noisy = corrupt_symmetric(digits[train], noise_rate=0.3, num_classes=10, seed=0)

    elr_callback = ELRCallback(num_classes=10, lam=3.0)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[elr_callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Net(),
        DataLoader(TensorDataset(inputs[train], torch.from_numpy(noisy.labels)), batch_size=64, shuffle=True),
        DataLoader(TensorDataset(inputs[test], torch.from_numpy(digits[test])), batch_size=512),
    )
    audit = elr_callback.audit(noisy.labels)
    found = {
        "accuracy": float(trainer.callback_metrics["accuracy"]),
        "precision": float(noisy.is_wrong[audit.is_label_issue].mean()),
        "recall": float(audit.is_label_issue[noisy.is_wrong].mean()),
    }
    print(f"accuracy on clean test labels {found['accuracy']:.1%}")
    print(f"{audit.num_label_issues} suspects, {found['precision']:.1%} of them really wrong, which are "
          f"{found['recall']:.1%} of the wrong labels")  # fmt: skip
    print(audit.to_frame().head().to_string(index=False))
    return found


if __name__ == "__main__":
    main()
