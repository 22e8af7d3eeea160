"""Ways to train on noisy labels, a file each; the formulas."""

from elr.methods.catalog import METHODS as METHODS
from elr.methods.catalog import method_from_json as method_from_json
from elr.methods.config import MethodConfig as MethodConfig
from elr.methods.cross_entropy import CrossEntropyConfig as CrossEntropyConfig
from elr.methods.cross_entropy import LossMethod as LossMethod
from elr.methods.elr import ELR as ELR
from elr.methods.elr import ELRConfig as ELRConfig
from elr.methods.elr_plus import ELRPlusConfig as ELRPlusConfig
from elr.methods.kl_penalty import KLPenalty as KLPenalty
from elr.methods.kl_penalty import KLPenaltyConfig as KLPenaltyConfig
from elr.methods.loss.elr_loss import ELRLoss as ELRLoss
from elr.methods.method import Batch as Batch
from elr.methods.method import Method as Method
from elr.methods.method import ParameterGroup as ParameterGroup
from elr.methods.method import Step as Step
from elr.methods.method import View as View
from elr.methods.peers.sop import SOP as SOP
from elr.methods.peers.sop import SOPConfig as SOPConfig
from elr.methods.peers.sop import SOPPlusConfig as SOPPlusConfig
