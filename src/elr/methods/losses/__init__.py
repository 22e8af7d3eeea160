"""Losses of each example to train with in the place of cross entropy, a file each."""

from elr.methods.losses.backward_correction import BackwardCorrectionConfig as BackwardCorrectionConfig
from elr.methods.losses.bootstrapping import BootstrappingConfig as BootstrappingConfig
from elr.methods.losses.correction import Correction as Correction
from elr.methods.losses.forward_correction import ForwardCorrectionConfig as ForwardCorrectionConfig
from elr.methods.losses.generalized_cross_entropy import GeneralizedCrossEntropyConfig as GeneralizedCrossEntropyConfig
from elr.methods.losses.generalized_cross_entropy import Truncated as Truncated
from elr.methods.losses.label_smoothing import LabelSmoothingConfig as LabelSmoothingConfig
from elr.methods.losses.mean_absolute_error import MeanAbsoluteErrorConfig as MeanAbsoluteErrorConfig
from elr.methods.losses.symmetric_cross_entropy import SymmetricCrossEntropyConfig as SymmetricCrossEntropyConfig
