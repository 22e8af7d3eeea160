"""Hugging Face: a Trainer that learns with ELR and says which labels are wrong."""

from elr.integrations.hugging_face.trainer import ELRTrainer as ELRTrainer
from elr.integrations.hugging_face.trainer import ELRTrainerMixin as ELRTrainerMixin
