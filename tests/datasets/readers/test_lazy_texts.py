"""A sequence of texts that makes them when they are asked for."""

import pytest

from elr.datasets.readers.lazy_texts import LazyTexts


class Squares(LazyTexts):
    def __init__(self):
        self.made = []

    def __len__(self):
        return 5

    def _text(self, row):
        self.made.append(row)
        return str(row**2)


def test_it_is_a_sequence():
    texts = Squares()
    assert list(texts) == ["0", "1", "4", "9", "16"]
    assert (texts[-1], texts[::-2], texts[7:]) == ("16", ["16", "4", "0"], [])
    assert "9" in texts
    for row in (5, -6):
        with pytest.raises(IndexError):
            texts[row]


def test_only_what_is_asked_for_is_made():
    texts = Squares()
    assert texts[-2] == "9"
    assert texts.made == [3]
