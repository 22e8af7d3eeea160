"""Which spellings are one class, and what it is called."""

from decimal import Decimal

import numpy as np
import pytest

from elr.data.labels.spelling import (
    ascii_where_alike,
    class_key,
    class_labels,
    several_spellings,
    spelled,
    spelling_remark,
    tidy,
)

ONE = [1, 1.0, True, "1", "1.0", "1.", "True", "true", " 1", "1\u00a0", "\ufeff1", "+1"]
ONE += [np.True_, np.int8(1), np.float32(1), Decimal("1.0"), b"1"]


@pytest.mark.parametrize("value", ONE)
def test_all_of_these_are_the_class_1(value):
    assert class_key(value) == "1"


@pytest.mark.parametrize("value", ["01", "1.5", 1.5, "one", "", "1e0", "-1", 11, "I", "\u0661", "1 1"])
def test_none_of_these_is(value):
    assert class_key(value) != "1"


def test_case_and_leading_zeros_tell_classes_apart():
    names = ["Cat", "cat", "007", "7", "-", "+", "TRUE story", "2024-01-01", "2024-01-02 00:00:00"]
    assert len({class_key(name) for name in names}) == len(names)
    assert class_key("2024-01-01 00:00:00") == class_key("2024-01-01")


def test_a_class_is_called_as_it_mostly_is():
    assert class_labels({"cafe\u0301": 2, "caf\u00e9": 9})["cafe\u0301"] == "caf\u00e9"
    assert class_labels({"cat ": 9, "cat": 1})["cat"] == "cat "
    assert class_labels({"True": 3, "False": 4}) == {"True": "True", "False": "False"}
    assert class_labels({"True": 3, "0": 4, "1": 1}) == {"True": 1, "0": 0, "1": 1}
    assert class_labels({"9223372036854775808": 1, "1": 1})["1"] == "1"
    assert class_labels({"-1": 1, "+1": 1}) == {"-1": "-1", "+1": "+1"}


def test_what_was_merged_is_said_and_can_be_told_apart():
    several = several_spellings({"cafe\u0301": 2, "caf\u00e9": 9, "th\u00e9": 3})
    assert several == {"caf\u00e9": {"caf\u00e9": 9, "cafe\u0301": 2}}
    (remark,) = spelling_remark(several, name="y")
    assert r"'caf\xe9' (9), 'cafe\u0301' (2)" in remark
    many = several_spellings({f"{number}{end}": 1 for number in range(9) for end in ("", ".0")})
    assert "and 4 more classes" in spelling_remark(many, name="y")[0]
    assert spelling_remark({}, name="y") == []
    assert ascii_where_alike("cat", {"cat": 1, "cat ": 1}) == "'cat'"


def test_text_as_it_is_seen():
    assert spelled(b"\xff") == "\\xff"
    assert tidy("a\u200b b\t\tc\u3000") == "a b c"
    assert "\u200c" in tidy("\u0645\u06cc\u200c\u0634\u0648\u062f")  # inside of a word it means something
