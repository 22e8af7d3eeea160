"""Early-Learning Regularization: learn from partly wrong labels and find the wrong ones."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elr.audit.calling.probabilities import audit
    from elr.audit.explanation.reading import explain
    from elr.audit.label_quality import Audit, audit_labels
    from elr.data.indexed import with_index
    from elr.data.prepared_data import inspect
    from elr.data.records import ReadOptions
    from elr.errors import ELRError
    from elr.estimator import ELRClassifier
    from elr.methods.cross_entropy import LossMethod
    from elr.methods.elr import ELR, ELRConfig
    from elr.methods.loss.elr_loss import ELRLoss
    from elr.methods.method import Batch, Method, Step
    from elr.runs.export.model import export_model
    from elr.runs.fit import fit
    from elr.runs.fit_config import FitConfig
    from elr.runs.predict import predict
    from elr.targets.dense import DenseTargets
    from elr.targets.store import Targets

_NAMES = {  # by the module that is loaded when one of them is first used: `import elr` costs nothing by itself
    "audit.calling.probabilities": ("audit",), "audit.label_quality": ("Audit", "audit_labels"), "runs.fit": ("fit",),
    "audit.explanation.reading": ("explain",),
    "data.indexed": ("with_index",), "data.prepared_data": ("inspect",), "data.records": ("ReadOptions",),
    "errors": ("ELRError",), "estimator": ("ELRClassifier",), "methods.cross_entropy": ("LossMethod",),
    "methods.elr": ("ELR", "ELRConfig"), "methods.loss.elr_loss": ("ELRLoss",), "runs.predict": ("predict",),
    "methods.method": ("Batch", "Method", "Step"), "runs.fit_config": ("FitConfig",), "targets.store": ("Targets",),
    "targets.dense": ("DenseTargets",), "runs.export.model": ("export_model",),
}  # fmt: skip
_HOME = {name: module for module, names in _NAMES.items() for name in names}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("elr")
    if name not in _HOME:
        raise AttributeError(f"module 'elr' has no attribute {name!r}")
    found = getattr(import_module(f"elr.{_HOME[name]}"), name)
    return globals().get(name, found)  # `audit` is a package that can be called
