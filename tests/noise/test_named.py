"""Label noise by name."""

import subprocess
import sys

import numpy as np
import pytest

from elr.datasets.sets.cifar import CIFAR100_CLASSES
from elr.errors import ArgumentError
from elr.noise.models import CIFAR10_ASYMMETRIC, corrupt_asymmetric, corrupt_asymmetric_authors
from elr.noise.named import NOISES, corrupt
from elr.noise.superclasses import CIFAR100_SUPERCLASSES

CIFAR = np.repeat(np.arange(10), 5000)


def test_names_of_the_command_line():
    assert set(NOISES) == {
        "symmetric",
        "symmetric-authors",
        "asymmetric-cifar10",
        "asymmetric-cifar10-authors",
        "asymmetric-cifar100-superclasses",
        "asymmetric-cifar100-authors",
        "pairflip",
    }


@pytest.mark.parametrize("name", sorted(NOISES))
def test_corrupt_looks_up_by_name(name):
    classes = 100 if "cifar100" in name else 10
    labels = np.arange(5000) % classes
    one = corrupt(name, labels, noise_rate=0.3, num_classes=classes, seed=2)
    two = NOISES[name](labels, noise_rate=0.3, num_classes=classes, seed=2)
    assert one.name == two.name == name
    np.testing.assert_array_equal(one.labels, two.labels)
    assert 0.1 < one.noise_rate <= (0.33 if name == "asymmetric-cifar100-authors" else 0.3)


def test_asymmetric_noise_on_cifar100_stays_in_real_superclasses_or_in_the_authors_blocks():
    """apple and mushroom are of one superclass (fruit and vegetables), apple and aquarium fish of one block."""
    labels = np.arange(20_000) % 100
    real = corrupt("asymmetric-cifar100-superclasses", labels, noise_rate=0.4, num_classes=100, seed=0)
    groups = np.array(CIFAR100_SUPERCLASSES)
    assert (groups[real.labels] == groups[labels]).all()
    assert real.noise_rate == pytest.approx(0.4)
    apple, mushroom = CIFAR100_CLASSES.index("apple"), CIFAR100_CLASSES.index("mushroom")
    assert set(real.labels[labels == apple]) == {apple, mushroom}
    authors = corrupt("asymmetric-cifar100-authors", labels, noise_rate=0.4, num_classes=100, seed=0)
    assert (authors.labels // 5 == labels // 5).all()
    assert set(authors.labels[labels == apple]) == {apple, CIFAR100_CLASSES.index("aquarium_fish")}
    assert authors.noise_rate == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("name", "function"),
    [("asymmetric-cifar10", corrupt_asymmetric), ("asymmetric-cifar10-authors", corrupt_asymmetric_authors)],
)
def test_cifar10_names_are_the_mapping_and_need_ten_classes(name, function):
    plain = function(CIFAR, noise_rate=0.3, num_classes=10, mapping=CIFAR10_ASYMMETRIC, seed=2)
    np.testing.assert_array_equal(corrupt(name, CIFAR, noise_rate=0.3, num_classes=10, seed=2).labels, plain.labels)
    with pytest.raises(ArgumentError, match=f"num_classes is 12; {name} expects 10"):
        corrupt(name, CIFAR, noise_rate=0.3, num_classes=12, seed=2)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ArgumentError, match="noise 'symetric' is unknown") as caught:
        corrupt("symetric", [0, 1], noise_rate=0.3, num_classes=2, seed=0)
    assert all(name in str(caught.value) for name in NOISES)


def test_the_same_labels_in_another_process():
    code = (
        "from elr.noise.named import corrupt; "
        "print(corrupt('symmetric', [0, 1, 2] * 9, noise_rate=0.5, num_classes=3, seed=4).labels.tolist())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = corrupt("symmetric", [0, 1, 2] * 9, noise_rate=0.5, num_classes=3, seed=4).labels.tolist()
    assert output.strip() == str(here)
