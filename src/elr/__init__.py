"""Early-Learning Regularization: learn from partly wrong labels and find the wrong ones.

The names below load their modules when they are first used, so that `import elr` costs nothing by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elr.audit import Audit, audit_labels
    from elr.batch import Batch
    from elr.elr import ELR
    from elr.errors import ELRError
    from elr.estimator import ELRClassifier
    from elr.fitting import fit
    from elr.loss import ELRLoss
    from elr.method import LossMethod, Method, Step
    from elr.plan import FitConfig
    from elr.prediction import predict
    from elr.targets import DenseTargets, Targets

_HOME = {
    "audit": ("Audit", "audit_labels"),
    "batch": ("Batch",),
    "elr": ("ELR",),
    "errors": ("ELRError",),
    "estimator": ("ELRClassifier",),
    "fitting": ("fit",),
    "loss": ("ELRLoss",),
    "method": ("LossMethod", "Method", "Step"),
    "prediction": ("predict",),
    "plan": ("FitConfig",),
    "targets": ("DenseTargets", "Targets"),
}
__all__ = sorted(name for names in _HOME.values() for name in names)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("elr")
    home = next((module for module, names in _HOME.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'elr' has no attribute {name!r}")
    return getattr(import_module(f"elr.{home}"), name)
