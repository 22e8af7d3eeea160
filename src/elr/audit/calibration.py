"""How probable it is that a given label is wrong, from evidence that never saw it. No clean label is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import beta, rankdata

from elr.noise.transitions import transition_matrix

# How often the favored class is right, by the log-odds among the surest fifth of the rows, and by how many log-odds
# less among the least sure fifth: all of these are tried, and weighed by what they make of the given labels.
_SUREST = (2.0, 3.0, 4.0, 5.0, 6.0)
_STEPS = (1.0, 2.0, 3.0, 4.0)
_LOW, _HIGH = 0.2, 0.8  # the quantiles of the two
_BINS = 20  # of sureness, in which rows are counted
_FIRST, _MOST = 8, 50  # iterations: after the first, settings that are far behind are dropped
_BEHIND = 30.0  # nats
_EACH_PAIR = 10  # rows for each pair of classes: with fewer, pairs are not told apart while settings are weighed
_EVENLY = 1e6  # as a spread: nothing is left of what was counted
_CONVERGED = 1e-2  # nats; settings are compared to far less precision
_SEEN = 2**17  # rows that are fitted to; all of them are judged
_LEAST = 1e-6  # probabilities below it are alike
_SHARED, _SPREAD = 2.0, 0.5  # rows added to each class, and to each pair, see _smoothed
_CONFIDENCE = 0.95
_DOUBTED = 0.1  # of the second opinions say nothing: networks that are sure of one class order the others by accident
# Labels err one way if among the surer half of the rows in which the evidence favors a class so many of them are
# another class: so many times as often as back, nearly as often as in the other half, most of those that differ, and
# by so many standard errors.
_FLIPPED, _TIMES, _LEVEL, _MOSTLY, _ERRORS = 0.1, 3.0, 0.6, 0.5, 3.0


class Favorites(NamedTuple):
    """What the evidence says of each row, as far as `calibrate` looks at it: 12 N bytes.

    Args:
        classes: (N,) the class that is favored.
        leads: (N,) float32, log p[favored] - log p[second].
        claims: (N,) float32, share of the given label in what the favored class leaves, a tenth of which goes to all
            classes alike; 0 where it is favored itself.
        seconds: (C,) how much each class has of what the favored ones leave, summed over the rows.

    Example:
        >>> found = favorites_of([0, 1], [0, 0], [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1]])
        >>> print(found.leads.round(2), found.claims.round(3), found.seconds.round(2))
        [2.08 0.69] [0.    0.725] [0.75 0.5  0.75]
    """

    classes: NDArray[np.int64]
    leads: NDArray[np.float32]
    claims: NDArray[np.float32]
    seconds: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What the given labels and the evidence say together.

    Args:
        error_probs: (N,) in [0, 1], the probability that the given label is wrong.
        transitions: (C, C) estimate of T[i, j] = P(given j | clean i), rows sum to 1.
        noise_rate: the mean of `error_probs`.
        noise_rate_interval: 95 %: over the rows and over what cannot be told apart.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.where(rng.random(400) < 0.25, 1, 0)  # a quarter is wrong, and the evidence says 99 %
        >>> found = calibrate(labels, favorites_of(np.zeros(400, int), labels, np.tile([0.99, 0.01], (400, 1))))
        >>> print(round(found.noise_rate, 2), found.transitions[0].round(2))
        0.22 [0.78 0.22]
    """

    error_probs: NDArray[np.float64]
    transitions: NDArray[np.float64]
    noise_rate: float
    noise_rate_interval: tuple[float, float]


class _Setting(NamedTuple):
    """One way to read the evidence, and the transitions that fit the given labels best under it."""

    surest: float
    step: float
    sureness: NDArray[np.float64]  # (N,) on the scale of this setting: 0 at _HIGH, -1 at _LOW
    right: NDArray[np.float64]  # how often the favored class is right, in each cell
    transitions: NDArray[np.float64]
    prior: float
    likelihood: float


class _Cells(NamedTuple):
    """Rows counted by the class favored, the class given, and how sure: all that the fit needs of them."""

    favored: NDArray[np.int64]
    given: NDArray[np.int64]
    bins: NDArray[np.int64]
    counts: NDArray[np.int64]


def favorites_of(favored: ArrayLike, labels: ArrayLike, probs: ArrayLike) -> Favorites:
    """What `calibrate` looks at, of some rows.

    Args:
        favored: (B,) the class that each row of `probs` favors.
        labels: (B,) the given ones.
        probs: (B, C), rows that sum to 1.

    Example:
        >>> print(favorites_of([1], [1], [[0.2, 0.8]]).leads.round(2))
        [1.39]
    """
    classes, given, others = np.asarray(favored), np.asarray(labels), np.array(probs, dtype=np.float64)
    rows, floor = np.arange(len(classes)), _LEAST
    best = others[rows, classes]
    others[rows, classes] = 0.0
    leads = np.log(np.maximum(best, floor)) - np.log(np.maximum(others.max(axis=1), floor))
    others += floor
    others[rows, classes] = 0.0
    others /= others.sum(axis=1, keepdims=True)
    claims = (1.0 - _DOUBTED) * others[rows, given] + _DOUBTED / max(1, others.shape[1] - 1)
    claims[classes == given] = 0.0
    return Favorites(classes, leads.astype(np.float32), claims.astype(np.float32), others.sum(axis=0))


def calibrate(labels: NDArray[np.int64], favorites: Favorites) -> Calibration:
    """Find how often the evidence is right and how labels were confused, and judge each label by both.

    The class k that the evidence favors is right with probability a, which grows with how sure the evidence is; where
    it is wrong the row is of another class c with the probability v[c] / (1 - v[k]) of second opinions. The labels
    were given by T[i, j] = P(given j | clean i). So

        P(given j | k, a) = a T[k, j] + (1 - a) sum_{c != k} v[c] / (1 - v[k]) T[c, j]

    and Bayes' rule says whether the given label is the true one. T is found by expectation maximization from what was
    given; a is expit of a line in the evidence's
    lead, or in its rank, through two points that are not known: all on a grid are fitted, and their answers averaged
    by their likelihood. A lead whose agreement with the labels is level tells noise; one that grows tells that the
    evidence is wrong where it is unsure. Where labels err one way (see `_err_one_way`), leads are compared among rows
    of one favored class only: networks are less sure of a class whose labels are wrong more often, so that over all
    rows agreement would grow with the lead, and the noise would be taken for errors of the evidence.

    Nothing here tells labels that are wrong where the evidence is surest from evidence that is surely wrong there.
    It is deterministic, and takes about 90 N bytes while it runs.

    Args:
        labels: (N,) the given ones. None of them was seen by what judged its row: else it believes itself too much.
        favorites: what the evidence says.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> clean = rng.integers(2, size=2000)
        >>> labels = np.where(rng.random(2000) < 0.3, 1 - clean, clean)
        >>> sure = rng.normal(3, 2, 2000) * np.where(clean, 1, -1)  # right 93 times of 100, and thrice too sure
        >>> probs = np.stack([expit(-3 * sure), expit(3 * sure)], axis=1)
        >>> found = calibrate(labels, favorites_of(probs.argmax(axis=1), labels, probs))
        >>> contradicted = probs.argmax(axis=1) != labels
        >>> print(found.error_probs[contradicted].mean().round(2), (labels != clean)[contradicted].mean().round(2))
        0.84 0.86

    Source: EM for T as in Dawid and Skene, 1979, with the evidence as one more annotator; ours.
    """
    count, classes = len(labels), len(favorites.seconds)
    ranks = (rankdata(favorites.leads) - 0.5) / count
    seen = np.arange(count) if count <= _SEEN else np.random.default_rng(0).choice(count, _SEEN, replace=False)
    cells, bins = _counted(labels[seen], favorites.classes[seen], ranks[seen], classes)
    seconds = favorites.seconds + 1.0
    seconds = seconds / seconds.sum()
    start = _start(classes)
    sure, groups, of_cells = favorites.leads.astype(np.float64), bins, cells.bins
    if _err_one_way(labels, favorites):
        ranks = _ranks_within(sure, favorites.classes)
        sure = np.sort(sure)[(ranks * count).astype(np.int64)]
        groups, of_cells = favorites.classes[seen] * _BINS + bins, cells.favored * _BINS + cells.bins
    settings = [
        _Setting(surest, step, scale, _right(surest, step, means, classes), start, 0.0, -np.inf)
        for scale in (_scaled(sure), _scaled(logit(ranks)))
        for means in [_means(scale[seen], groups, of_cells)]
        for surest in _SUREST
        for step in _STEPS
    ]
    settings, weights = _weighed(settings, cells, seconds)
    error_probs, rates = np.zeros(count), []
    for weight, setting in zip(weights, settings, strict=True):
        wrong = _wrong(setting, labels, favorites, seconds)
        rates.append(float(wrong.mean()))
        error_probs += weight * wrong
    rate = float(error_probs.mean())
    return Calibration(
        error_probs=error_probs,
        transitions=np.einsum("s,sij->ij", weights, np.stack([each.transitions for each in settings])),
        noise_rate=rate,
        noise_rate_interval=_interval(rate, weights, np.array(rates), count),
    )


def _counted(labels, favored, ranks, classes: int) -> tuple[_Cells, NDArray[np.int64]]:
    bins = np.minimum((ranks * _BINS).astype(np.int64), _BINS - 1)
    codes, counts = np.unique((favored * classes + labels) * _BINS + bins, return_counts=True)
    pairs = codes // _BINS
    return _Cells(pairs // classes, pairs % classes, codes % _BINS, counts), bins


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 at the upper quantile, -1 at the lower one; 0 where all are alike."""
    low, high = np.quantile(values, [_LOW, _HIGH])
    return (values - high) / (high - low) if high > low else np.zeros(len(values))


def _means(values: NDArray[np.float64], groups: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean in each of the wanted groups."""
    return (np.bincount(groups, values) / np.maximum(np.bincount(groups), 1))[wanted]


def _ranks_within(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) in (0, 1), the rank of each value among those of its group."""
    grouped = pd.Series(values).groupby(groups)
    return ((grouped.rank() - 0.5) / grouped.transform("size")).to_numpy()


def _err_one_way(labels: NDArray[np.int64], favorites: Favorites) -> bool:
    """Whether one class is given as another, and hardly back, among the rows in which the evidence is surest of each.

    What the evidence does not know it mistakes where it is unsure. Where it is as often contradicted when it is sure of
    a class, the labels are wrong.
    """
    surer = _ranks_within(favorites.leads.astype(np.float64), favorites.classes) >= 0.5
    counts, unsure = (_pairs(favorites.classes[half], labels[half], len(favorites.seconds)) for half in (surer, ~surer))
    sizes, less_sure = (np.maximum(np.asarray(each.sum(axis=1)).ravel(), 1) for each in (counts, unsure))
    differ = sizes - counts.diagonal()
    one, other = counts.nonzero()
    one, other = one[one != other], other[one != other]
    there, back, level = (
        np.asarray(each[at]).ravel() / rows[at[0]]
        for each, rows, at in (
            (counts, sizes, (one, other)),
            (counts, sizes, (other, one)),
            (unsure, less_sure, (one, other)),
        )
    )
    chance = _variance(there, sizes[one]) + _variance(back, sizes[other])
    return bool(
        (
            (there >= _FLIPPED)
            & (there >= _TIMES * back)
            & (there >= _LEVEL * level)
            & (there * sizes[one] >= _MOSTLY * differ[one])
            & (there - back >= _ERRORS * np.sqrt(chance))
        ).any()
    )


def _pairs(favored: NDArray[np.int64], given: NDArray[np.int64], classes: int) -> sparse.csr_matrix:
    """(C, C), [i, j] is how many rows favored as i are given j; few of them where classes are many."""
    return sparse.csr_matrix((np.ones(len(favored)), (favored, given)), shape=(classes, classes))


def _variance(shares: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of shares of so many rows; not nothing where all or none are counted."""
    return (shares * (1.0 - shares) + 0.25 / rows) / rows


def _right(surest: float, step: float, sureness: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """How often the favored class is right: never less than by chance."""
    return np.clip(expit(surest + step * sureness), 1.0 / classes, 1.0 - _LEAST)


def _start(classes: int) -> NDArray[np.float64]:
    """A quarter of each class wrong: from rows that are all alike no iteration would find out of it."""
    return transition_matrix(np.full((classes, classes), 1.0) + (3.0 * (classes - 1) - 1.0) * np.eye(classes))


def _smoothed(counts: NDArray[np.float64], spread: float) -> tuple[NDArray[np.float64], float]:
    """T from the counts of each class, and the logarithm of the prior of such a T.

    To all rows come a right and a wrong one; to each class `_SHARED` that are wrong as often as all are, and to each
    other class `spread` of a wrong one: where there are few rows, noise is taken to be alike in all classes and spread
    evenly.
    """
    classes = len(counts)
    flips = counts.copy()
    np.fill_diagonal(flips, 0.0)
    wrong, right = flips.sum(axis=1), np.diagonal(counts)
    overall = (wrong.sum() + 1.0) / (counts.sum() + 2.0)
    rates = (wrong + _SHARED * overall) / (wrong + right + _SHARED)
    flips += spread
    np.fill_diagonal(flips, 0.0)
    flips /= flips.sum(axis=1, keepdims=True)
    prior = _SHARED * (overall * np.log(rates / overall) + (1.0 - overall) * np.log((1.0 - rates) / (1.0 - overall)))
    evenness = spread * np.log(flips * (classes - 1) + np.eye(classes)).sum()
    flips *= rates[:, None]
    np.fill_diagonal(flips, 1.0 - rates)
    return flips, float(prior.sum() + evenness + np.log(overall) + np.log1p(-overall))


def _weighed(
    settings: Sequence[_Setting], cells: _Cells, seconds: NDArray[np.float64]
) -> tuple[list[_Setting], NDArray[np.float64]]:
    """The settings that are not far behind, fitted, and how much each counts.

    Where there are few rows for each pair of classes, T would fit what is chance, and the more so the more noise a
    setting leaves to it: there they are weighed with flips that are spread evenly.
    """
    few = cells.counts.sum() < _EACH_PAIR * len(seconds) ** 2
    spread = _EVENLY if few else _SPREAD
    settings = [_fitted(each, cells, seconds, most=_FIRST, spread=spread) for each in settings]
    best = max(each.likelihood for each in settings)
    settings = [
        _fitted(each, cells, seconds, most=_MOST, spread=spread)
        for each in settings
        if each.likelihood > best - _BEHIND
    ]
    likelihoods = np.array([each.likelihood for each in settings])
    weights = np.exp(likelihoods - likelihoods.max())
    if few:
        afresh = [each._replace(prior=0.0, likelihood=-np.inf) for each in settings]
        settings = [_fitted(each, cells, seconds, most=_MOST) for each in afresh]
    return list(settings), weights / weights.sum()


def _fitted(
    setting: _Setting, cells: _Cells, seconds: NDArray[np.float64], *, most: int, spread: float = _SPREAD
) -> _Setting:
    """The setting after `most` iterations more of expectation maximization, or fewer."""
    right, transitions, before = setting.right, setting.transitions, setting.likelihood
    classes, prior = len(seconds), setting.prior
    pairs = cells.favored * classes + cells.given
    size, likelihood = classes * classes, before
    for _ in range(most):
        kept = right * transitions[cells.favored, cells.given]
        other = (1.0 - right) * _elsewhere(transitions, cells.favored, cells.given, seconds)
        total = kept + other
        likelihood = float((cells.counts * np.log(total)).sum()) + prior
        if likelihood - before < _CONVERGED:
            break
        before = likelihood
        share = cells.counts / total
        found = np.bincount(pairs, share * kept, minlength=size).reshape(classes, classes)
        left = np.bincount(pairs, share * (1.0 - right), minlength=size).reshape(classes, classes)
        left /= (1.0 - seconds)[:, None]
        found += transitions * seconds[:, None] * (left.sum(axis=0) - left)
        transitions, prior = _smoothed(found, spread)
    return setting._replace(transitions=transitions, prior=prior, likelihood=likelihood)


def _elsewhere(transitions, favored, given, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(given | the favored class is wrong), of each pair."""
    everywhere = (seconds @ transitions)[given]
    return (everywhere - seconds[favored] * transitions[favored, given]) / (1.0 - seconds[favored])


def _wrong(setting: _Setting, labels, favorites: Favorites, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) the probability that the given label is wrong, under one setting."""
    transitions, favored = setting.transitions, favorites.classes
    right = _right(setting.surest, setting.step, setting.sureness, len(transitions))
    flips = transitions.copy()
    np.fill_diagonal(flips, 0.0)
    into = ((seconds @ flips) / (1.0 - seconds))[labels]  # P(given | another class)
    agrees, kept, claims = favored == labels, np.diagonal(transitions)[labels], favorites.claims.astype(np.float64)
    good = np.where(agrees, right, (1.0 - right) * claims) * kept
    bad = np.where(agrees, 0.0, right * transitions[favored, labels]) + (1.0 - right) * (1.0 - claims) * into
    return bad / (good + bad)


def _interval(rate: float, weights: NDArray[np.float64], rates: NDArray[np.float64], count: int) -> tuple[float, float]:
    """Of a mixture of beta distributions, one for each setting (Jeffreys' interval where there is one)."""
    hits = rates * count

    def below(share: float) -> float:
        return float(weights @ beta.cdf(share, hits + 0.5, count - hits + 0.5))

    tail = (1.0 - _CONFIDENCE) / 2.0
    low = float(brentq(lambda share: below(share) - tail, 0.0, 1.0))
    high = float(brentq(lambda share: below(share) - 1.0 + tail, 0.0, 1.0))
    return min(low, rate), max(high, rate)
