"""Makes the package `elr.audit` a function as well: `elr.audit(labels, pred_probs)`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elr.audit.label_quality import Audit


class CallablePackage(ModuleType):
    """A package that can be called; loading this module makes `elr.audit` one.

    Example:
        >>> import elr
        >>> elr.audit([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]).num_label_issues
        1
        >>> elr.audit.__name__, callable(elr.audit)
        ('elr.audit', True)
    """

    def __call__(
        self,
        labels: Any,
        pred_probs: Any,
        *,
        class_names: Sequence[Any] | None = None,
        score: str | None = None,
        margins: Any = None,
        out_of_fold: bool = False,
    ) -> Audit:
        from elr.audit.calling.probabilities import audit

        return audit(labels, pred_probs, class_names=class_names, score=score, margins=margins, out_of_fold=out_of_fold)


sys.modules["elr.audit"].__class__ = CallablePackage
