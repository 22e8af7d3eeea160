"""Label noise for experiments: corrupt clean labels by a named recipe, and say what was really done to them.

Every `corrupt_*` function takes clean labels (N,), leaves its inputs as they are and returns `NoisyLabels`, which knows
the realized noise rate and transition matrix. Report those: several recipes of the literature miss the rate that they
are named after. Labels that people gave go into `NoisyLabels` directly.

Seeds: `seed` is an int >= 0, for a fresh `numpy.random.default_rng(seed)`, or a `numpy.random.Generator`, which is used
and so advanced. Nothing global is read or set. Each docstring lists its draws in order. NumPy fixes such a stream only
for one version on one machine: keep the labels, not only the seed, where they must last.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, softmax

from elr.checking import checked_array
from elr.errors import ArgumentError
from elr.noise.transitions import checked_transitions, count_transitions, transition_matrix

Seed: TypeAlias = int | np.random.Generator

CIFAR10_ASYMMETRIC: Mapping[int, int] = MappingProxyType({9: 1, 2: 0, 4: 7, 3: 5, 5: 3})
"""CIFAR-10: truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog (Patrini et al., CVPR 2017)."""

_FLIP_RATE_STD = 0.1  # Xia et al. 2020, Algorithm 2
_BATCH_ELEMENTS = 2**22  # features held in float64 at once: 32 MiB


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class NoisyLabels:
    """Given labels beside the clean labels they came from, copied, checked and kept as int64 (16 N bytes).

    Args:
        labels: (N,) given labels, integers in 0 .. num_classes - 1, maybe wrong.
        clean_labels: (N,) labels known to be right, same range.
        num_classes: number of classes C, at least 2.
        name: what made the noise, such as "symmetric".
    Raises: ArgumentError when the labels are empty, not 1-d, not integers in range, or not of one length.
    Example:
        >>> noisy = NoisyLabels(np.array([0, 1, 1, 1]), np.array([0, 0, 0, 1]), num_classes=3, name="human")
        >>> noisy.noise_rate
        0.5
        >>> noisy.transition_matrix.round(2).tolist()
        [[0.33, 0.67, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    labels: NDArray[np.int64]
    clean_labels: NDArray[np.int64]
    num_classes: int
    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_classes", _integer(self.num_classes, "num_classes", least=2))
        for field in ("labels", "clean_labels"):
            object.__setattr__(self, field, _labels(getattr(self, field), self.num_classes, field))
        if self.labels.shape != self.clean_labels.shape:
            found = f"labels has {len(self.labels)} entries and clean_labels {len(self.clean_labels)}"
            raise ArgumentError(f"{found}; expected as many; pass both for the same rows in the same order")

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        """(N,) bool, true where the given label differs from the clean one."""
        return self.labels != self.clean_labels

    @property
    def noise_rate(self) -> float:
        """Realized share of wrong labels, in [0, 1]."""
        return float(self.is_wrong.mean())

    @property
    def transition_matrix(self) -> NDArray[np.float64]:
        """Realized (C, C), T[i, j] = P(given j | clean i), rows sum to 1; a class with no example keeps its label."""
        return transition_matrix(count_transitions(self.labels, self.clean_labels, num_classes=self.num_classes))


def corrupt_symmetric(labels: ArrayLike, *, noise_rate: float, num_classes: int, seed: Seed) -> NoisyLabels:
    """Give exactly round(noise_rate N) examples another class, uniform over the other C - 1: the textbook definition.

    P(given j | clean i) = noise_rate / (C - 1) for j != i. round is Python's, half to even. Draws: a permutation of the
    rows, whose first round(noise_rate N) are hit; then for each of these a step 1 .. C - 1, added to its label mod C.
    Args:
        labels: (N,) clean labels, integers in 0 .. num_classes - 1.
        noise_rate: share of labels to make wrong, in [0, 1].
        num_classes: number of classes C, at least 2.
        seed: int >= 0 or numpy Generator.
    Returns: NoisyLabels named "symmetric"; its `noise_rate` is round(noise_rate N) / N.
    Raises: ArgumentError when an argument is not as above, or there is no label.
    Example:
        >>> corrupt_symmetric(np.arange(1000) % 10, noise_rate=0.4, num_classes=10, seed=0).noise_rate
        0.4

    Source: Patrini et al., "Making Deep Neural Networks Robust to Label Noise", CVPR 2017. Differs from the authors'
        code of ELR in leaving the true class out: see `corrupt_symmetric_authors`.
    """
    clean, noisy, rate, rng = _checked(labels, noise_rate, num_classes, seed)
    rows = rng.permutation(len(clean))[: round(rate * len(clean))]
    noisy[rows] = (clean[rows] + rng.integers(1, num_classes, size=len(rows))) % num_classes
    return NoisyLabels(noisy, clean, num_classes, "symmetric")


def corrupt_symmetric_authors(labels: ArrayLike, *, noise_rate: float, num_classes: int, seed: Seed) -> NoisyLabels:
    """Redraw ceil(noise_rate N) labels among all C classes, the true one included, as the authors of ELR do.

    The realized rate is about noise_rate (1 - 1/C): 0.4 makes 36 % wrong on 10 classes, 39.6 % on 100. Draws: a
    permutation of the rows, whose first ceil(noise_rate N) are hit; then a class 0 .. C - 1 for each of these.
    Args: as in `corrupt_symmetric`, but noise_rate is the share redrawn, not the share that ends wrong.
    Returns: NoisyLabels named "symmetric-authors". Raises: ArgumentError as in `corrupt_symmetric`.
    Example:
        >>> round(corrupt_symmetric_authors([0, 1] * 5000, noise_rate=0.4, num_classes=2, seed=0).noise_rate, 1)
        0.2

    Source: Liu et al., NeurIPS 2020, code ELR/data_loader/cifar10.py, symmetric_noise (`i < percent * N`, hence ceil).
        Differs from the authors' code in its seed: theirs has none.
    """
    clean, noisy, rate, rng = _checked(labels, noise_rate, num_classes, seed)
    rows = rng.permutation(len(clean))[: math.ceil(rate * len(clean))]
    noisy[rows] = rng.integers(0, num_classes, size=len(rows))
    return NoisyLabels(noisy, clean, num_classes, "symmetric-authors")


def corrupt_asymmetric(
    labels: ArrayLike, *, noise_rate: float, num_classes: int, mapping: Mapping[int, int], seed: Seed
) -> NoisyLabels:
    """Move exactly round(noise_rate n_c) of the n_c examples of each mapped class c to its partner, by the clean label.

    T[c, mapping[c]] = noise_rate for c in mapping; other classes stay, so that five mapped classes of CIFAR-10 make an
    overall rate of noise_rate / 2. Draws: for each mapped class in ascending order, a permutation of its rows.
    Args:
        noise_rate: share of each mapped class to make wrong, in [0, 1].
        mapping: {from: to}, such as `CIFAR10_ASYMMETRIC` or, for CIFAR-100, `consecutive_blocks(100, 5)`.
        labels, num_classes, seed: as in `corrupt_symmetric`.
    Returns: NoisyLabels named "asymmetric".
    Raises: ArgumentError as in `corrupt_symmetric`, or when mapping is empty, leaves the classes or maps one to itself.
    Example:
        >>> noisy = corrupt_asymmetric([0, 1] * 5, noise_rate=0.4, num_classes=2, mapping={0: 1}, seed=0)
        >>> noisy.transition_matrix.tolist()
        [[0.6, 0.4], [0.0, 1.0]]

    Source: Patrini et al., CVPR 2017. Differs from the authors' code of ELR: that decides on labels already changed on
        CIFAR-10 (`corrupt_asymmetric_authors`) and draws each example by itself on CIFAR-100 (`corrupt_transition`).
    """
    clean, noisy, rate, rng = _checked(labels, noise_rate, num_classes, seed)
    for source, partner in _pairs(mapping, num_classes):
        rows = rng.permutation(np.flatnonzero(clean == source))
        noisy[rows[: round(rate * len(rows))]] = partner
    return NoisyLabels(noisy, clean, num_classes, "asymmetric")


def corrupt_asymmetric_authors(
    labels: ArrayLike, *, noise_rate: float, num_classes: int, mapping: Mapping[int, int], seed: Seed
) -> NoisyLabels:
    """Move ceil(noise_rate n_c) of the n_c examples now labeled c to its partner, class by class: the authors' bug.

    Classes go in ascending order, each on labels that earlier classes have changed. On CIFAR-10, cats (3) turned dogs
    stand among the dogs (5) when their turn comes, and a share r = noise_rate of them turns back: cats end at
    r (1 - r), 24 % for r = 0.4, the other four classes at r, the whole at 18.4 %. Draws: as in `corrupt_asymmetric`.
    Args: as in `corrupt_asymmetric`. Returns: NoisyLabels named "asymmetric-authors". Raises: ArgumentError as there.
    Example:
        >>> clean, mapping = np.arange(50_000) % 10, CIFAR10_ASYMMETRIC
        >>> noisy = corrupt_asymmetric_authors(clean, noise_rate=0.4, num_classes=10, mapping=mapping, seed=0)
        >>> round(noisy.noise_rate, 2), round(float(noisy.transition_matrix[3, 5]), 1)
        (0.18, 0.2)

    Source: Liu et al., NeurIPS 2020, ELR/data_loader/cifar10.py, issue 16. Differs from the authors' code in its seed.
    """
    clean, noisy, rate, rng = _checked(labels, noise_rate, num_classes, seed)
    for source, partner in _pairs(mapping, num_classes):
        rows = rng.permutation(np.flatnonzero(noisy == source))
        noisy[rows[: math.ceil(rate * len(rows))]] = partner
    return NoisyLabels(noisy, clean, num_classes, "asymmetric-authors")


def consecutive_blocks(num_classes: int, block: int) -> dict[int, int]:
    """Map each class to the next, cyclically inside blocks of consecutive class numbers.

    c -> block floor(c / block) + (c + 1) mod block. For CIFAR-100 the authors use block = 5; its fine classes being
    numbered alphabetically, these blocks are not the real superclasses.
    Args: num_classes and block are at least 2 each; block divides num_classes.
    Returns: {from: to} with all classes, a mapping for `corrupt_asymmetric`. Raises: ArgumentError otherwise.
    Example:
        >>> consecutive_blocks(6, 3)
        {0: 1, 1: 2, 2: 0, 3: 4, 4: 5, 5: 3}

    Source: Liu et al., NeurIPS 2020, code ELR/data_loader/cifar100.py, asymmetric_noise.
    """
    classes, size = _integer(num_classes, "num_classes", least=2), _integer(block, "block", least=2)
    if classes % size:
        raise ArgumentError(f"block is {size} with {classes} classes; expected a divisor of {classes}; pass one")
    return {c: c - c % size + (c + 1) % size for c in range(classes)}


def corrupt_pairflip(labels: ArrayLike, *, noise_rate: float, num_classes: int, seed: Seed) -> NoisyLabels:
    """Move exactly round(noise_rate n_c) of the n_c examples of every class c to class (c + 1) mod C.

    T[c, (c + 1) mod C] = noise_rate, T[c, c] = 1 - noise_rate. Draws: as in `corrupt_asymmetric`.
    Args: as in `corrupt_symmetric`. Returns: NoisyLabels named "pairflip". Raises: ArgumentError as there.
    Example:
        >>> corrupt_pairflip([0, 0, 1, 1, 2, 2], noise_rate=0.5, num_classes=3, seed=0).transition_matrix.tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5]]

    Source: Han et al., "Co-teaching", NeurIPS 2018. Differs from its authors' code, which draws each example by itself.
    """
    mapping = consecutive_blocks(num_classes, num_classes)
    noisy = corrupt_asymmetric(labels, noise_rate=noise_rate, num_classes=num_classes, mapping=mapping, seed=seed)
    return replace(noisy, name="pairflip")


def corrupt_transition(labels: ArrayLike, *, transition_matrix: ArrayLike, seed: Seed) -> NoisyLabels:
    """Draw each given label by itself from the row of its clean label: P(given j | clean i) = transition_matrix[i, j].

    Counts are random, so the realized matrix only tends to the one asked for. Draws: N uniforms, each put through the
    inverse of its row's cumulative sum; an entry of 0 never happens.
    Args:
        labels, seed: as in `corrupt_symmetric`.
        transition_matrix: (C, C) finite, not negative, rows sum to 1 within 1e-6; cleanlab's noise_matrix transposed.
    Returns: NoisyLabels named "transition", with num_classes = C.
    Raises: ArgumentError when the matrix is not of that form, and as in `corrupt_symmetric`.
    Example:
        >>> corrupt_transition([0, 1, 0, 1], transition_matrix=[[1, 0], [1, 0]], seed=0).labels.tolist()
        [0, 0, 0, 0]

    Source: class-conditional noise, Patrini et al., CVPR 2017; with the matrix of `consecutive_blocks`, the CIFAR-100
        asymmetric noise of the authors' code of ELR.
    """
    cumulative = _cumulative(checked_transitions(transition_matrix))
    clean, noisy, _, rng = _checked(labels, 0.0, len(cumulative), seed)
    uniforms = rng.random(len(clean))
    for c, steps in enumerate(cumulative):
        rows = np.flatnonzero(clean == c)
        noisy[rows] = np.searchsorted(steps, uniforms[rows], side="right")
    return NoisyLabels(noisy, clean, len(cumulative), "transition")


def corrupt_instance_dependent(
    labels: ArrayLike, features: ArrayLike, *, noise_rate: float, num_classes: int, seed: Seed
) -> NoisyLabels:
    """Make each label wrong at a rate of its own, toward classes that its features choose: part-dependent noise.

    Example i has features x_i (S,) and clean label y_i. q_i ~ Normal(noise_rate, 0.1^2) truncated to [0, 1];
    P(given y_i) = 1 - q_i and P(given j) = q_i softmax_{j != y_i}(x_i W_{y_i})_j, with a standard normal W_c (S, C) for
    each class. Truncation moves the mean of q near 0 and 1 (.05 gives .10, 1 gives .92); exactly 0 means q_i = 0. The
    larger the features, the nearer the softmax is to one class: scale them. Corrupt before splitting: all rows share W
    then. Draws: N uniforms for q, N for the labels, W_0 .. W_{C-1}. Bytes: 8 S C, O(N), a few batches of 32 MiB.
    Args:
        features: (N, ...) finite numbers, flattened to (N, S): pixels in [0, 1], embeddings, table columns.
        noise_rate: center of the rates of single examples, in [0, 1].
        labels, num_classes, seed: as in `corrupt_symmetric`.
    Returns: NoisyLabels named "instance-dependent".
    Raises: ArgumentError as in `corrupt_symmetric`, or when features are not N rows of finite numbers.
    Example:
        >>> features = np.random.default_rng(0).standard_normal((5000, 8))
        >>> noisy = corrupt_instance_dependent(np.arange(5000) % 5, features, noise_rate=0.3, num_classes=5, seed=0)
        >>> round(noisy.noise_rate, 1)
        0.3

    Source: Xia et al., "Part-dependent Label Noise: Toward Instance-dependent Label Noise", NeurIPS 2020, Algorithm 2.
        Differs from its authors' code in float64 for float32, in rate 0, and in scale: they pass pixels in 0 .. 255.
    """
    clean, noisy, rate, rng = _checked(labels, noise_rate, num_classes, seed)
    flat = _features(features, len(clean))
    flip_rates, uniforms = _flip_rates(rate, rng.random(len(clean))), rng.random(len(clean))
    step = max(1, _BATCH_ELEMENTS // max(flat.shape[1], num_classes))
    for c in range(num_classes):
        weights = rng.standard_normal((flat.shape[1], num_classes))
        rows = np.flatnonzero(clean == c)
        for batch in (rows[start : start + step] for start in range(0, len(rows), step)):
            probs = _flip_probs(flat[batch], weights, flip_rates[batch], c)
            noisy[batch] = (_cumulative(probs) <= uniforms[batch, None]).sum(axis=1)
    return NoisyLabels(noisy, clean, num_classes, "instance-dependent")


def _flip_rates(rate: float, uniforms: NDArray[np.float64]) -> NDArray[np.float64]:
    if rate == 0:
        return np.zeros_like(uniforms)
    low, high = ndtr(-rate / _FLIP_RATE_STD), ndtr((1 - rate) / _FLIP_RATE_STD)
    return np.clip(rate + _FLIP_RATE_STD * ndtri(low + uniforms * (high - low)), 0, 1)


def _flip_probs(features: NDArray, weights: NDArray, flip_rates: NDArray, c: int) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):  # the next line says it in words
        logits = features.astype(np.float64) @ weights
    if not np.isfinite(logits).all():
        raise ArgumentError("features hold NaN, infinite or huge values; expected finite ones; fill or scale them")
    logits[:, c] = -np.inf
    probs = softmax(logits, axis=1) * flip_rates[:, None]
    probs[:, c] = 1 - flip_rates
    return probs


def _cumulative(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.cumsum(probs, axis=-1)
    return sums / sums[..., -1:]  # ends at exactly 1, above every uniform draw


def _integer(value: object, name: str, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ArgumentError(f"{name} is {value!r}; expected an integer of at least {least}; pass one")
    return int(value)


def _labels(values: ArrayLike, num_classes: int, name: str) -> NDArray[np.int64]:
    array = checked_array(values, name, "iu")
    if array.ndim != 1 or array.size == 0:
        raise ArgumentError(f"{name} has shape {array.shape}; expected (N,), N >= 1; pass one integer per example")
    if array.min() < 0 or array.max() >= num_classes:
        found = f"{name} runs from {array.min()} to {array.max()}"
        raise ArgumentError(f"{found}; expected 0 .. {num_classes - 1}; renumber the classes or correct num_classes")
    return array.astype(np.int64)  # always a copy


def _checked(labels: ArrayLike, noise_rate: float, num_classes: int, seed: Seed):
    if isinstance(noise_rate, bool) or not isinstance(noise_rate, Real) or not 0 <= float(noise_rate) <= 1:
        raise ArgumentError(f"noise_rate is {noise_rate!r}; expected a number in [0, 1]; write 40 % as 0.4")
    clean = _labels(labels, _integer(num_classes, "num_classes", least=2), "labels")
    entropy = seed if isinstance(seed, np.random.Generator) else _integer(seed, "seed", least=0)
    return clean, clean.copy(), float(noise_rate), np.random.default_rng(entropy)


def _pairs(mapping: Mapping[int, int], num_classes: int) -> list[tuple[int, ...]]:
    if not isinstance(mapping, Mapping) or not mapping:
        raise ArgumentError(f"mapping is {mapping!r}; expected {{from: to}} with a class or more; pass such a dict")
    pairs = sorted(tuple(_integer(c, "a class of mapping", least=0) for c in pair) for pair in mapping.items())
    for c, to in pairs:
        if c == to or max(c, to) >= num_classes:
            raise ArgumentError(f"mapping sends {c} to {to}; expected two classes below {num_classes}; correct it")
    return pairs


def _features(features: ArrayLike, num_examples: int) -> NDArray:
    array = checked_array(features, "features", "biuf")
    if array.ndim < 2 or len(array) != num_examples or array.size == 0:
        raise ArgumentError(f"features have shape {array.shape}; expected ({num_examples}, ...); pass a row per label")
    return array.reshape(num_examples, -1)
