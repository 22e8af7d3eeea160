"""`elr.audit` is a package and a function, in whichever order it is met."""

import inspect
import subprocess
import sys

import pytest

import elr
from elr.audit.calling.probabilities import audit

CALL = "elr.audit([0, 0, 1], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]).num_label_issues == 1"


@pytest.mark.parametrize(
    "statements",
    [
        f"import elr; assert {CALL}",
        f"import elr.audit.evidence; assert elr.audit.evidence.Evidence; assert {CALL}",
        f"import elr; assert {CALL}; import elr.audit.evidence; assert elr.audit.evidence.Evidence; assert {CALL}",
        f"from elr.audit.label_quality import audit_labels; import elr; assert {CALL}; assert elr.audit_labels",
        "from elr import audit; import elr.audit.calibration; assert audit is elr.audit",
        f"import elr; elr.audit.label_quality.Audit; assert {CALL}",
        f"import elr; elr.audit_labels; elr.ELRLoss; assert {CALL}; from elr.audit import Audit",
        f"from elr import *; import elr; assert audit is elr.audit; assert {CALL}",
        "import elr.audit as found; assert found([0, 1], [[0.9, 0.1], [0.4, 0.6]]).num_label_issues == 0",
        f"from importlib import import_module as load; elr = load('elr'); load('elr.audit'); assert {CALL}",
    ],
)
def test_in_any_order(statements):
    subprocess.run([sys.executable, "-c", statements], check=True)


def test_it_takes_what_the_function_takes():
    called, function = inspect.signature(elr.audit), inspect.signature(audit)
    assert list(called.parameters) == list(function.parameters)
    assert [each.default for each in called.parameters.values()] == [
        each.default for each in function.parameters.values()
    ]
