"""The training loop and all that belongs to it."""

from elr.training.config import TrainingConfig as TrainingConfig
from elr.training.loop import Training as Training
from elr.training.monitor import Monitor as Monitor
