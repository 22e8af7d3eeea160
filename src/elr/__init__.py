"""Early-Learning Regularization: learn from partly wrong labels and find the wrong ones.

The names below load their modules when they are first used, so that `import elr` costs nothing by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elr.audit.labels import Audit, audit_labels
    from elr.errors import ELRError
    from elr.estimator import ELRClassifier
    from elr.methods.cross_entropy import LossMethod
    from elr.methods.elr import ELR
    from elr.methods.elr_loss import ELRLoss
    from elr.methods.method import Batch, Method, Step
    from elr.runs.fit import fit
    from elr.runs.plan import FitConfig
    from elr.runs.predict import predict
    from elr.targets.dense import DenseTargets
    from elr.targets.store import Targets

_HOME = {
    "audit.labels": ("Audit", "audit_labels"),
    "data.records": ("ReadOptions",),
    "errors": ("ELRError",),
    "estimator": ("ELRClassifier",),
    "methods.cross_entropy": ("LossMethod",),
    "methods.elr": ("ELR", "ELRConfig"),
    "methods.elr_loss": ("ELRLoss",),
    "methods.method": ("Batch", "Method", "Step"),
    "runs.fit": ("fit",),
    "runs.plan": ("FitConfig",),
    "runs.predict": ("predict",),
    "targets.dense": ("DenseTargets",),
    "targets.store": ("Targets",),
}
__all__ = sorted(name for names in _HOME.values() for name in names)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("elr")
    home = next((module for module, names in _HOME.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'elr' has no attribute {name!r}")
    return getattr(import_module(f"elr.{home}"), name)
