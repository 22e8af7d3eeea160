"""One category for each meaning."""

from elr.data.columns.categories import Categories, category_key, is_mark, merged


def test_keys_are_blind_to_case_blanks_and_forms_of_letters():
    assert (
        len({category_key(text) for text in (" Male ", "male", "MALE", "male\u00a0", "\ufeffmale", "ma\u200ble")}) == 1
    )
    assert category_key("e\u0301") == category_key("\u00e9")
    assert category_key(1.0) == category_key("1") == category_key(" 1.0")
    assert category_key("1.10") != category_key("1.1")
    assert category_key("007") != category_key("7")


def test_truth_is_one_in_all_its_spellings_where_a_column_holds_nothing_else():
    assert [Categories(["yes", "no"]).name(value) for value in (True, 0, "T")] == ["yes", "no", "yes"]
    assert Categories(["yes", "no", "maybe"]).name(True) is None
    assert Categories(["t", "true"]).name("yes") is None
    names, groups = merged(["True", "t", "0", "False"], [3, 1, 1, 5])
    assert names == ["True", "False"]
    assert groups == [["True", "t"], ["0", "False"]]


def test_marks_of_missing_values():
    assert all(is_mark(text) for text in ("", " ? ", "NA", "--", "n/a", "None", "\ufeff", " \u200b"))
    assert not any(is_mark(text) for text in ("none", "unknown", "no", 0, None))
    assert is_mark("Unknown", number=True)
