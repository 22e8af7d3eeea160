"""`elr theory` as its users call it."""

import json
import re

import pytest

from command_line import done, elr, inside


def test_theory_prints_its_object_and_writes_the_folder(tmp_path):
    found = done("theory", "--p", 80, "--n", 100, "--steps", 400, "--lam", 3, "--out", tmp_path / "out")
    assert found["settings"]["lam"] == 3.0
    assert found["theorem"].keys() >= {"i", "ii", "iii"}
    assert found["final_accuracy_on_wrong"] == pytest.approx(1.0 - found["fraction_memorized"])
    assert {each.name for each in (tmp_path / "out").iterdir()} == {"theory.json", "path.csv", "theory.png"}


def test_theory_says_its_findings_in_words(tmp_path):
    result = elr("theory", "--p", 60, "--n", 80, "--steps", 50, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not result.stdout
    assert re.search(r"^iii +fails: 0\.\d+ of the wrong labels", result.stderr, re.MULTILINE)
    assert "Again: elr theory --p 60 --n 80 --steps 50 --out theory" in result.stderr
    assert (tmp_path / "theory" / "theory.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--p", 1], "(p) is 1: expected at least 2"),
        (["--n", 1], "(n) is 1: expected at least 2"),
        (["--sigma", 0], "sigma is 0.0: expected a spread > 0"),
        (["--noise-rate", 0.5], "noise_rate is 0.5: expected a share in [0, 0.5)"),
        (["--lam", -1], "lam is -1.0: expected a weight >= 0"),
        (["--classes", 1], "num_classes is 1"),
    ],
)
def test_theory_says_what_is_wrong_and_leaves_nothing(arguments, message, tmp_path):
    result = inside("theory", *arguments, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 2
    assert message in json.loads(result.stdout)["error"]["message"]
    assert not (tmp_path / "out").exists()
