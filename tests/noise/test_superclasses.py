"""The superclasses of CIFAR-100, by the names of its classes."""

import numpy as np

from elr.datasets.sets.cifar import CIFAR100_CLASSES
from elr.noise.superclasses import CIFAR100_CYCLES, CIFAR100_SUPERCLASSES


def test_superclasses_are_twenty_of_five():
    assert np.bincount(CIFAR100_SUPERCLASSES).tolist() == [5] * 20
    people = [CIFAR100_CLASSES[c] for c, group in enumerate(CIFAR100_SUPERCLASSES) if group == 14]
    assert people == ["baby", "boy", "girl", "man", "woman"]
    trees = [CIFAR100_CLASSES[c] for c, group in enumerate(CIFAR100_SUPERCLASSES) if group == 17]
    assert trees == ["maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"]
    vehicles = {CIFAR100_CLASSES[c] for c, group in enumerate(CIFAR100_SUPERCLASSES) if group in (18, 19)}
    assert vehicles == {
        *("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
        *("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
    }


def test_a_flip_stays_in_its_superclass_and_comes_back_after_five():
    for start in range(100):
        way = [start]
        for _ in range(5):
            way.append(CIFAR100_CYCLES[way[-1]])
        assert way[-1] == start
        assert len({*way}) == 5
        assert len({CIFAR100_SUPERCLASSES[c] for c in way}) == 1
