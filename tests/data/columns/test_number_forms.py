"""Numbers in the writing of other countries."""

import numpy as np
import pandas as pd
import pytest

from elr.data.columns.number_forms import NumberForm, number_form, plain_numbers
from elr.errors import ArgumentError


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,5", "22,25"], [1.5, 22.25]),
        (["1.234,50", "12,00"], [1234.5, 12]),
        (["1,234.50", "12.00"], [1234.5, 12]),
        (["1 234,50", "1\u00a0234,5", "7\u202f000 111"], [1234.5, 1234.5, 7000111]),
        (["1'234.50", "1\u2019234"], [1234.5, 1234]),
        (["12 %", "7%"], [12, 7]),
        (["$3", "$ 4.5"], [3, 4.5]),
        (["3 $", "-4 $"], [3, -4]),
        (["\u20ac 3,50", "-\u20ac1.000,25"], [3.5, -1000.25]),
        (["(5)", "\u22123", "+2"], [-5, -3, 2]),
        (["1e5", "2,5e-1"], [1e5, 0.25]),
        (["12 kg", "1.5 kg"], [12, 1.5]),
        (["USD 12", "USD 1,000.00"], [12, 1000]),
        (["1.234.567", "1.000"], [1234567, 1000]),
        (["1,234", "1,5"], [1.234, 1.5]),
        (["1,234", "0,500"], [1.234, 0.5]),
        (["1,234", "12345"], [1.234, 12345]),
    ],
)
def test_a_column_that_agrees_is_read(texts, numbers):
    form, guessed = number_form(texts)
    assert not guessed
    np.testing.assert_allclose(form.numbers(texts), numbers)
    assert NumberForm.from_json(form.to_json()) == form


@pytest.mark.parametrize(
    "texts",
    [
        ["A1", "A2"],
        ["12 kg", "13 g"],
        ["12:30", "13:45"],
        ["1.2.3", "1.2.4"],
        ["007 x", "008 x"],
        ["3/5", "4/5"],
        ["one", "two"],
        ["10-20", "20-30"],
        ["1,5", "1.5"],
    ],
)
def test_what_does_not_agree_is_no_number(texts):
    assert number_form(texts) == (None, False)


def test_what_may_mean_two_things_is_a_guess_unless_told():
    for texts in (["1,234", "2,345"], ["1.234", "2.345"]):
        assert number_form(texts)[1]
        assert not number_form(texts, decimal=",")[1]
        assert number_form(texts, decimal=",")[0].decimal == ","
        assert number_form(texts, decimal=".")[0].decimal == "."


def test_plain_numbers_are_those_of_pandas():
    rng = np.random.default_rng(0)
    values = rng.normal(size=500) * 10.0 ** rng.integers(-30, 30, 500)
    texts = [
        *map(repr, values.tolist()),
        " 1",
        "1 ",
        "+1",
        ".5",
        "5.",
        "inf",
        "1_000",
        "0x10",
        "",
        "-",
        "1e",
        "1e400",
        "\n2",
    ]
    expected = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(dtype=np.float64)
    np.testing.assert_array_equal(plain_numbers(texts), expected)
    np.testing.assert_array_equal(plain_numbers(pd.Series(texts, dtype="str")), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [("group", 3.5), ("group", "."), ("group", "--"), ("decimal", ""), ("decimal", None), ("suffix", [])],
)
def test_a_form_of_a_run_that_is_none_is_refused(name, value):
    stored = NumberForm(suffix="%").to_json()
    assert NumberForm.from_json(stored) == NumberForm(suffix="%")
    with pytest.raises(ArgumentError, match=f"^{name} is "):
        NumberForm.from_json(stored | {name: value})
