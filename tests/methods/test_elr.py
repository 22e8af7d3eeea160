"""ELR and every part of it up to ELR+: step by step against Algorithm 2 in NumPy, and what its switches promise."""

import copy
import io

import numpy as np
import pytest
import torch
from torch import nn

from blobs import N as BLOB_EXAMPLES
from blobs import built, examples, network
from elr.errors import ArgumentError
from elr.methods.elr import ELRConfig
from elr.methods.ingredients.mixup import Mixing, draw_mixing
from elr.methods.method import Batch, View
from elr.targets.store import Targets
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from reference import elr_plus_reference as reference

N, C, D, HIDDEN = 20, 4, 5, 6
EPOCHS, BATCHES = 2, 3
SGD = {"lr": 0.2, "momentum": 0.9, "weight_decay": 5e-3}

# Each is one setting of the switches; "peer" says whether there is a second network, 1.0 is the paper's mixup.
SETTINGS = {
    "plain": {},
    "averaging": {"gamma": 0.8},
    "mixup": {"mixup": 1.0},
    "mixup and averaging": {"mixup": 1.0, "gamma": 0.8},
    "two networks": {"peer": True},
    "two networks, mixup": {"peer": True, "mixup": 1.0},
    "two networks, averaging": {"peer": True, "gamma": 0.8},
    "two networks, mixup, averaging": {"peer": True, "mixup": 1.0, "gamma": 0.8},
    "stateless": {"ensembling": False, "gamma": 0.8},
    "stateless, mixup": {"ensembling": False, "gamma": 0.8, "mixup": 1.0},
    "stateless, two networks": {"ensembling": False, "peer": True},
    "stateless, two networks, averaging": {"ensembling": False, "peer": True, "gamma": 0.8},
    "stateless, two networks, own targets": {"ensembling": False, "peer": True, "gamma": 0.8, "target_from": "own"},
    "refinement": {"mixup": 1.0, "refine_labels": True},
    "refinement, everything": {"peer": True, "mixup": 1.0, "gamma": 0.8, "refine_labels": True},
    "stateless, refinement": {"ensembling": False, "gamma": 0.8, "mixup": 1.0, "refine_labels": True},
    "ramp of gamma": {"gamma": 0.9, "gamma_ramp": 4},
    "ramp of lam": {"lam_ramp": 4},
    "ramps, everything": {"peer": True, "mixup": 1.0, "gamma": 0.9, "gamma_ramp": 4, "lam_ramp": 3},
    "own targets": {"peer": True, "target_from": "own"},
    "own targets, everything": {"peer": True, "target_from": "own", "mixup": 1.0, "gamma": 0.8},
    "peer's targets by name": {"peer": True, "target_from": "peer", "mixup": 1.0, "gamma": 0.8},
    "clamp": {"clamp": 0.15},
    "clamp, everything": {"peer": True, "mixup": 1.0, "gamma": 0.8, "clamp": 0.15},
    "other weights": {"lam": 1.0, "beta": 0.9, "peer": True, "gamma": 0.8},
    "beta zero": {"beta": 0.0, "peer": True},
    "aligned": {"align": True},
    "aligned to the roots of the shares": {"align": True, "align_power": 0.5},
    "aligned, clamp": {"align": True, "clamp": 0.15},
    "aligned, refinement": {"align": True, "mixup": 1.0, "refine_labels": True},
    "aligned, everything": {"align": True, "peer": True, "mixup": 1.0, "gamma": 0.8},
}
# Bit-identical continuation and the like are asked of those that between them hold every kind of state.
SOME = [
    "plain",
    "mixup and averaging",
    "stateless, two networks",
    "ramps, everything",
    "stateless, refinement",
    "aligned, everything",
]


def torch_network(kind, seed):
    generator = torch.Generator().manual_seed(seed)
    layers = [nn.Linear(D, C)] if kind == "linear" else [nn.Linear(D, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, C)]
    built = nn.Sequential(*layers).double()
    for weight in built.parameters():
        nn.init.normal_(weight, std=0.5, generator=generator)
    return built


def method_of(settings, kind="mlp"):
    settings = {"clamp": 0.0, **settings}
    networks = [torch_network(kind, seed=seed) for seed in range(2 if settings.pop("peer", False) else 1)]
    config = ELRConfig(**settings, networks=len(networks))
    return config.build(networks, num_examples=N, num_classes=C)


def arrays(module):
    return [weight.detach().numpy().copy() for weight in module.parameters()]


def reference_of(settings, kind="mlp"):
    settings = dict(settings)
    peer = settings.pop("peer", False)
    return reference.ELRPlus(
        [arrays(torch_network(kind, seed)) for seed in ([0, 1] if peer else [0])],
        num_examples=N,
        num_classes=C,
        mixup=settings.pop("mixup", 0.0) > 0,
        target_from=settings.pop("target_from", "peer" if peer else "own"),
        learning_rate=SGD["lr"],
        momentum=SGD["momentum"],
        weight_decay=SGD["weight_decay"],
        **settings,
    )


def plan(passes):
    """Batches of every pass of every epoch, each in an order of its own, with mixing weights and partners."""
    rng = np.random.default_rng(7)
    inputs, labels = rng.normal(size=(N, D)), rng.integers(C, size=N)
    return [
        [
            [
                reference.Example(rows, inputs[rows], labels[rows], rng.uniform(0.5, 1.0), rng.permutation(len(rows)))
                for rows in np.array_split(rng.permutation(N), BATCHES)
            ]
            for _ in range(passes)
        ]
        for _ in range(EPOCHS)
    ]


def steps(passes):
    """The plan as one list of (number of the pass, batch)."""
    return [(k, batch) for epoch in plan(passes) for k, batches in enumerate(epoch) for batch in batches]


def torch_batch(batch):
    return Batch(torch.from_numpy(batch.index), torch.from_numpy(batch.inputs), torch.from_numpy(batch.labels))


def mixing_of(method_settings, batch):
    if not method_settings.get("mixup"):
        return None
    return Mixing(float(batch.weight), torch.from_numpy(batch.partner))


def optimizers_of(method):
    return [torch.optim.SGD(method.parameter_groups(k)[0].weights, **SGD) for k in range(method.passes)]


class GivenLabels(View):
    """The labels of the plan."""

    num_examples = N

    def batches(self):
        for _, batch in steps(1)[:BATCHES]:
            yield torch_batch(batch)


def begins_epoch(number, passes):
    return number % (passes * BATCHES) == 0


def take_step(method, optimizers, k, batch, settings):
    method.begin_pass(k)
    loss = method(torch_batch(batch), mixing=mixing_of(settings, batch)).loss
    loss.backward()
    optimizers[k].step()
    optimizers[k].zero_grad()
    return loss.item()


def trained(settings, kind="mlp"):
    method = method_of(settings, kind).train()
    optimizers = optimizers_of(method)
    for k, batch in steps(method.passes):
        take_step(method, optimizers, k, batch, settings)
    return method


def assert_close(found, expected, what):
    """Within what float32 targets allow; the losses and weights themselves are float64."""
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=1e-6, err_msg=what)


# --- Algorithm 2 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("name", SETTINGS)
def test_every_step_equals_algorithm_2(name, kind):
    settings = SETTINGS[name]
    method, expected = method_of(settings, kind).train(), reference_of(settings, kind)
    optimizers = optimizers_of(method)
    assert method.passes == len(method.networks) == len(expected.networks)
    assert len(method.averaged) == (len(expected.networks) if expected.gamma else 0)
    assert len(method.stores) == (len(expected.networks) if expected.ensembling else 0)
    for number, (k, batch) in enumerate(steps(method.passes)):
        where = f"step {number}, network {k}"
        if begins_epoch(number, method.passes):
            method.begin_epoch(number, GivenLabels())
            expected.begin_epoch(torch.cat(list(GivenLabels().labels_alone())).numpy())
        assert_close(take_step(method, optimizers, k, batch, settings), expected.step(k, batch), f"loss, {where}")
        for other in range(method.passes):
            pairs = {"weights": (arrays(method.networks[other]), expected.networks[other])}
            if expected.gamma:
                pairs["averages"] = arrays(method.averaged[other].module), expected.averaged[other]
            if expected.ensembling:
                pairs["targets"] = [method.stores[other].read(torch.arange(N)).numpy()], [expected.tables[other]]
            for what, (found, right) in pairs.items():
                for one, two in zip(found, right, strict=True):
                    assert_close(one, two, f"{what} of network {other}, {where}")


def test_the_first_averaging_copies_weights_that_were_set_after_construction():
    (_, batch), method = steps(1)[0], method_of({"gamma": 0.8, "gamma_ramp": 4}).train()
    before = arrays(method.averaged[0].module)
    method.networks[0].load_state_dict(torch_network("mlp", seed=5).state_dict())
    method(torch_batch(batch))
    for average, weight, old in zip(arrays(method.averaged[0].module), arrays(method.networks[0]), before, strict=True):
        np.testing.assert_array_equal(average, weight)
        assert (average != old).any()


def test_the_plan_goes_over_the_data_once_per_pass_in_orders_of_its_own():
    for epoch in plan(2):
        orders = [np.concatenate([batch.index for batch in batches]) for batches in epoch]
        assert all(sorted(order) == list(range(N)) for order in orders)
        assert (orders[0] != orders[1]).any()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("plain", "averaging"),
        ("plain", "mixup"),
        ("averaging", "stateless"),
        ("two networks", "own targets"),
        ("two networks, mixup, averaging", "own targets, everything"),
        ("two networks, averaging", "stateless, two networks, averaging"),
        ("mixup", "refinement"),
        ("two networks, mixup, averaging", "refinement, everything"),
        ("plain", "ramp of lam"),
        ("averaging", "ramp of gamma"),
        ("plain", "clamp"),
        ("two networks, mixup, averaging", "clamp, everything"),
        ("plain", "aligned"),
        ("aligned", "aligned to the roots of the shares"),
        ("two networks, mixup, averaging", "aligned, everything"),
    ],
)
def test_each_switch_of_the_reference_changes_far_more_than_the_tolerance(one, other):
    """Else the comparison above could not tell them apart."""
    losses = []
    for name in (one, other):
        model = reference_of(SETTINGS[name])
        losses.append([])
        for epoch in plan(len(model.networks)):
            model.begin_epoch(np.concatenate([batch.labels for batch in epoch[0]]))
            losses[-1] += model.run([epoch])
    losses = np.array(losses)
    assert np.abs(losses[0] - losses[1]).max() > 1e-3


@pytest.mark.parametrize("kind", ["linear", "mlp"])
@pytest.mark.parametrize("clamp", [0.0, 0.15])
def test_gradients_of_the_reference_are_those_of_its_loss(kind, clamp):
    rng = np.random.default_rng(3)
    weights, inputs = arrays(torch_network(kind, seed=0)), rng.normal(size=(7, D))
    labels, targets = rng.dirichlet(np.ones(C), size=7), 0.9 * rng.dirichlet(np.ones(C), size=7)

    def loss():
        return reference.loss_and_slope(reference.logits(weights, inputs), labels, targets, 3.0, clamp)

    gradients, width = reference.backward(weights, inputs, loss()[1]), 1e-6
    for array, gradient in zip(weights, gradients, strict=True):
        for place in np.ndindex(array.shape):
            before, values = array[place], []
            for shift in (width, -width):
                array[place] = before + shift
                values.append(loss()[0])
            array[place] = before
            assert gradient[place] == pytest.approx((values[0] - values[1]) / (2 * width), abs=1e-7)


@pytest.mark.parametrize(
    ("settings", "clamps"),
    [
        ({}, True),
        ({"refine_labels": True}, True),  # a pass of its own for rows of labels, over the same inputs
        ({"mixup": 1.0}, False),
        ({"gamma": 0.8}, False),
        ({"peer": True}, False),
        ({"peer": True, "target_from": "own"}, True),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_what_the_term_sees_clamped_enters_the_targets_so_and_other_outputs_as_they_are(settings, clamps, soft):
    method, (_, batch) = method_of({**settings, "clamp": 0.15}).train(), steps(1)[0]
    one = torch_batch(batch)
    labels = nn.functional.one_hot(one.labels, C).double() if soft else one.labels
    source = method.networks[1 if settings == {"peer": True} else 0]
    probs = source(one.inputs).detach().softmax(dim=1)
    clamped = probs.clamp(0.15, 0.85)
    expected = clamped / clamped.sum(dim=1, keepdim=True) if clamps else probs
    method.begin_pass(0)
    method(one._replace(labels=labels))
    torch.testing.assert_close(method.stores[0].read(one.index), 0.3 * expected, atol=1e-12, rtol=0.0)
    assert (clamped - probs).abs().max() > 0.01


# --- what a pass trains, and on what ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
def test_a_pass_trains_its_network_and_nothing_else(name):
    settings = SETTINGS[name]
    method = method_of(settings).train()
    assert method.passes == (2 if settings.get("peer") else 1)
    for k, batch in steps(method.passes):
        method.begin_pass(k)
        method(torch_batch(batch), mixing=mixing_of(settings, batch)).loss.backward()
        own = {id(weight) for weight in method.networks[k].parameters()}
        assert {id(weight) for group in method.parameter_groups(k) for weight in group.weights} == own
        assert {id(weight) for weight in method.parameters() if weight.grad is not None} == own
        method.zero_grad()


def test_labels_of_both_networks_are_the_same_ones():
    """Every row reaches each network once per epoch, with the label of the data (the authors' loaders: two of them)."""
    method = built(ELRConfig(gamma=0.9, mixup=1.0), network(), network())
    data, seen, entered = examples(), [], []
    inner = method.begin_pass

    def begin_pass(number):
        entered.append(number)
        inner(number)

    method.begin_pass = begin_pass
    method.register_forward_pre_hook(lambda _, arguments: seen.append((entered[-1], arguments[0])))
    Training(method, data, config=TrainingConfig(epochs=2, batch_size=50, device="cpu")).run()
    assert entered == [0, 1, 0, 1]
    for k in (0, 1):
        index = torch.cat([batch.index for number, batch in seen if number == k])
        labels = torch.cat([batch.labels for number, batch in seen if number == k])
        assert torch.equal(torch.bincount(index), torch.full((BLOB_EXAMPLES,), 2))
        assert torch.equal(labels, data.labels[index])


@pytest.mark.parametrize("k", [0, 1])
def test_each_network_learns_from_the_labels_of_the_batch(k):
    method, (_, batch) = method_of({"peer": True, "lam": 0.0}).train(), steps(2)[0]
    method.begin_pass(k)
    entropy = nn.functional.cross_entropy(method.networks[k](torch_batch(batch).inputs), torch_batch(batch).labels)
    torch.testing.assert_close(method(torch_batch(batch)).loss, entropy)


def test_mixing_is_drawn_from_torchs_generator_where_none_is_passed():
    (_, batch), methods = steps(1)[0], [method_of({"mixup": alpha}).train() for alpha in (5.0, 5.0, 0.0)]
    torch.manual_seed(0)
    drawn = methods[0](torch_batch(batch)).loss
    torch.manual_seed(0)
    mixing = draw_mixing(len(batch.index), alpha=5.0, device=torch.device("cpu"))
    torch.testing.assert_close(methods[1](torch_batch(batch), mixing=mixing).loss, drawn)
    assert abs(methods[2](torch_batch(batch)).loss - drawn) > 1e-3


@pytest.mark.parametrize("name", SOME)
def test_a_step_says_what_it_did(name):
    settings = SETTINGS[name]
    method = method_of(settings).train()
    for k, batch in steps(method.passes):
        method.begin_pass(k)
        step = method(torch_batch(batch), mixing=mixing_of(settings, batch))
        assert step.logits.shape == (len(batch.index), C)
        assert step.terms["loss"] == step.loss.detach()
        assert not any(value.requires_grad for value in step.terms.values())


@pytest.mark.parametrize("predict_with", ["networks", "averaged"])
@pytest.mark.parametrize("name", ["averaging", "stateless", "own targets, averaging"])
def test_what_is_measured_is_the_network_that_predicts(name, predict_with):
    own_averaged = {"peer": True, "target_from": "own", "gamma": 0.8}
    method = method_of(SETTINGS.get(name, own_averaged) | {"predict_with": predict_with}).train()
    for k, batch in steps(method.passes) * 2:
        method.begin_pass(k)
        before = copy.deepcopy(method.networks[k])
        step = method(torch_batch(batch))
        own, average = (each(torch_batch(batch).inputs).detach() for each in (before, method.averaged[k]))
        torch.testing.assert_close(step.logits.detach(), own if predict_with == "networks" else average)
        step.loss.backward()
        with torch.no_grad():
            for weight in method.networks[k].parameters():
                weight -= 0.5 * weight.grad
        method.zero_grad()
    assert (own - average).abs().max() > 1e-3


# --- state ------------------------------------------------------------------------------------------------------------


def assert_equal_states(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[name]), name
        else:
            assert value == second[name], name


@pytest.mark.parametrize("name", SETTINGS)
def test_eval_mode_changes_nothing(name):
    settings = SETTINGS[name]
    method = trained(settings).eval()
    before = copy.deepcopy(method.state_dict())
    tables = [store.read(torch.arange(N)) for store in method.stores]
    for k, batch in steps(method.passes):
        method.begin_pass(k)
        assert torch.isfinite(method(torch_batch(batch)).loss)
        method.predict(torch_batch(batch).inputs)
        method.pred_probs(torch_batch(batch).index)
    assert_equal_states(before, method.state_dict())
    for table, store in zip(tables, method.stores, strict=True):
        assert torch.equal(table, store.read(torch.arange(N)))


@pytest.mark.parametrize("name", ["stateless", "stateless, two networks", "stateless, two networks, averaging"])
def test_stateless_mode_holds_no_table(name):
    method = trained(SETTINGS[name])
    assert not any(isinstance(module, Targets) for module in method.modules())
    tensors = [value for value in method.state_dict().values() if isinstance(value, torch.Tensor)]
    assert tensors
    assert not any(N in value.shape for value in tensors)
    assert method.pred_probs(torch.arange(N)) is None


def test_lam_reaches_its_height_in_a_short_run_without_targets():
    assert ELRConfig().stateless(steps=60).lam_ramp == 30
    assert ELRConfig().stateless(steps=10_000).lam_ramp == ELRConfig().stateless().lam_ramp == 1000
    assert ELRConfig(lam_ramp=5000).stateless(steps=60).lam_ramp == 5000  # as asked for


@pytest.mark.parametrize("at", [2, 4])  # within an epoch of one network, within the first pass or between the two
@pytest.mark.parametrize("name", SOME)
def test_a_state_dict_continues_bit_identically(name, at):
    settings = SETTINGS[name]
    whole, rest = method_of(settings).train(), steps(2 if settings.get("peer") else 1)
    optimizers = optimizers_of(whole)
    for number, (k, batch) in enumerate(rest[:at]):
        if begins_epoch(number, whole.passes):
            whole.begin_epoch(number, GivenLabels())
        take_step(whole, optimizers, k, batch, settings)
    file = io.BytesIO()
    torch.save([whole.state_dict(), [optimizer.state_dict() for optimizer in optimizers]], file)
    file.seek(0)
    saved, optimizer_states = torch.load(file, weights_only=True)
    again = method_of(settings).train()
    again.load_state_dict(saved)
    optimizers_again = optimizers_of(again)
    for optimizer, saved_state in zip(optimizers_again, optimizer_states, strict=True):
        optimizer.load_state_dict(saved_state)
    for number, (k, batch) in enumerate(rest[at:], start=at):
        if begins_epoch(number, whole.passes):
            whole.begin_epoch(number, GivenLabels())
            again.begin_epoch(number, GivenLabels())
        losses = [take_step(*pair, k, batch, settings) for pair in ((whole, optimizers), (again, optimizers_again))]
        assert losses[0] == losses[1]
    assert_equal_states(whole.state_dict(), again.state_dict())


# --- prediction -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "averaging", "two networks", "ramps, everything", "stateless, two networks"])
def test_prediction_is_the_mean_of_the_probabilities_of_the_networks(name):
    method, inputs = trained(SETTINGS[name]).eval(), steps(1)[0][1].inputs
    probs = method.predict(torch.from_numpy(inputs))
    expected = np.mean([reference.softmax(reference.logits(arrays(one), inputs)) for one in method.networks], axis=0)
    assert probs.dtype == torch.float32
    np.testing.assert_allclose(probs.detach().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["averaging", "two networks, averaging", "ramps, everything", "stateless"])
def test_prediction_of_the_averaged_networks(name):
    settings, inputs = {**SETTINGS[name], "predict_with": "averaged"}, steps(1)[0][1].inputs
    method = trained(settings).eval()
    probs = method.predict(torch.from_numpy(inputs)).detach().numpy()
    weights = [arrays(average.module) for average in method.averaged]
    expected = np.mean([reference.softmax(reference.logits(one, inputs)) for one in weights], axis=0)
    np.testing.assert_allclose(probs, expected, atol=1e-6)
    present = trained(SETTINGS[name]).eval().predict(torch.from_numpy(inputs)).detach().numpy()
    assert np.abs(probs - present).max() > 1e-3


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"lam": -1.0}, "lam is -1.0"),
        ({"lam": float("nan")}, "lam is nan"),
        ({"beta": 1.0}, "beta is 1.0"),
        ({"beta": -0.1}, "beta is -0.1"),
        ({"gamma": 1.0}, "gamma is 1.0"),
        ({"gamma": -0.1}, "gamma is -0.1"),
        ({"gamma": float("nan")}, "gamma is nan"),
        ({"mixup": -1.0}, "mixup is -1.0"),
        ({"mixup": float("nan")}, "mixup is nan"),
        ({"gamma_ramp": -1}, "gamma_ramp is -1"),
        ({"lam_ramp": -1}, "lam_ramp is -1"),
        ({"align": True, "align_power": 1.5}, "align_power is 1.5"),
        ({"align": True, "align_power": float("nan")}, "align_power is nan"),
        ({"target_from": "both"}, "target_from is 'both'"),
        ({"predict_with": "targets"}, "predict_with is 'targets'"),
    ],
)
def test_wrong_settings_are_refused_with_what_was_found_and_what_expected(settings, found):
    with pytest.raises(ArgumentError) as error:
        method_of(settings)
    assert found in str(error.value)
    assert "expected" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"target_from": "peer"}, "target_from is .peer.*pass a second one"),
        ({"predict_with": "averaged"}, "predict_with is .averaged.*gamma is 0.*set gamma"),
        ({"align_power": 0.5}, "set align, or leave align_power out"),
        ({"align": True, "ensembling": False, "gamma": 0.8}, "align is about the mean.*leave one of them out"),
        ({"ensembling": False}, "expected ensembling, gamma > 0, or"),
        ({"ensembling": False, "mixup": 1.0}, "expected ensembling, gamma > 0, or"),
        ({"ensembling": False, "peer": True, "target_from": "own"}, "expected ensembling, gamma > 0, or"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_the_way_out(settings, words):
    with pytest.raises(ArgumentError, match=words):
        method_of(settings)


def test_a_network_is_not_its_own_peer():
    one = torch_network("mlp", seed=0)
    with pytest.raises(ArgumentError, match="peer"):
        ELRConfig().build([one, one], num_examples=N, num_classes=C)


def test_method_gives_loss_logits_and_terms():
    torch.manual_seed(0)
    method = ELRConfig(lam=2.0).build([nn.Linear(2, 3)], num_examples=8, num_classes=3)
    batch = Batch(torch.tensor([5, 0]), torch.randn(2, 2), torch.tensor([1, 2]))
    step = method(batch)
    assert step.logits.shape == (2, 3)
    assert step.loss.requires_grad
    torch.testing.assert_close(step.terms["loss"], step.terms["cross_entropy"] + 2.0 * step.terms["elr"])
    assert not any(value.requires_grad for value in step.terms.values())
    probs = method.pred_probs(torch.arange(8))
    torch.testing.assert_close(probs.sum(dim=1), torch.ones(8))
    torch.testing.assert_close(probs[1], torch.full((3,), 1 / 3))
    torch.testing.assert_close(probs[5], torch.softmax(step.logits[0], dim=0))
