from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import ArgumentError
from elr.noise.named import corrupt
from elr.runs.bench.sources.planting import Noise, noise_features, plant


def records(names, count=200):
    labels = [names[row % len(names)] for row in range(count)]
    features = np.random.default_rng(0).normal(size=(count, 5)).astype("float32")
    return replace(read_data((features, list(range(count))), ReadOptions()), labels=labels)


def planted(names, noise, order=None, seed=3):
    noisy = plant(records(names), noise, seed=seed, options=ReadOptions(), order=order)
    return np.array(noisy.clean_labels), np.array(noisy.labels)


def test_named_noise_is_what_elr_fit_draws():
    clean, given = planted([0, 1, 2], Noise("symmetric", 0.4))
    assert given.tolist() == corrupt("symmetric", clean, noise_rate=0.4, num_classes=3, seed=3).labels.tolist()


def test_the_next_class_is_that_of_the_order_not_of_the_alphabet():
    clean, given = planted(["high", "low", "middle"], Noise("next-class", 0.4), order=("low", "middle", "high"))
    moves = {(a, b) for a, b in zip(clean.tolist(), given.tolist(), strict=True) if a != b}
    assert moves == {("low", "middle"), ("middle", "high"), ("high", "low")}
    assert (clean != given).mean() == pytest.approx(0.4, abs=0.01)


def test_of_two_classes_the_first_becomes_the_second_only():
    clean, given = planted(["a", "b"], Noise("next-class", 0.4), order=("b", "a"))
    assert (given[clean == "b"] == "a").mean() == pytest.approx(0.4)
    assert (given[clean == "a"] == "a").all()
    clean, given = planted(["a", "b"], Noise("pairflip", 0.4), order=("b", "a"))
    assert (given[clean == "a"] == "b").any()


@pytest.mark.parametrize("order", [None, ("a", "b", "d"), ("a", "b")])
def test_classes_without_an_order_have_no_next(order):
    with pytest.raises(ArgumentError, match="the classes a, b, c have no known order: name it as class_order"):
        planted(["a", "b", "c"], Noise("next-class", 0.4), order=order)


def test_instance_dependent_noise_goes_by_inputs_as_networks_get_them():
    features = noise_features(records([0, 1]), ReadOptions())
    assert features.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-5)
    assert features.std(axis=0) == pytest.approx(np.ones(5), abs=1e-4)
    clean, given = planted([0, 1, 2], Noise("instance-dependent", 0.3))
    assert (clean != given).mean() == pytest.approx(0.3, abs=0.1)


def test_texts_have_no_instance_dependent_noise():
    options = ReadOptions(label="y", text="text")
    words = [f"{'good' if row % 2 else 'bad'} film number {row} of this year" for row in range(60)]
    texts = read_data(pd.DataFrame({"text": words, "y": ["b", "a"] * 30}), options)
    with pytest.raises(ArgumentError, match="these data are texts or images on disk"):
        plant(texts, Noise("instance-dependent", 0.3), seed=0, options=options, order=None)


@pytest.mark.parametrize("rate", [None, "0.4", -0.1, 1.1, float("nan")])
def test_rates_out_of_range_are_refused(rate):
    with pytest.raises(ArgumentError, match=r"expected one in \[0, 1\]"):
        Noise("symmetric", rate)


def test_human_noise_needs_its_label_set():
    with pytest.raises(ArgumentError, match="'human' is unknown"):
        Noise("human", 0.4)
    assert not Noise("human", "worse_label").is_planted
    assert Noise("asymmetric-cifar10-authors", 0.4).set == "cifar10"
    assert Noise("asymmetric-cifar100-superclasses", 0.4).set == "cifar100"
    assert Noise("symmetric", 0.4).set is None
