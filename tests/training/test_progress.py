import math

import numpy as np
import pytest

from elr.errors import ArtifactError, OutputError
from elr.training.progress import (
    agreement_by_chance,
    append_line,
    are_records,
    json_line,
    read_lines,
    write_lines,
)


def test_lines_go_round_and_have_no_nan(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_lines(path, [{"epoch": 1, "change": math.nan}])
    append_line(path, json_line({"epoch": 2, "change": 0.5}))
    assert read_lines(path) == [{"epoch": 1, "change": None}, {"epoch": 2, "change": 0.5}]


def test_damaged_lines_and_full_folders_are_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 1}\n{"epo')
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl cannot be read .* incomplete or damaged"):
        read_lines(path)
    with pytest.raises(OutputError, match="cannot write"):
        append_line(tmp_path / "absent" / "metrics.jsonl", "{}")


@pytest.mark.parametrize("line", ["7", "null", "[" * 100_000 + "]" * 100_000])
def test_lines_that_are_no_objects_are_damage(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f"{line}\n")
    with pytest.raises(ArtifactError, match=r"metrics\.jsonl cannot be read"):
        read_lines(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize(
    ("record", "whole"),
    [
        ({"epoch": 1, "seconds": 0.5, "change": float("nan")}, True),  # of the first epoch there is none before
        ({"epoch": 1}, False),
        ({"epoch": 1, "seconds": float("inf")}, False),
        ({"epoch": 1, "seconds": -1.0}, False),
        ({"epoch": 1, "seconds": 0.5, "loss": None}, False),
        ({"epoch": True, "seconds": 0.5}, False),
        ({"epoch": "1", "seconds": 0.5}, False),
        ([], False),
    ],
)
def test_records_are_measures_of_an_epoch_each(record, whole):
    assert are_records([record]) is whole


def test_chance_is_that_of_frequencies_over_the_rows_that_count():
    generator = np.random.default_rng(0)
    predicted, labels = generator.integers(-1, 7, 150_000), generator.integers(0, 4, 150_000)  # in several parts
    seen = predicted >= 0
    shares = [np.bincount(each[seen], minlength=7) / seen.sum() for each in (predicted, labels)]
    assert agreement_by_chance(predicted, labels) == pytest.approx(float(shares[0] @ shares[1]), rel=1e-12)
    assert np.isnan(agreement_by_chance(np.array([-1, -1]), np.array([0, 1])))
    assert np.isnan(agreement_by_chance(np.array([], dtype=int), np.array([], dtype=int)))
    assert agreement_by_chance(np.array([3]), np.array([1])) == 0.0
