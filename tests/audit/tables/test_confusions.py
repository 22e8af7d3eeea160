import numpy as np

from elr.audit.tables.confusions import confusions_among

TRANSITIONS = np.eye(3)


def test_the_most_frequent_pair_comes_first_and_ties_go_by_class():
    given, favored = np.array([2, 0, 0, 1]), np.array([0, 1, 1, 2])
    pairs = confusions_among(given, favored, TRANSITIONS, limit=10)
    assert [(pair.given, pair.clean, pair.num_rows) for pair in pairs] == [(0, 1, 2), (1, 2, 1), (2, 0, 1)]
    assert confusions_among(given, favored, TRANSITIONS, limit=1) == pairs[:1]
    assert confusions_among(given[:0], favored[:0], TRANSITIONS, limit=10) == []
