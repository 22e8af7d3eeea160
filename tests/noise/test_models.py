"""Label noise: exact counts, the rates of each definition, seeds, and an error for every bad argument."""

import ast
import warnings
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elr.errors import ArgumentError
from elr.noise import models as noise
from elr.noise.models import (
    CIFAR10_ASYMMETRIC,
    NoisyLabels,
    consecutive_blocks,
    corrupt_asymmetric,
    corrupt_asymmetric_authors,
    corrupt_instance_dependent,
    corrupt_pairflip,
    corrupt_symmetric,
    corrupt_symmetric_authors,
    corrupt_transition,
)
from elr.noise.named import corrupt
from reference import noise_reference as reference

CIFAR = np.repeat(np.arange(10), 5000)
AIRPLANE, AUTOMOBILE, BIRD, CAT, DEER, DOG, HORSE, TRUCK = 0, 1, 2, 3, 4, 5, 7, 9
FIVE = np.array([[0.6, 0.4, 0.0], [0.0, 0.5, 0.5], [0.1, 0.2, 0.7]])


def uneven(num_examples, num_classes, seed=0):
    """Labels in unequal classes, in no order."""
    return np.random.default_rng(seed).integers(0, num_classes, num_examples) ** 2 % num_classes


def everything(labels, *, rate=0.4, seed=0, num_classes=10):
    """One result of every corruption on the same labels."""
    features = np.random.default_rng(9).standard_normal((len(labels), 3))
    cycle = {0: 1, 1: 0}
    matrix = np.full((num_classes, num_classes), rate / num_classes) + (1 - rate) * np.eye(num_classes)
    common = {"noise_rate": rate, "num_classes": num_classes, "seed": seed}
    return [
        corrupt_symmetric(labels, **common),
        corrupt_symmetric_authors(labels, **common),
        corrupt_asymmetric(labels, mapping=cycle, **common),
        corrupt_asymmetric_authors(labels, mapping=cycle, **common),
        corrupt_pairflip(labels, **common),
        corrupt_transition(labels, transition_matrix=matrix, seed=seed),
        corrupt_instance_dependent(labels, features, **common),
    ]


class Scripted(np.random.Generator):
    """A generator whose uniforms are the ends of [0, 1) in turn, where an inverse of cumulative sums goes wrong."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def random(self, size):
        return np.resize([0.0, 0.5, 1 - 2**-53], size)


# --- what every corruption promises -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    rate=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_every_result_is_whole(labels, rate, seed):
    before = np.array(labels)
    for noisy in everything(before, rate=rate, seed=seed, num_classes=5):
        assert before.tolist() == labels
        assert noisy.labels.dtype == noisy.clean_labels.dtype == np.int64
        assert noisy.clean_labels.tolist() == labels
        assert noisy.labels.shape == before.shape
        assert 0 <= noisy.labels.min() <= noisy.labels.max() < 5
        assert noisy.is_wrong.tolist() == (noisy.labels != before).tolist()
        assert noisy.noise_rate == pytest.approx(sum(noisy.is_wrong) / len(labels))
        matrix = noisy.transition_matrix
        assert matrix.shape == (5, 5)
        assert matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-12)
        for c in range(5):
            rows = noisy.labels[before == c]
            row = np.eye(5)[c] if rows.size == 0 else np.bincount(rows, minlength=5) / rows.size
            np.testing.assert_allclose(matrix[c], row, atol=1e-12)


@pytest.mark.parametrize("which", range(7))
def test_same_seed_same_labels_and_another_seed_other_labels(which):
    labels = uneven(500, 10)
    first, again, other = (everything(labels, seed=seed)[which].labels for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("which", range(7))
def test_rate_zero_changes_nothing(which):
    labels = uneven(500, 10)
    assert everything(labels, rate=0.0)[which].noise_rate == 0
    assert everything(labels, rate=0)[which].noise_rate == 0


def test_a_generator_is_used_and_advanced_and_nothing_global_is():
    labels = uneven(300, 4)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 the global state must not move
    rng = np.random.default_rng(5)
    one, two = (corrupt_symmetric(labels, noise_rate=0.5, num_classes=4, seed=rng).labels for _ in range(2))
    assert (one != two).any()
    np.testing.assert_array_equal(one, corrupt_symmetric(labels, noise_rate=0.5, num_classes=4, seed=5).labels)
    everything(labels)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_inputs_stay_as_they_are_even_when_read_only():
    labels, matrix = uneven(200, 10), np.eye(10)
    features = np.random.default_rng(0).standard_normal((200, 2, 3)).astype(np.float32)
    kept = labels.copy(), matrix.copy(), features.copy()
    for array in (labels, matrix, features):
        array.setflags(write=False)
    everything(labels)
    corrupt_transition(labels, transition_matrix=matrix, seed=0)
    noisy = corrupt_instance_dependent(labels, features, noise_rate=0.5, num_classes=10, seed=0)
    for array, copy in zip((labels, matrix, features), kept, strict=True):
        np.testing.assert_array_equal(array, copy)
    noisy.labels[:] = 0
    noisy.clean_labels[:] = 0
    np.testing.assert_array_equal(labels, kept[0])


def test_labels_come_as_lists_small_integers_or_tensors():
    torch = pytest.importorskip("torch")
    labels = [0, 1, 2, 2, 1, 0] * 20
    expected = corrupt_symmetric(labels, noise_rate=0.5, num_classes=3, seed=0).labels
    for same in (np.array(labels, np.uint8), np.array(labels, np.int32), torch.tensor(labels), tuple(labels)):
        got = corrupt_symmetric(same, noise_rate=0.5, num_classes=3, seed=0).labels
        assert isinstance(got, np.ndarray)
        np.testing.assert_array_equal(got, expected)


def test_module_imports_no_torch_and_nothing_above_it():
    tree = ast.parse(Path(noise.__file__).read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in imported if name.startswith(("elr", "torch"))} == {
        "elr.checking",
        "elr.errors",
        "elr.noise.transitions",
    }


# --- NoisyLabels ------------------------------------------------------------------------------------------------------


def test_realised_rate_and_matrix_by_hand():
    noisy = NoisyLabels(labels=[1, 0, 1, 1, 3], clean_labels=[0, 0, 1, 1, 3], num_classes=4, name="human")
    assert noisy.is_wrong.tolist() == [True, False, False, False, False]
    assert noisy.noise_rate == pytest.approx(0.2)
    assert type(noisy.noise_rate) is float
    assert noisy.transition_matrix.tolist() == [[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert (noisy.num_classes, noisy.name) == (4, "human")


def test_noisy_labels_are_frozen_and_own_their_arrays():
    given_labels = np.array([0, 1])
    noisy = NoisyLabels(given_labels, given_labels, num_classes=2, name="none")
    given_labels[0] = 1
    assert noisy.labels.tolist() == noisy.clean_labels.tolist() == [0, 1]
    with pytest.raises(FrozenInstanceError):
        noisy.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
    assert noisy != NoisyLabels([0, 1], [0, 1], num_classes=2, name="none")  # by identity: arrays would raise here


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": [0, 1]}, "labels has 2 entries and clean_labels 3"),
        ({"labels": [0, 1, 3]}, r"labels runs from 0 to 3; expected 0 \.\. 2"),
        ({"clean_labels": [0, -1, 2]}, r"clean_labels runs from -1 to 2; expected 0 \.\. 2"),
        ({"num_classes": 1}, "num_classes is 1"),
    ],
)
def test_noisy_labels_refuse(changed, message):
    arguments = {"labels": [0, 1, 2], "clean_labels": [0, 1, 1], "num_classes": 3, "name": "x"} | changed
    with pytest.raises(ArgumentError, match=message):
        NoisyLabels(**arguments)


# --- symmetric --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    num_examples=st.integers(1, 200), num_classes=st.integers(2, 12), rate=st.floats(0, 1), seed=st.integers(0, 10**6)
)
def test_symmetric_makes_exactly_the_rounded_number_wrong(num_examples, num_classes, rate, seed):
    labels = uneven(num_examples, num_classes, seed)
    noisy = corrupt_symmetric(labels, noise_rate=rate, num_classes=num_classes, seed=seed)
    assert noisy.is_wrong.sum() == round(rate * num_examples)


def test_symmetric_is_uniform_over_the_other_classes():
    noisy = corrupt_symmetric(CIFAR, noise_rate=0.4, num_classes=10, seed=0)
    assert noisy.noise_rate == 0.4
    expected = np.full((10, 10), 0.4 / 9)
    np.fill_diagonal(expected, 0.6)
    # Entries are shares of 5000: standard deviation .003 off and .007 on the diagonal; 4 of them over 100 entries.
    assert np.abs(noisy.transition_matrix - expected)[~np.eye(10, dtype=bool)].max() < 0.012
    assert np.abs(noisy.transition_matrix - expected).diagonal().max() < 0.028


@pytest.mark.parametrize(("num_classes", "rate"), [(10, 0.2), (10, 0.4), (10, 0.8), (10, 0.9), (100, 0.4), (2, 0.5)])
def test_authors_symmetric_ends_at_rate_times_one_minus_one_over_classes(num_classes, rate):
    labels = np.arange(50_000) % num_classes
    noisy = corrupt_symmetric_authors(labels, noise_rate=rate, num_classes=num_classes, seed=0)
    hit = rate * 50_000
    tolerance = 4 * np.sqrt(hit * (1 / num_classes) * (1 - 1 / num_classes)) / 50_000
    assert abs(noisy.noise_rate - rate * (1 - 1 / num_classes)) < tolerance
    assert abs(noisy.noise_rate - rate) > 2 * tolerance


@pytest.mark.parametrize("rate", [0.07, 0.3, 0.333, 1.0])
@pytest.mark.parametrize("authors", [False, True])
def test_symmetric_equals_reference(rate, authors):
    labels = uneven(101, 7)
    function = corrupt_symmetric_authors if authors else corrupt_symmetric
    noisy = function(labels, noise_rate=rate, num_classes=7, seed=3)
    np.testing.assert_array_equal(noisy.labels, reference.symmetric(labels, rate, 7, 3, authors=authors))


# --- asymmetric and pair flip -----------------------------------------------------------------------------------------


def test_cifar10_mapping_by_name():
    assert dict(CIFAR10_ASYMMETRIC) == {TRUCK: AUTOMOBILE, BIRD: AIRPLANE, DEER: HORSE, CAT: DOG, DOG: CAT}
    with pytest.raises(TypeError):
        CIFAR10_ASYMMETRIC[0] = 1  # pyright: ignore[reportIndexIssue]


@settings(deadline=None)
@given(labels=st.lists(st.integers(0, 9), min_size=1, max_size=120), rate=st.floats(0, 1), seed=st.integers(0, 10**6))
def test_asymmetric_moves_exactly_the_rounded_share_of_each_mapped_class(labels, rate, seed):
    noisy = corrupt_asymmetric(labels, noise_rate=rate, num_classes=10, mapping=CIFAR10_ASYMMETRIC, seed=seed)
    for c in range(10):
        of_class = noisy.labels[np.array(labels) == c]
        moved = of_class[of_class != c]
        assert len(moved) == (round(rate * len(of_class)) if c in CIFAR10_ASYMMETRIC else 0)
        assert set(moved.tolist()) <= {CIFAR10_ASYMMETRIC.get(c)}


def test_asymmetric_on_cifar10_has_half_the_rate_overall():
    noisy = corrupt_asymmetric(CIFAR, noise_rate=0.4, num_classes=10, mapping=CIFAR10_ASYMMETRIC, seed=0)
    expected = np.eye(10)
    for c, partner in CIFAR10_ASYMMETRIC.items():
        expected[c, c], expected[c, partner] = 0.6, 0.4
    np.testing.assert_array_equal(noisy.transition_matrix, expected)
    assert noisy.noise_rate == 0.2


@pytest.mark.parametrize(("rate", "cats"), [(0.1, 0.09), (0.2, 0.16), (0.3, 0.21), (0.4, 0.24)])
def test_authors_asymmetric_turns_cats_back(rate, cats):
    noisy = corrupt_asymmetric_authors(CIFAR, noise_rate=rate, num_classes=10, mapping=CIFAR10_ASYMMETRIC, seed=0)
    matrix = noisy.transition_matrix
    # Which cats and dogs are turned is drawn; 4 standard deviations of a share of 5000 are below .03.
    assert matrix[CAT, DOG] == pytest.approx(cats, abs=0.02)
    assert matrix[DOG, CAT] == pytest.approx(rate, abs=0.02)
    assert matrix[TRUCK, AUTOMOBILE] == matrix[BIRD, AIRPLANE] == matrix[DEER, HORSE] == pytest.approx(rate)
    assert noisy.noise_rate == pytest.approx(0.4 * rate + 0.1 * cats, abs=0.002)
    # The number of dogs that turn is not drawn: a share of the dogs and the cats among them.
    assert (noisy.labels == CAT).sum() == 5000 - rate * 5000 + rate * (5000 + rate * 5000)
    still = [c for c in range(10) if c not in CIFAR10_ASYMMETRIC]
    np.testing.assert_array_equal(matrix[still], np.eye(10)[still])


def test_authors_asymmetric_at_40_percent_is_18_percent():
    noisy = corrupt("asymmetric-cifar10-authors", CIFAR, noise_rate=0.4, num_classes=10, seed=1)
    assert noisy.noise_rate == pytest.approx(0.184, abs=0.002)


@pytest.mark.parametrize("rate", [0.07, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("authors", [False, True])
def test_asymmetric_equals_reference(rate, authors):
    labels, mapping = uneven(205, 8), {4: 0, 0: 1, 1: 4, 6: 7}
    function = corrupt_asymmetric_authors if authors else corrupt_asymmetric
    noisy = function(labels, noise_rate=rate, num_classes=8, mapping=mapping, seed=3)
    np.testing.assert_array_equal(noisy.labels, reference.asymmetric(labels, rate, mapping, 3, authors=authors))


def test_asymmetric_does_not_depend_on_the_order_of_the_mapping():
    labels = uneven(205, 8)
    for function in (corrupt_asymmetric, corrupt_asymmetric_authors):
        one, two = (
            function(labels, noise_rate=0.5, num_classes=8, mapping=mapping, seed=3).labels
            for mapping in ({0: 1, 1: 4, 4: 0}, {4: 0, 1: 4, 0: 1})
        )
        np.testing.assert_array_equal(one, two)


def test_consecutive_blocks_stay_in_their_block():
    mapping = consecutive_blocks(100, 5)
    assert list(mapping) == list(range(100))
    assert sorted(mapping.values()) == list(range(100))
    assert all(c // 5 == to // 5 for c, to in mapping.items())
    assert [mapping[c] for c in (0, 3, 4, 5, 99)] == [1, 4, 0, 6, 95]
    noisy = corrupt_asymmetric(np.arange(5000) % 100, noise_rate=0.4, num_classes=100, mapping=mapping, seed=0)
    assert noisy.noise_rate == 0.4


def test_pairflip_goes_to_the_next_class():
    noisy = corrupt_pairflip(CIFAR, noise_rate=0.45, num_classes=10, seed=0)
    np.testing.assert_allclose(noisy.transition_matrix, 0.55 * np.eye(10) + 0.45 * np.roll(np.eye(10), 1, axis=1))
    assert noisy.name == "pairflip"


# --- a matrix of the user's -------------------------------------------------------------------------------------------


def test_transition_tends_to_the_matrix_and_never_does_the_impossible():
    noisy = corrupt_transition(np.repeat([0, 1, 2], 20_000), transition_matrix=FIVE, seed=0)
    assert noisy.num_classes == 3
    # A share of 20000 has a standard deviation of at most .0036; 4 of them.
    np.testing.assert_allclose(noisy.transition_matrix, FIVE, rtol=0, atol=0.015)
    assert noisy.transition_matrix[0, 2] == noisy.transition_matrix[1, 0] == 0
    assert noisy.noise_rate == pytest.approx((0.4 + 0.5 + 0.3) / 3, abs=0.008)


def test_transition_equals_reference():
    labels = uneven(400, 3)
    noisy = corrupt_transition(labels, transition_matrix=FIVE.tolist(), seed=8)
    np.testing.assert_array_equal(noisy.labels, reference.transition(labels, FIVE, 8))


def test_transition_at_the_ends_of_the_uniforms():
    rows = [[0, 0.5, 0.5, 0], [0, 1, 0, 0], [0.25 - 5e-7, 0.25, 0.25, 0.25], [0, 0, 0, 1]]
    noisy = corrupt_transition(np.repeat(np.arange(4), 3), transition_matrix=rows, seed=Scripted())
    assert noisy.labels.tolist() == [1, 2, 2, 1, 1, 1, 0, 2, 3, 3, 3, 3]


def test_transition_takes_a_permutation_exactly_and_float32():
    labels = uneven(100, 4)
    shift = np.roll(np.eye(4, dtype=int), 1, axis=1)
    noisy = corrupt_transition(labels, transition_matrix=shift, seed=0)
    np.testing.assert_array_equal(noisy.labels, (labels + 1) % 4)
    thirds = np.full((3, 3), 1 / 3, dtype=np.float32)
    assert corrupt_transition([0, 1, 2], transition_matrix=thirds, seed=0).num_classes == 3


# --- instance-dependent -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.05, 0.4, 1.0])
@pytest.mark.parametrize("batch_elements", [2**22, 40, 1])
def test_instance_dependent_equals_reference(rate, batch_elements, monkeypatch):
    monkeypatch.setattr(noise, "_BATCH_ELEMENTS", batch_elements)
    labels = uneven(150, 5)
    features = np.random.default_rng(4).standard_normal((150, 4))
    noisy = corrupt_instance_dependent(labels, features, noise_rate=rate, num_classes=5, seed=6)
    expected, _ = reference.instance_dependent(labels, features, rate, 5, 6)
    np.testing.assert_array_equal(noisy.labels, expected)


@pytest.mark.parametrize(("rate", "mean"), [(0.2, 0.2055), (0.4, 0.4), (0.6, 0.6), (0.05, 0.1009), (1.0, 0.9202)])
def test_instance_dependent_rate_is_the_mean_of_the_truncated_normal(rate, mean):
    features = np.random.default_rng(1).standard_normal((40_000, 6))
    noisy = corrupt_instance_dependent(np.arange(40_000) % 10, features, noise_rate=rate, num_classes=10, seed=0)
    assert noisy.noise_rate == pytest.approx(mean, abs=4 * np.sqrt(0.25 / 40_000))


def test_instance_dependent_flips_where_the_features_say():
    # One clean class, two kinds of features: class-conditional noise would give both groups one distribution.
    group = np.arange(20_000) % 2
    features = np.stack([group == 0, group == 1], axis=1).astype(np.float32) * 3
    noisy = corrupt_instance_dependent(np.zeros(20_000, int), features, noise_rate=0.4, num_classes=5, seed=0)
    shares = [np.bincount(noisy.labels[group == g], minlength=5) / 10_000 for g in (0, 1)]
    assert abs(shares[0][0] - shares[1][0]) < 0.03  # how often does not depend on them ...
    assert np.abs(shares[0] - shares[1]).max() > 0.1  # ... where to does
    shuffled = corrupt_instance_dependent(
        np.zeros(20_000, int), features[:, :1] * 0 + 1, noise_rate=0.4, num_classes=5, seed=0
    )
    same = [np.bincount(shuffled.labels[group == g], minlength=5) / 10_000 for g in (0, 1)]
    assert np.abs(same[0] - same[1]).max() < 0.03


def test_instance_dependent_flips_where_the_clean_class_says():
    features = np.ones((20_000, 2))
    noisy = corrupt_instance_dependent(np.arange(20_000) % 4, features, noise_rate=0.5, num_classes=4, seed=0)
    to = noisy.transition_matrix
    # With one W for all classes the share of j among flips to j or k would be the same from i and from h.
    pairs = [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 0, 2), (2, 3, 0, 1)]
    gaps = [abs(to[i, j] / (to[i, j] + to[i, k]) - to[h, j] / (to[h, j] + to[h, k])) for i, h, j, k in pairs]
    assert max(gaps) > 0.3


def test_instance_dependent_frequencies_follow_the_probabilities():
    features = np.tile([[0.5, -1.0, 0.3]], (4000, 1))
    labels = np.full(4000, 2)
    noisy = corrupt_instance_dependent(labels, features, noise_rate=0.4, num_classes=4, seed=11)
    _, probs = reference.instance_dependent(labels, features, 0.4, 4, 11)
    np.testing.assert_allclose(np.bincount(noisy.labels, minlength=4) / 4000, probs.mean(axis=0), atol=0.032)


def test_instance_dependent_flattens_images_and_survives_large_pixels():
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 4, 4), dtype=np.uint8)
    labels = uneven(300, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noisy = corrupt_instance_dependent(labels, images, noise_rate=0.5, num_classes=10, seed=0)
    flat = corrupt_instance_dependent(labels, images.reshape(300, -1), noise_rate=0.5, num_classes=10, seed=0)
    np.testing.assert_array_equal(noisy.labels, flat.labels)
    assert 0.35 < noisy.noise_rate < 0.65


def test_instance_dependent_at_the_ends_of_the_uniforms():
    labels = np.repeat(np.arange(4), 3)
    noisy = corrupt_instance_dependent(labels, np.ones((12, 2)), noise_rate=0, num_classes=4, seed=Scripted())
    np.testing.assert_array_equal(noisy.labels, labels)


def test_instance_dependent_takes_large_integers():
    features = np.array([[100_000, 1], [-7, 100_000], [3, 4]], dtype=np.int32)
    noisy = corrupt_instance_dependent([0, 1, 2], features, noise_rate=1, num_classes=3, seed=0)
    same = corrupt_instance_dependent([0, 1, 2], features.astype(float), noise_rate=1, num_classes=3, seed=0)
    np.testing.assert_array_equal(noisy.labels, same.labels)


def test_instance_dependent_with_two_classes():
    labels = np.arange(2000) % 2
    noisy = corrupt_instance_dependent(labels, np.ones((2000, 1)), noise_rate=0.3, num_classes=2, seed=0)
    assert noisy.noise_rate == pytest.approx(0.3, abs=0.05)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"noise_rate": -0.1}, r"noise_rate is -0\.1; expected a number in \[0, 1\]"),
        ({"noise_rate": 40}, "noise_rate is 40"),
        ({"noise_rate": float("nan")}, "noise_rate is nan"),
        ({"noise_rate": "0.4"}, "noise_rate is '0.4'"),
        ({"noise_rate": True}, "noise_rate is True"),
        ({"noise_rate": None}, "noise_rate is None"),
        ({"labels": [0, 1, 3]}, r"labels runs from 0 to 3; expected 0 \.\. 2"),
        ({"labels": [0, -1]}, "labels runs from -1 to 0"),
        ({"labels": np.array([0, 2**63 + 5], dtype=np.uint64)}, "labels runs from 0 to 9223372036854775813"),
        ({"labels": [0.0, 1.0]}, "labels has dtype float64; expected integers"),
        ({"labels": ["cat", "dog"]}, "labels has dtype <U3"),
        ({"labels": [True, False]}, "labels has dtype bool"),
        ({"labels": [[0, 1], [1, 2]]}, r"labels has shape \(2, 2\); expected \(N,\)"),
        ({"labels": [[0, 1], [1]]}, "labels is no array"),
        ({"labels": 1}, r"labels has shape \(\)"),
        ({"labels": []}, r"labels has shape \(0,\)"),
        ({"num_classes": 1}, "num_classes is 1; expected an integer of at least 2"),
        ({"num_classes": 3.0}, r"num_classes is 3\.0"),
        ({"num_classes": True}, "num_classes is True"),
        ({"seed": None}, "seed is None; expected an integer of at least 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, r"seed is 1\.5"),
    ],
)
@pytest.mark.parametrize(
    "function",
    [corrupt_symmetric, corrupt_symmetric_authors, corrupt_asymmetric, corrupt_asymmetric_authors, corrupt_pairflip],
)
def test_bad_arguments_are_named(function, changed, message):
    arguments = {"labels": [0, 1, 2], "noise_rate": 0.4, "num_classes": 3, "seed": 0} | changed
    if function in (corrupt_asymmetric, corrupt_asymmetric_authors):
        arguments["mapping"] = {0: 1}
    with pytest.raises(ArgumentError, match=message):
        function(arguments.pop("labels"), **arguments)


@pytest.mark.parametrize("function", [corrupt_asymmetric, corrupt_asymmetric_authors])
@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "mapping is {}"),
        ([1, 0], r"mapping is \[1, 0\]; expected {from: to}"),
        ({0: 3}, "mapping sends 0 to 3; expected two classes below 3"),
        ({3: 0}, "mapping sends 3 to 0"),
        ({0: 1, 2: 2}, "mapping sends 2 to 2"),
        ({0: -1}, "a class of mapping is -1"),
        ({0: 1.0}, r"a class of mapping is 1\.0"),
        ({"cat": 1}, "a class of mapping is 'cat'"),
    ],
)
def test_bad_mappings_are_named(function, mapping, message):
    with pytest.raises(ArgumentError, match=message):
        function([0, 1, 2], noise_rate=0.4, num_classes=3, mapping=mapping, seed=0)


@pytest.mark.parametrize(
    ("num_classes", "block", "message"),
    [(10, 1, "block is 1"), (10, 3, "block is 3 with 10 classes"), (1, 2, "num_classes is 1"), (4, 8, "block is 8")],
)
def test_bad_blocks_are_named(num_classes, block, message):
    with pytest.raises(ArgumentError, match=message):
        consecutive_blocks(num_classes, block)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.5, 0.5]], r"transition_matrix has shape \(1, 2\); expected \(C, C\)"),
        ([[1.0]], r"shape \(1, 1\)"),
        ([1.0, 0.0], r"shape \(2,\)"),
        ([], r"shape \(0,\)"),
        ([[1.5, -0.5], [0, 1]], "negative or not finite"),
        ([[np.nan, 1], [0, 1]], "negative or not finite"),
        ([[np.inf, 1], [0, 1]], "negative or not finite"),
        ([[0.5, 0.4], [0, 1]], r"row 0 of transition_matrix sums to 0\.9; expected 1"),
        ([[0.9, 0.2], [0.1, 0.8]], "row 0 of transition_matrix sums to 1.1"),
        ([["a", "b"], ["c", "d"]], "transition_matrix has dtype <U1; expected numbers"),
        ([[1.0], [0.0, 1.0]], "transition_matrix is no array"),
    ],
)
def test_bad_matrices_are_named(matrix, message):
    with pytest.raises(ArgumentError, match=message):
        corrupt_transition([0, 1], transition_matrix=matrix, seed=0)


def test_transition_checks_labels_against_the_matrix_and_the_seed():
    with pytest.raises(ArgumentError, match=r"labels runs from 0 to 2; expected 0 \.\. 1"):
        corrupt_transition([0, 2], transition_matrix=np.eye(2), seed=0)
    with pytest.raises(ArgumentError, match="seed is None"):
        corrupt_transition([0, 1], transition_matrix=np.eye(2), seed=None)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones(3), r"features have shape \(3,\); expected \(3, \.\.\.\)"),
        (np.ones((2, 4)), r"features have shape \(2, 4\)"),
        (np.ones((3, 0)), r"features have shape \(3, 0\)"),
        (np.array([[1.0], [np.nan], [1.0]]), "features hold NaN, infinite or huge values"),
        (np.array([[1.0, 0.0], [np.inf, -np.inf], [1.0, 0.0]]), "features hold NaN"),
        (np.full((3, 2), 1e308), "features hold NaN, infinite or huge"),
        (np.array([["a"], ["b"], ["c"]]), "features has dtype <U1; expected numbers"),
    ],
)
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_bad_features_are_named(features, message, rate):
    with pytest.raises(ArgumentError, match=message):
        corrupt_instance_dependent([0, 1, 2], features, noise_rate=rate, num_classes=3, seed=0)


def test_instance_dependent_checks_the_rest_too():
    with pytest.raises(ArgumentError, match="noise_rate is 2"):
        corrupt_instance_dependent([0, 1], np.ones((2, 1)), noise_rate=2, num_classes=2, seed=0)
    with pytest.raises(ArgumentError, match="seed is None"):
        corrupt_instance_dependent([0, 1], np.ones((2, 1)), noise_rate=0.2, num_classes=2, seed=None)


def test_blocks_of_two_are_pairs_and_every_model_says_its_name():
    assert consecutive_blocks(4, 2) == {0: 1, 1: 0, 2: 3, 3: 2}
    features = np.random.default_rng(0).random((6, 2))
    noisy = corrupt_instance_dependent([0, 1] * 3, features, noise_rate=0.3, num_classes=2, seed=0)
    assert noisy.name == "instance-dependent"
