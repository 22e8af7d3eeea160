from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from blobs import built, examples
from elr.errors import ArgumentError, CheckpointError
from elr.methods.losses.label_smoothing import LabelSmoothingConfig
from elr.methods.losses.loss_config import ConfiguredLoss, LossConfig
from elr.methods.method import Batch
from elr.training.config import TrainingConfig
from elr.training.loop import Training


@dataclass(frozen=True, kw_only=True)
class SquareConfig(LossConfig):
    name: ClassVar[str] = "square"
    power: float = 2.0

    def losses(self, logits, labels):
        return (logits.softmax(dim=1) - nn.functional.one_hot(labels, logits.shape[1])).abs().pow(self.power).sum(dim=1)


def test_a_loss_of_its_settings_is_trained():
    method = SquareConfig(power=3.0).build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
    batch = Batch(torch.arange(2), torch.randn(2, 2), torch.tensor([2, 0]))
    step = method(batch)
    torch.testing.assert_close(step.loss, SquareConfig(power=3.0).losses(step.logits, batch.labels).mean())
    assert method.stores == []
    with pytest.raises(ArgumentError, match="and 2 were passed"):
        SquareConfig().build([nn.Linear(2, 3), nn.Linear(2, 3)], num_examples=8, num_classes=3)


def test_a_run_does_not_go_on_with_other_settings(tmp_path):
    assert repr(ConfiguredLoss(SquareConfig(power=3.0))) == "ConfiguredLoss(SquareConfig(power=3.0))"
    config = TrainingConfig(epochs=1, batch_size=20, device="cpu")
    Training(built(LabelSmoothingConfig(alpha=0.1)), examples(), config=config, folder=tmp_path).run()
    other = Training(built(LabelSmoothingConfig(alpha=0.2)), examples(), config=config, folder=tmp_path)
    with pytest.raises(CheckpointError, match="is of another configuration"):
        other.run(resume=True)
