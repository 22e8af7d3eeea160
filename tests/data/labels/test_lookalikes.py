"""Classes that are most likely one are named; those that are several are not."""

import pytest

from elr.data.labels.lookalikes import lookalikes

ONE = [
    ["Cat", "cat"],
    ["non-toxic", "non_toxic", "Non toxic", "nontoxic"],
    ["a\u2013b", "a-b"],
    ["1\u20132", "1-2"],
    ["c\u0430t", "cat"],  # the second letter is Cyrillic
    ["\u039f", "O"],
    ["positive", "positive.", "pos"],
    ["'yes'", "yes"],
    ["1", "1,0", "01"],
    ["0,5", "0.5"],
    ["Y", "yes"],
    ["\uff21\uff22", "AB"],
]
SEVERAL = [
    ["A", "A+", "A-", "B+", "B-"],
    ["C", "C++", "C#"],
    ["1-2", "12", "1.2"],
    ["1.1", "1.10", "1.01"],
    ["-1", "1", "0"],
    ["f", "false"],
    ["a", "apple", "m", "n"],
    ["true", "no", "maybe", "0"],
    [0, 1, 2],
    ["yes", "no"],
    ["\u043a\u043e\u0442", "\u043a\u0438\u0442"],
    ["caf\u00e9", "cafe"],
    [".", ";"],
]


@pytest.mark.parametrize("names", ONE)
def test_one_class_in_several_spellings_is_said(names):
    (remark,) = lookalikes([*names, "other"])
    assert "other" not in remark
    assert all(str(name).encode("ascii", "backslashreplace").decode() in remark or name in remark for name in names)


@pytest.mark.parametrize("names", SEVERAL)
def test_several_classes_are_none_of_its_business(names):
    assert lookalikes(names) == []


def test_short_and_long_words_for_yes_and_no():
    assert len(lookalikes(["t", "true", "f", "false"])) == 2
    assert len(lookalikes(["yes", "no", "1", "0"])) == 2
    assert lookalikes(["yes", "no", "1", "7"]) == []


def test_letters_that_look_alike_are_told_by_their_codes():
    assert r"'c\u0430t'" not in lookalikes(["c\u0430t", "cat"])[0]
    assert r"(c\u0430t)" in lookalikes(["c\u0430t", "cat"])[0]


def test_many_groups_are_counted():
    remarks = lookalikes([f"{case}{number}" for number in range(8) for case in "xX"])
    assert len(remarks) == 6
    assert remarks[-1] == "the like for 3 more"
