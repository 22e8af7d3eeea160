"""The loss of ELR: its formulas one by one, fused for training, for compilers, and with the targets inside."""

from elr.methods.loss.elr_loss import ELRLoss as ELRLoss
from elr.methods.loss.formulas import cross_entropy as cross_entropy
from elr.methods.loss.formulas import elr_term as elr_term
