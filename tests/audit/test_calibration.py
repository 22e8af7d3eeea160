"""Probabilities that a given label is wrong: against planted noise, whose truth is known."""

import time

import numpy as np
import pytest
from scipy.special import expit, rel_entr
from scipy.stats import beta

from elr.audit import calibration
from elr.audit.calibration import calibrate, favorites_of
from elr.audit.label_quality import audit_labels


def planted(*, count=4000, classes=3, noise_rate=0.3, hard=2.0, times=4.0, flips="symmetric", seed=0):
    """Labels, probabilities that are `times` too sure of themselves, and the classes that are really so.

    The network's log-odds are right before they are multiplied: the class favored is right with that probability, and
    where it is wrong the second opinion is right in three of four rows.
    """
    rng = np.random.default_rng(seed)
    clean = rng.integers(classes, size=count)
    sure = np.abs(rng.normal(hard, 1.5, size=count))
    right = rng.random(count) < expit(sure)
    other = (clean + rng.integers(1, classes, size=count)) % classes
    favored = np.where(right, clean, other)
    probs = np.full((count, classes), 1.0)
    rivals = np.where(right, other, np.where(rng.random(count) < 0.75, clean, (favored + 1) % classes))
    probs[np.arange(count), rivals] += 2 * classes
    probs[np.arange(count), favored] = np.exp(times * sure) * probs.sum(axis=1)
    step = rng.integers(1, classes, size=count) if flips == "symmetric" else 1
    flipped = rng.random(count) < noise_rate
    if flips == "one-sided":
        flipped &= clean == 0
    labels = np.where(flipped, (clean + step) % classes, clean)
    return labels, probs / probs.sum(axis=1, keepdims=True), clean


def calibrated(labels, probs):
    return calibrate(labels, favorites_of(probs.argmax(axis=1), labels, probs))


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("flips", ["symmetric", "next", "one-sided"])
@pytest.mark.parametrize("noise_rate", [0.1, 0.3])
def test_probabilities_are_as_often_wrong_as_they_say(classes, flips, noise_rate):
    labels, probs, clean = planted(classes=classes, flips=flips, noise_rate=noise_rate)
    found, wrong = calibrated(labels, probs), labels != clean
    contradicted = probs.argmax(axis=1) != labels
    assert found.error_probs[contradicted].mean() == pytest.approx(wrong[contradicted].mean(), abs=0.15)
    assert found.noise_rate == pytest.approx(wrong.mean(), abs=0.05)
    believed = 1.0 - probs[np.arange(len(labels)), labels]
    assert believed[contradicted].mean() > 0.85  # what the evidence says of itself, whatever the noise


def test_transitions_are_those_that_were_planted():
    labels, probs, _ = planted(classes=3, flips="next", noise_rate=0.3)
    np.testing.assert_allclose(
        calibrated(labels, probs).transitions, 0.7 * np.eye(3) + 0.3 * np.eye(3)[[1, 2, 0]], atol=0.06
    )


def test_a_label_that_noise_never_makes_is_not_called_wrong():
    """Only class 0 is flipped, into 1: rows given 0 are right, however much the network is for 1."""
    labels, probs, clean = planted(classes=2, flips="one-sided", noise_rate=0.4)
    found, favored = calibrated(labels, probs), probs.argmax(axis=1)
    impossible, possible = (favored == 1) & (labels == 0), (favored == 0) & (labels == 1)
    assert (labels != clean)[impossible].sum() == 0
    assert found.error_probs[impossible].mean() < 0.2
    assert found.error_probs[possible].mean() == pytest.approx((labels != clean)[possible].mean(), abs=0.1)


def test_the_interval_holds_the_rate_most_often():
    hits = 0
    for seed in range(40):
        labels, probs, clean = planted(count=500, classes=3, seed=seed)
        low, high = calibrated(labels, probs).noise_rate_interval
        hits += low <= (labels != clean).mean() <= high
    assert hits >= 34


def test_the_same_rows_in_another_order_are_judged_alike():
    labels, probs, _ = planted(count=500)
    order = np.random.default_rng(1).permutation(500)
    first, second = calibrated(labels, probs), calibrated(labels[order], probs[order])
    np.testing.assert_allclose(first.error_probs[order], second.error_probs, atol=1e-9)


@pytest.mark.parametrize("sure", [1.0, 0.5])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_rows_and_rows_that_are_all_alike(sure, count):
    probs = np.tile([sure, 1.0 - sure, 0.0], (count, 1))
    found = calibrated(np.arange(count) % 3, probs)
    assert ((found.error_probs >= 0) & (found.error_probs <= 1)).all()
    np.testing.assert_allclose(found.transitions.sum(axis=1), 1.0)
    low, high = found.noise_rate_interval
    assert 0 <= low <= found.noise_rate <= high <= 1


def test_more_rows_than_are_fitted_to_are_all_judged(monkeypatch):
    labels, probs, _ = planted(count=4000)
    whole = calibrated(labels, probs)
    monkeypatch.setattr("elr.audit.calibration._SEEN", 2000)
    part = calibrated(labels, probs)
    assert part.error_probs.shape == (4000,)
    assert part.noise_rate == pytest.approx(whole.noise_rate, abs=0.05)


def test_many_classes_with_few_rows_each():
    labels, probs, clean = planted(count=3000, classes=100)
    found = calibrated(labels, probs)
    assert found.noise_rate == pytest.approx((labels != clean).mean(), abs=0.1)


def test_it_takes_less_than_a_second():
    labels, probs, _ = planted(count=10_000, classes=10)
    started = time.perf_counter()
    calibrated(labels, probs)
    assert time.perf_counter() - started < 1.0


def test_expected_precision_of_an_audit_comes_true():
    labels, probs, clean = planted(classes=5)
    audit = audit_labels(labels, probs, out_of_fold=True)
    wrong, issues = (labels != clean)[audit.ranking], audit.num_label_issues
    for cut in (issues // 10, issues // 2, issues):
        assert audit.expected_precision[cut - 1] == pytest.approx(wrong[:cut].mean(), abs=0.1)


def test_one_round_of_fitting_is_that_of_expectation_maximization_class_by_class(monkeypatch):
    """Against sums over the true class of every row; what smooths is left out."""
    monkeypatch.setattr(calibration, "_smoothed", lambda counts, spread: (counts, 0.0))
    rng = np.random.default_rng(1)
    favored, given, counts = rng.integers(3, size=20), rng.integers(3, size=20), rng.integers(1, 9, size=20)
    right, seconds = rng.uniform(0.4, 0.9, size=20), np.array([0.5, 0.3, 0.2])
    start = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
    expected, likelihood = np.zeros((3, 3)), 0.0
    for k, j, n, a in zip(favored, given, counts, right, strict=True):
        classes = seconds * (1 - a) / (1 - seconds[k])
        classes[k] = a
        joint = classes * start[:, j]
        expected[:, j] += n * joint / joint.sum()
        likelihood += n * np.log(joint.sum())
    setting = calibration._Setting(0.0, 0.0, np.zeros(0), right, start, 0.0, -np.inf)
    cells = calibration._Cells(favored, given, np.zeros(20, dtype=int), counts)
    found = calibration._fitted(setting, cells, seconds, most=1)
    np.testing.assert_allclose(found.transitions, expected)
    assert found.likelihood == pytest.approx(likelihood)


def test_what_smooths_has_the_prior_that_it_says():
    counts, spread = np.array([[8.0, 1.0, 3.0], [0.0, 6.0, 2.0], [2.0, 2.0, 9.0]]), 0.5
    found, prior = calibration._smoothed(counts, spread)
    overall = (10 + 1) / (33 + 2)
    rates = (np.array([4, 2, 4]) + 2 * overall) / (np.array([12, 8, 13]) + 2)
    np.testing.assert_allclose(1 - np.diagonal(found), rates)
    shares = np.array([[1.5, 3.5], [0.5, 2.5], [2.5, 2.5]]) / np.array([[5.0], [3.0], [5.0]])
    np.testing.assert_allclose(found[~np.eye(3, dtype=bool)].reshape(3, 2), shares * rates[:, None])
    told = -2 * (rel_entr(overall, rates) + rel_entr(1 - overall, 1 - rates)).sum()  # of the rate of each class
    told += spread * np.log(2 * shares).sum()  # of how even its flips are
    told += np.log(overall * (1 - overall))  # and of the rate of all
    assert prior == pytest.approx(told)
    np.testing.assert_allclose(calibration._smoothed(counts, 1e6)[0][0, 1:], rates[0] / 2, rtol=1e-4)


def test_fitting_starts_from_a_quarter_of_wrong_labels():
    for classes in (2, 3, 10):
        start = calibration._start(classes)
        np.testing.assert_allclose(np.diagonal(start), 0.75)
        np.testing.assert_allclose(start.sum(axis=1), 1.0)
        assert np.ptp(start[~np.eye(classes, dtype=bool)]) < 1e-12


def test_the_interval_of_one_setting_is_jeffreys():
    low, high = calibration._interval(0.3, np.array([1.0]), np.array([0.3]), 200)
    assert (low, high) == pytest.approx(tuple(beta.ppf([0.025, 0.975], 60.5, 140.5)))
    mixed = calibration._interval(0.4, np.array([0.5, 0.5]), np.array([0.3, 0.5]), 200)
    assert mixed[0] < low + 0.03
    assert mixed[1] > beta.ppf(0.95, 100.5, 100.5) - 1e-9


@pytest.mark.parametrize(("count", "evenly"), [(89, True), (90, False)])
def test_pairs_are_not_told_apart_while_there_are_few_rows_for_each(count, evenly, monkeypatch):
    fitted, spreads = calibration._fitted, []

    def spied(*arguments, **options):
        spreads.append(options.get("spread", calibration._SPREAD))
        return fitted(*arguments, **options)

    monkeypatch.setattr(calibration, "_fitted", spied)
    labels, probs, _ = planted(count=count, classes=3)
    calibrated(labels, probs)
    assert (calibration._EVENLY in spreads) == evenly
    assert spreads[-1] == calibration._SPREAD, "in the end they are, with whatever rows there are"


def erring_one_way(*, rate=0.4, count=600, seed=0):
    """Labels of class 0 that are class 1 in part; networks that learned from such labels are less sure of class 0.

    The evidence is right in 98 of 100 rows of either class, and agrees with the labels of those favored as class 0 as
    often whether it is sure of them or not.
    """
    rng = np.random.default_rng(seed)
    clean = rng.integers(2, size=count)
    labels = np.where((clean == 0) & (rng.random(count) < rate), 1, clean)
    favored = np.where(rng.random(count) < 0.98, clean, 1 - clean)
    leads = np.where(favored == 0, rng.uniform(0, 2, count), np.where(favored == clean, rng.uniform(1, 9, count), 0.5))
    probs = np.stack([expit(-leads), expit(leads)], axis=1)
    probs[favored == 0] = probs[favored == 0, ::-1]
    return labels, probs, clean


@pytest.mark.parametrize("seed", range(3))
def test_labels_that_err_one_way_are_not_taken_for_a_class_that_is_hard(seed):
    labels, probs, clean = erring_one_way(seed=seed)
    found, wrong = calibrated(labels, probs), labels != clean
    contradicted = probs.argmax(axis=1) != labels
    assert found.noise_rate == pytest.approx(wrong.mean(), abs=0.07)
    assert found.error_probs[contradicted].mean() == pytest.approx(wrong[contradicted].mean(), abs=0.2)
    assert found.transitions[0, 1] == pytest.approx(0.4, abs=0.15)
    assert found.transitions[1, 0] < 0.05


def favorites_that_differ(there, back, *, sizes=(400, 400)):
    """Labels and favorites of which so many rows favored as 0 are given as 1, and as 1 given as 0, however sure."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1], sizes)
    shares = zip(sizes, (there, back), strict=True)
    differ = np.concatenate([rng.permutation(size) < share * size for size, share in shares])
    best = rng.uniform(0.6, 0.9, len(classes))
    probs = np.where(np.arange(2) == classes[:, None], best[:, None], 1 - best[:, None])
    labels = np.where(differ, 1 - classes, classes)
    return labels, favorites_of(classes, labels, probs)


@pytest.mark.parametrize(
    ("there", "back", "one_way"),
    [
        (0.4, 0.02, True),
        (0.15, 0.0, True),
        (0.3, 0.25, False),
        (0.08, 0.0, False),
        (0.0, 0.0, False),
        (0.02, 0.4, True),
    ],
)
def test_which_labels_err_one_way(there, back, one_way):
    assert calibration._err_one_way(*favorites_that_differ(there, back)) is one_way


def test_a_few_rows_do_not_say_that_labels_err_one_way():
    assert not calibration._err_one_way(*favorites_that_differ(0.4, 0.0, sizes=(10, 10)))
    assert calibration._err_one_way(*favorites_that_differ(0.4, 0.0, sizes=(100, 100)))


def test_a_class_that_is_only_hard_does_not_err_one_way():
    rng = np.random.default_rng(0)
    leads = rng.exponential(2.0, 2000)
    classes = np.repeat([0, 1], 1000)
    right = rng.random(2000) < np.where(classes == 0, expit(leads - 1), 0.99)
    labels = np.where(right, classes, 1 - classes)
    probs = np.stack([np.where(classes == 0, expit(leads), expit(-leads))] * 2, axis=1)
    probs[:, 1] = 1 - probs[:, 0]
    assert not calibration._err_one_way(labels, favorites_of(classes, labels, probs))


def test_second_opinions_that_are_an_accident_of_a_sure_network_do_not_lead_the_list():
    probs = np.full((2, 4), 1e-9)
    probs[0, 0] = 1 - 3e-9  # sure of class 0: nothing tells the other three
    probs[1] = [0.55, 0.4499, 1e-4 - 1e-9, 1e-9]  # hesitates between two, of which the given label is none
    claims = favorites_of([0, 0], [3, 3], probs).claims
    assert claims[0] == pytest.approx(1 / 3, abs=0.01)
    assert claims[1] == pytest.approx(0.1 / 3, abs=0.01)
