"""Which rows an epoch trains on: all of them, or as many of each given label."""

import numpy as np
import pytest
import torch
from PIL import Image

from blobs import METHODS, blobs
from blobs import examples as blob_examples
from elr.data.examples import Examples
from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.data.transforms import ImageTransform
from elr.errors import ArgumentError, DataError
from elr.methods.elr import ELRConfig
from elr.networks.spec import NetworkSpec
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from elr.training.sampling import Pass, RowOrder, checked_choice

LABELS = [0] * 50 + [1] * 30 + [2] * 6
UNEVEN = Examples(np.random.default_rng(0).normal(size=(86, 4)).astype("float32"), LABELS)


def order(**settings):
    return RowOrder(UNEVEN, TrainingConfig(**{"batch_size": 8, "sampling": "balanced", "num_batches": 3} | settings))


def rows_of(rows, epoch):
    return torch.cat(rows.begin(epoch).batches).tolist()


def test_all_rows_once_in_an_order_of_its_own_each_epoch():
    rows = order(sampling="all", num_batches=None)
    assert (rows.per_epoch, rows.steps) == (86, 11)
    first, second = rows_of(rows, 0), rows_of(rows, 1)
    assert sorted(first) == sorted(second) == list(range(86))
    assert first != second
    assert first == rows_of(order(sampling="all", num_batches=None), 0)


@pytest.mark.parametrize("sampling", ["balanced", "balanced_once"])
def test_a_balanced_subset_has_as_many_of_each_given_label(sampling):
    rows = order(sampling=sampling)
    assert (rows.per_epoch, rows.steps) == (8 + 8 + 6, 3)  # of the smallest class all there are
    for epoch in range(3):
        chosen = rows_of(rows, epoch)
        assert len(set(chosen)) == len(chosen) == rows.per_epoch
        assert np.bincount(np.array(LABELS)[chosen]).tolist() == [8, 8, 6]
        assert {len(batch) for batch in rows.begin(epoch).batches} <= {7, 8}


def test_the_paper_draws_anew_and_the_authors_once():
    anew, once = order(), order(sampling="balanced_once")
    assert set(rows_of(anew, 0)) != set(rows_of(anew, 1))
    assert set(rows_of(once, 0)) == set(rows_of(once, 1))
    assert rows_of(once, 0) != rows_of(once, 1)
    assert set(rows_of(once, 0)) != set(rows_of(order(sampling="balanced_once", seed=1), 0))
    assert rows_of(anew, 5) == rows_of(order(), 5)


def test_a_method_may_choose_the_rows_of_a_pass():
    for rows in (order(), order(sampling="all", num_batches=None)):
        chosen = rows.begin(0, 0, chosen=torch.arange(10, 40))
        assert [len(batch) for batch in chosen.batches] == [8, 8, 7, 7]
        assert sorted(torch.cat(chosen.batches).tolist()) == list(range(10, 40))
        again, other = (rows.begin(epoch, 0, chosen=torch.arange(10, 40)) for epoch in (0, 1))
        assert torch.equal(torch.cat(chosen.batches), torch.cat(again.batches))
        assert not torch.equal(torch.cat(chosen.batches), torch.cat(other.batches))
    every = rows.begin(0, 0, chosen=torch.arange(86))
    assert torch.equal(torch.cat(every.batches), torch.cat(rows.begin(0, 0).batches))


def test_every_batch_takes_an_equal_share_of_each_set():
    rows = order(sampling="all", num_batches=None)  # batches of 8
    few, many, some = torch.arange(10), torch.arange(10, 60), torch.arange(60, 63)
    two = rows.begin(0, 0, chosen=[few, many])
    assert [len(batch) for batch in two.batches] == [8, 7, 7]  # 4, 3 and 3 of the first
    own = [batch[: len(batch) - 4] for batch in two.batches]
    assert sorted(torch.cat(own).tolist()) == few.tolist()
    others = torch.cat([batch[-4:] for batch in two.batches])
    assert set(others.tolist()) <= set(many.tolist())
    assert len(others.unique()) == 12  # one not through before its end has no row twice
    three = rows.begin(0, 0, chosen=[many, few, some])
    assert len(three.batches) == 25  # two of each
    assert {len(batch) for batch in three.batches} == {2 + 2 + 1, 2 + 2 + 2}
    for part, expected in ((slice(2), many), (slice(2, 4), few), (slice(4, None), some)):
        assert torch.equal(torch.cat([batch[part] for batch in three.batches]).unique(), expected)
    assert all(len(batch.unique()) == len(batch) for batch in three.batches)


def test_a_set_that_is_through_starts_over_in_another_order():
    rows = order(sampling="all", num_batches=None)
    chosen = [torch.arange(40), torch.arange(40, 60)]
    batches = rows.begin(0, 0, chosen=chosen).batches
    first, second = (torch.cat([batch[4:] for batch in batches[start : start + 5]]) for start in (0, 5))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(40, 60))
    assert not torch.equal(first, second)
    again, other = (rows.begin(epoch, 0, chosen=chosen) for epoch in (0, 1))
    assert torch.equal(torch.cat(batches), torch.cat(again.batches))
    assert not torch.equal(torch.cat(batches), torch.cat(other.batches))


def test_one_set_alone_is_what_it_is_without_a_list():
    assert torch.equal(checked_choice([torch.tensor([4, 2])], 5), torch.tensor([2, 4]))


@pytest.mark.parametrize(("count", "nominal"), [(1, 5), (5, 5), (4, 5), (7, 5), (3, 100)])
def test_batches_stand_for_all_steps_of_a_pass_and_no_more(count, nominal):
    one = Pass((torch.zeros(2),) * count, torch.Generator(), nominal)
    steps = [one.steps(done) for done in range(count + 1)]
    assert (steps[0], steps[-1], one.num_rows) == (0, nominal, 2 * count)
    assert steps == sorted(steps)
    assert all(abs(step - nominal * done / count) < 1 for done, step in enumerate(steps))
    if count == nominal:
        assert steps == list(range(count + 1))


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ArgumentError, match=r"num_batches is 1: 2 rows an epoch are fewer than the 3 classes"):
        order(num_batches=1, batch_size=2)
    with pytest.raises(ArgumentError, match=r"num_batches is None: expected None where all rows .* at least 1 where"):
        TrainingConfig(sampling="balanced")
    with pytest.raises(ArgumentError, match="num_batches is 5: expected None where all rows are trained on"):
        TrainingConfig(num_batches=5)
    with pytest.raises(ArgumentError, match="sampling is 'some': expected one of all, balanced, balanced_once"):
        TrainingConfig(sampling="some")


def balanced_training(folder=None, epochs=2):
    if folder:
        folder.mkdir(exist_ok=True)
    config = TrainingConfig(
        epochs=epochs, batch_size=8, device="cpu", sampling="balanced", num_batches=2, schedule="constant"
    )
    network = NetworkSpec("mlp", 3, num_features=4, hidden=(8,)).build(generator_seed=0)
    return Training(ELRConfig().build([network], num_examples=86, num_classes=3), UNEVEN, config=config, folder=folder)


def test_rows_keep_their_numbers_and_those_never_drawn_are_judged_by_the_network():
    training = balanced_training()
    training.run()
    visited = training.state.visited
    assert 16 <= int(visited.sum()) < 86
    store = training.method.stores[0]
    totals = store.read(torch.arange(86)).sum(dim=1)
    assert torch.equal(totals > 0, visited)
    probs = training.pred_probs()
    assert torch.allclose(probs.sum(dim=1), torch.ones(86), atol=1e-5)
    network = training.predict(UNEVEN)
    assert torch.equal(probs[~visited], network[~visited])
    assert not torch.allclose(probs[visited], network[visited], atol=1e-3)


def test_a_balanced_run_resumes_bit_identically(tmp_path):
    whole = balanced_training(tmp_path / "whole", epochs=3)
    whole.run()

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.epoch == 2:
            raise Stopped

    with pytest.raises(Stopped):
        balanced_training(tmp_path / "broken", epochs=3).run(on_progress=stop)
    resumed = balanced_training(tmp_path / "broken", epochs=3)
    resumed.run(resume=True)
    assert torch.equal(whole.pred_probs(), resumed.pred_probs())
    assert torch.equal(whole.state.visited, resumed.state.visited)


# Images on disk


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for row in range(24):
        pixels = np.full((30, 40, 3), 60 + 120 * (row % 2)) + rng.integers(-30, 30, (30, 40, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"{row:02}.png")
    return FileImages(root, [f"{row:02}.png" for row in range(24)], Geometry(resize=20, crop=16))


def on_disk(store, *, window=True, folder=None, epochs=2):
    if folder:
        folder.mkdir(exist_ok=True)
    config = TrainingConfig(epochs=epochs, batch_size=6, device="cpu", precision="float32", learning_rate=0.05)
    network = NetworkSpec("fast", 2, widths=(4, 8, 8)).build(generator_seed=0)
    transform = ImageTransform([0.5] * 3, [0.25] * 3, flip=True, window=window)
    method = ELRConfig().build([network], num_examples=24, num_classes=2)
    return Training(method, Examples(store, [0, 1] * 12), config=config, transform=transform, folder=folder)


def test_images_on_disk_are_cropped_at_random_in_training_and_in_the_middle_otherwise(photographs):
    training = on_disk(photographs)
    batches = list(training._batches())
    assert sorted(torch.cat([batch.index for batch, _ in batches]).tolist()) == list(range(24))
    plain = on_disk(photographs, window=False)
    for (batch, _), (still, _) in zip(batches, plain._batches(), strict=True):
        assert torch.equal(batch.index, still.index)
        assert batch.inputs.shape == (6, 3, 16, 16)
        assert not torch.equal(batch.inputs, still.inputs)
    rows, inputs = next(training.plain_inputs.inputs(training.examples))
    middle = photographs.fetch(rows)
    assert torch.allclose(inputs, (middle.float() / 255 - 0.5) / 0.25, atol=1e-5)


def test_a_run_on_images_on_disk_learns_and_resumes_bit_identically(photographs, tmp_path):
    whole = on_disk(photographs, folder=tmp_path / "whole", epochs=8)
    whole.run()
    assert whole.history[-1]["agreement_with_given_labels"] > 0.8

    class Stopped(Exception):
        pass

    def stop(progress):
        if progress.epoch == 3:
            raise Stopped

    with pytest.raises(Stopped):
        on_disk(photographs, folder=tmp_path / "broken", epochs=8).run(on_progress=stop)
    resumed = on_disk(photographs, folder=tmp_path / "broken", epochs=8)
    resumed.run(resume=True)
    assert torch.equal(whole.pred_probs(), resumed.pred_probs())


def test_an_image_lost_in_the_course_of_a_run_is_named(photographs, tmp_path):
    lost = FileImages(photographs.root, [*(f"{row:02}.png" for row in range(23)), "gone.png"], photographs.geometry)
    with pytest.raises(DataError, match=r"gone\.png cannot be read \(there is no such file\): get it again"):
        on_disk(lost, folder=tmp_path).run()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_from_balanced_epochs(name):
    features, _, clean = blobs()
    config = TrainingConfig(epochs=6, batch_size=10, device="cpu", sampling="balanced", num_batches=6)
    training = Training(METHODS[name](), blob_examples(), config=config)
    training.run()
    assert training.steps_per_epoch == 6
    assert (training.predict(Examples(features, None)).argmax(dim=1).numpy() == clean).mean() > 0.9
