"""What most likely says that a value is missing is told; ordinary values are not."""

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.choice import found_column
from elr.data.columns.stand_ins import stand_ins

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "stand_in",
    [-999.0, 9999.9, 999.99, 65535.0, -32768.0, 2147483647.0, 1e20, -1e30, float(np.float32(99999.9)), 199.0],
)
def test_a_stand_in_is_told_at_either_end(stand_in):
    numbers = np.concatenate([RNG.uniform(0, 40, 50), np.full(4, stand_in), [np.nan]])
    (remark,) = stand_ins(RNG.permutation(numbers))
    assert remark.startswith(f"{stand_in:.7g} stands in 4 rows" if abs(stand_in) < 1e6 else f"{stand_in:.15g} stands")


def test_two_at_one_end_and_one_at_the_other():
    numbers = np.concatenate([RNG.uniform(0, 40, 50), [-999, -999, -9999, -9999, 9999, 9999]])
    assert [remark.split()[0] for remark in stand_ins(numbers)] == ["-9999", "-999", "9999"]


@pytest.mark.parametrize(
    "numbers",
    [
        np.arange(0, 1000.0).repeat(2),  # 999 among its like
        [1, 2, 3, 9999],  # once
        [0, 255, 255, 128, 64],
        [1, 2, 1, 2, 99, 99],  # too few others to say what is far
        [5e8, 1e9, 1.5e9, 999999999, 999999999],
        [],
        [np.nan, np.nan],
    ],
)
def test_ordinary_numbers_are_not(numbers):
    assert stand_ins(np.asarray(numbers, dtype=np.float64)) == []


@pytest.mark.parametrize("day", ["9999-12-31", "1900-01-01", "1970-01-01"])
def test_dates_that_say_never(day):
    days = [f"2024-{month:02d}-{at:02d}" for month in (1, 2, 3) for at in range(1, 25)]
    found = found_column(pd.Series([*days, day, day]))
    assert any(remark.startswith(f"{day} stands in 2 rows") for remark in found.remarks)
    assert found_column(pd.Series([*days, "2024-12-31", "2024-12-31"])).remarks == []


def test_dates_around_the_epoch_are_ordinary():
    days = pd.Series(pd.date_range("1960-01-01", "1985-01-01", freq="97D").repeat(2))
    assert found_column(days).remarks == []
