import numpy as np

from elr.data.records import Records
from elr.runs.bench.sources.loaded import Loaded, noise_rate
from elr.runs.bench.sources.planting import Noise


def loaded(**settings):
    rows = Records(kind="features", rows=np.arange(90), features=np.eye(90, dtype="float32"), labels=[0, 1, 2] * 30)
    return Loaded(name="mine", train=rows, source="mine", order=(0, 1, 2), **settings)


def test_a_seed_decides_about_split_and_noise():
    one, again, other = (loaded().prepared(Noise("symmetric", 0.4), seed=seed) for seed in (1, 1, 2))
    assert one.sha256 == again.sha256 != other.sha256
    assert np.bincount(one.test.labels.numpy()).tolist() == [9, 9, 9]


def test_rows_that_are_held_out_have_their_given_labels():
    prepared = loaded().prepared(Noise("symmetric", 0.4), seed=1, holdout=0.1)
    assert (len(prepared.examples), len(prepared.validation)) == (57, 6)
    assert abs(noise_rate(prepared) - 0.4) < 0.1


def test_labels_that_are_known_to_be_right_are_clean_ones_too():
    assert noise_rate(loaded(trusted=True).prepared(Noise("none"), seed=0)) == 0.0
    assert noise_rate(loaded().prepared(Noise("none"), seed=0)) is None
    assert noise_rate(loaded().prepared(Noise("next-class", 0.5), seed=0)) == 10 / 21  # 7 of 21 rows each, 10.5 by half
