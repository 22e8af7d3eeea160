"""The label leak of the authors' ELR+ loaders against what probability theory says of it."""

import json
import subprocess
import sys

import pytest

from scripts import ROOT, load_script

SCRIPT = ROOT / "benchmarks" / "leak.py"
N, C, HELD_OUT = 50_000, 10, 0.1


def load():
    return load_script(SCRIPT)


def wrong_by_class(noise, rate):
    """Probability, for each clean class, that one draw of the authors' noise makes the label wrong."""
    if noise == "symmetric-authors":  # redrawn at the rate, and by chance back to the true one of C classes
        return [rate * (1 - 1 / C)] * C
    rates = dict.fromkeys((2, 4, 5, 9), rate)  # bird, deer, dog, truck
    rates[3] = rate * (1 - rate)  # cats turned dogs are turned back with the dogs
    return [rates.get(c, 0.0) for c in range(C)]


def expected(noise, rate):
    """Mean of each share, and a bound on the standard deviation of one draw."""
    wrong = wrong_by_class(noise, rate)
    return {
        "wrong_for_first": (sum(wrong) / C, 0.5 / N**0.5),
        "wrong_for_both": (sum(p**2 for p in wrong) / C, 0.5 / N**0.5),  # independent, given the clean class
        "validation_trained_by_other": (1 - HELD_OUT, (HELD_OUT * (1 - HELD_OUT) / (HELD_OUT * N)) ** 0.5),
    }


def test_every_noise_of_the_script_leaks_as_much_as_independent_draws_do():
    script = load()
    assert [rate for noise, rate in script.NOISES if noise == "symmetric-authors"] == [0.2, 0.4, 0.5, 0.6, 0.8, 0.9]
    assert ("asymmetric-cifar10-authors", 0.4) in script.NOISES
    for noise, rate in script.NOISES:
        found = script.leak(noise, rate, seed=0)
        for key, (mean, deviation) in expected(noise, rate).items():
            assert found[key] == pytest.approx(mean, abs=5 * deviation), (noise, rate, key)


def test_a_seed_gives_one_result_and_another_seed_another():
    leak = load().leak
    first, again, other = (leak("symmetric-authors", 0.8, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_script_prints_a_table_and_json():
    table, data = (
        subprocess.run([sys.executable, SCRIPT, "--seeds", "2", *flags], check=True, capture_output=True, text=True)
        for flags in ([], ["--json"])
    )
    rows = json.loads(data.stdout)["rows"]
    lines = table.stdout.splitlines()
    assert len(rows) == len(lines) - 2 == 7
    for row, line in zip(rows, lines[2:], strict=True):
        assert line.startswith(f"| {row['noise']} {row['noise_rate']} |")
        for key, (mean, deviation) in expected(row["noise"], row["noise_rate"]).items():
            assert row[key][0] == pytest.approx(mean, abs=5 * deviation)
            assert f" {100 * row[key][0]:.2f} ± " in line
