"""`elr doctor`: its words, its object, its status."""

import json

from command_line import inside
from elr import diagnosis


def test_it_says_that_all_is_well():
    result = inside("doctor")
    assert result.exit_code == 0, result.stdout
    assert "Self-test" in result.stdout
    assert result.stdout.splitlines()[-1] == "ok"


def test_a_fault_is_status_1(monkeypatch):
    monkeypatch.setattr(diagnosis, "_train", lambda device: f"nothing is learned on {device}")
    result = inside("doctor", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["ok"] is False
    assert found["tests"][0]["problem"] == "nothing is learned on cpu"
    assert inside("doctor").stdout.splitlines()[-1] == "NOT OK: see above"
