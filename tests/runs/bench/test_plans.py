import pytest

from elr.errors import ArgumentError
from elr.runs.bench.cell import Cell
from elr.runs.bench.plans import check_cell, fill, holdout, needed, plan_cell, recipe_of
from elr.runs.bench.sources.planting import Noise
from elr.runs.bench.sources.source import source_of
from elr.targets.config import DENSE
from tiny_cifar import write_parquet


def cell(uses="elr", noise="none", rate=None, settings=None, **training):
    return Cell(
        data="digits", noise=noise, rate=rate, method="m", uses=uses, settings=settings or {}, training=training
    )


@pytest.fixture(scope="module")
def prepared():
    return source_of("digits", {}).load(seed=0).prepared(Noise("symmetric", 0.4), seed=0)


def test_known_quantities_are_those_of_the_labels(prepared):
    filled = fill(cell(settings={"lam": {"known": "noise_rate"}, "beta": {"known": "transition"}}), prepared)
    assert filled["lam"] == pytest.approx(0.4, abs=1e-3)
    matrix = filled["beta"]
    assert len(matrix) == 10
    assert [sum(row) for row in matrix] == pytest.approx([1.0] * 10)
    assert sum(matrix[k][k] for k in range(10)) / 10 == pytest.approx(0.6, abs=0.02)
    with pytest.raises(ArgumentError, match=r'expected a value, or \{known = "noise_rate"\} or'):
        needed(cell(settings={"lam": {"known": "everything"}}))


def test_settings_that_belong_elsewhere_are_refused():
    with pytest.raises(ArgumentError, match="momentum is a setting of training with a recipe only"):
        check_cell(cell(momentum=0.5))
    with pytest.raises(ArgumentError, match="training has no setting 'epoch': did you mean epochs"):
        check_cell(cell(epoch=5))
    with pytest.raises(ArgumentError, match="members belongs to training without a recipe"):
        check_cell(cell(members=1, recipe="fast-cifar10-clean-elr"))
    with pytest.raises(ArgumentError, match="did you mean fast-cifar10-clean-elr"):
        check_cell(cell(recipe="fast-cifar10-clean-el"))
    with pytest.raises(ArgumentError, match="run it by `elr run`"):
        check_cell(cell(recipe="clothing1m-elr"))
    with pytest.raises(ArgumentError, match="recipe is 3"):
        check_cell(cell(recipe=3))


def test_a_pattern_is_the_recipe_of_the_noise():
    plain = recipe_of(cell(noise="symmetric-authors", rate=0.4, recipe="cifar10-*-elr"))
    cosine = recipe_of(cell(noise="symmetric-authors", rate=0.4, recipe="cifar10-*-elr-cosine"))
    clean = recipe_of(cell(recipe="cifar10-*-cross-entropy"))
    assert [each.name for each in (plain, cosine, clean)] == [
        "cifar10-sym40-elr",
        "cifar10-sym40-elr-cosine",
        "cifar10-clean-cross-entropy",
    ]
    with pytest.raises(ArgumentError, match="no recipe is of the pattern"):
        recipe_of(cell(noise="symmetric", rate=0.4, recipe="cifar10-*-elr"))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = write_parquet(tmp_path_factory.mktemp("cifar"))
    return source_of("cifar10", {}, places={"cifar10": folder}).load(seed=0).prepared(Noise("none"), seed=0)


def test_targets_are_kept_as_a_recipe_has_them_or_as_training_says(images):
    asked = {"recipe": "cifar100-clean-elr", "epochs": 100}
    assert plan_cell(cell("elr", **asked), images).plan.targets == DENSE
    sparse = plan_cell(cell("elr", **asked, targets="sparse"), images).plan
    assert (sparse.targets.placement, sparse.targets.dtype) == ("sparse", "bfloat16")
    assert "kept as sparse ones" in sparse.remarks[-1]
    assert plan_cell(cell("elr", **asked, targets_dtype="bfloat16"), images).plan.targets.dtype == "bfloat16"
    with pytest.raises(ArgumentError, match="targets is 'cloud'"):
        check_cell(cell("elr", **asked, targets="cloud"))


def test_a_recipe_gives_its_network_and_loop_and_its_own_method_its_settings(images):
    own = plan_cell(cell("elr", settings={"lam": 5.0}, recipe="cifar100-clean-elr", epochs=100), images).plan
    assert (own.method.lam, own.method.beta) == (5.0, 0.9)  # the recipe's
    assert (own.network.name, own.training.epochs, own.training.milestones) == ("resnet34", 100, (80,))
    other = plan_cell(cell("kl_penalty", recipe="fast-cifar10-clean-cross-entropy", batch_size=20), images).plan
    assert (other.method.name, other.network.name, other.training.batch_size) == ("kl_penalty", "fast", 20)
    assert (other.whiten, other.augmentation.mirror, other.training.generations) == (True, True, 1)
    plus = plan_cell(cell("elr", recipe="fast-cifar10-clean-elr-plus"), images).plan
    assert (plus.method.networks, plus.method.gamma, plus.training.generations) == (2, 0.99, 3)
    with pytest.raises(ArgumentError, match="no setting 'lamb'"):
        plan_cell(cell("elr", settings={"lamb": 5.0}, recipe="cifar10-clean-elr"), images)


@pytest.mark.parametrize("uses", ["joint_optimization", "forward_correction"])
def test_a_method_that_trains_in_generations_has_them_in_a_recipe_of_one(images, uses):
    plan = plan_cell(cell(uses, recipe="fast-cifar10-clean-cross-entropy", epochs=7), images).plan
    assert (plan.training.epochs, plan.training.generations) == (8, 2)
    with pytest.raises(ArgumentError, match=r"generations is 1, and .* set training's generations to 2"):
        plan_cell(cell(uses, recipe="fast-cifar10-clean-cross-entropy", generations=1), images)


def test_the_share_held_out_is_that_of_the_recipe():
    assert (holdout(cell()), holdout(cell(recipe="cifar10-clean-elr"))) == (0.0, 0.1)
    assert holdout(cell(recipe="cifar10-clean-elr", holdout=0.2)) == 0.2
