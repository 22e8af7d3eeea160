"""Where the running targets of each example are kept; one config chooses."""

from elr.targets.config import TargetsConfig as TargetsConfig
from elr.targets.dense import DenseTargets as DenseTargets
from elr.targets.sparse import SparseTargets as SparseTargets
from elr.targets.store import Targets as Targets
