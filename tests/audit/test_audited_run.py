import numpy as np
import pytest

from elr.audit.audited_run import AuditedRun
from elr.errors import ArgumentError


def test_json_of_an_audit(audited):
    content = audited.to_json(3)
    assert len(content["suspects"]) == 3
    np.testing.assert_allclose(np.sum(content["transition_matrix"], axis=1), 1.0)
    issues = audited.audit.num_label_issues
    assert content["expected_precision"][str(issues)] == pytest.approx(audited.audit.expected_precision[issues - 1])
    assert content["warnings"] == [alarm.to_json() for alarm in audited.warnings]
    assert content["out_of_fold"] is audited.evidence.out_of_fold
    assert content["confusions"][0]["num_rows"] <= issues
    assert {pair["given"] for pair in content["confusions"]} <= {"n", 'y"<b>'}
    with pytest.raises(ArgumentError, match="score is 'x'"):
        AuditedRun.read(audited.folder, score="x")
