"""DivideMix step by step: who divides for whom, what is refined and guessed, the loss, and what is kept."""

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import nn

from blobs import C, N, Rows, blobs, built, examples
from elr.data.examples import Examples
from elr.data.transforms import ImageTransform
from elr.errors import ArgumentError
from elr.methods.cross_entropy import LossMethod
from elr.methods.ingredients.mixup import Mixing
from elr.methods.method import Batch, View
from elr.methods.peers.dividemix import DivideMix, DivideMixConfig
from elr.networks.spec import NetworkSpec
from elr.training.config import TrainingConfig
from elr.training.loop import Training

COUNT, CLASSES = 60, 3
GIVEN = torch.arange(COUNT) % CLASSES


class Knows(nn.Module):
    """Says of row r what its table has, times one plus the view's number; notes in which mode it is asked."""

    def __init__(self, seed, doubted=()):
        super().__init__()
        rng = np.random.default_rng(seed)
        table = rng.normal(size=(COUNT, CLASSES)) * 0.3
        table[np.arange(COUNT), GIVEN.numpy()] += 3.0
        for row in doubted:
            table[row] = np.roll(table[row], 1)
        self.table = nn.Parameter(torch.from_numpy(table).float())
        self.modes = []

    def forward(self, inputs):
        """Inputs (B, 2): rows, which mixing makes fractions of, and the number of the view."""
        self.modes.append(self.training)
        low = inputs[:, 0].long()
        share = (inputs[:, 0] - low)[:, None]
        mixed = (1.0 - share) * self.table[low] + share * self.table[(low + 1).clamp(max=COUNT - 1)]
        return mixed * (1.0 + inputs[:, 1:])


class All(View):
    """Every row, as its number."""

    num_examples = COUNT

    def __init__(self, given=GIVEN):
        self.given = given

    def batches(self):
        for rows in torch.arange(COUNT).split(25):
            yield Batch(rows, torch.stack([rows.float(), torch.zeros(len(rows))], dim=1), self.given[rows])


def batch_of(rows, views=2, done=0.0, given=GIVEN):
    rows = torch.as_tensor(rows)
    inputs = [torch.stack([rows.float(), torch.full((len(rows),), float(view))], dim=1) for view in range(views)]
    return Batch(rows, inputs[0], given[rows], tuple(inputs[1:]), done)


FIRST_DOUBTS, SECOND_DOUBTS = tuple(range(0, 15)), tuple(range(30, 50))


def knowing(**settings):
    """A method whose first network disbelieves some labels, and whose second disbelieves others."""
    config = DivideMixConfig(**{"warm_up": 1, "ramp": 0} | settings)
    networks = [Knows(0, FIRST_DOUBTS), Knows(1, SECOND_DOUBTS)]
    return config.build(networks, num_examples=COUNT, num_classes=CLASSES).train()


def divided(number=0, view=None, **settings):
    method = knowing(**settings)
    method.begin_epoch(1, view or All())
    method.begin_pass(number)
    return method


def fitted(losses):
    """w by scikit-learn's mixture, straight from the losses (N,) of a network."""
    column = ((losses - losses.min()) / (losses.max() - losses.min())).double().numpy()[:, None]
    mixture = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(column)
    return torch.from_numpy(mixture.predict_proba(column)[:, mixture.means_.argmin()]).float()


def losses_of(network):
    return nn.functional.cross_entropy(network.table.detach(), GIVEN, reduction="none")


# The division


def test_each_network_has_its_probabilities_from_its_losses():
    method = divided()
    for number, network in enumerate(method.networks):
        torch.testing.assert_close(method.clean_probs[number], fitted(losses_of(network)), atol=1e-5, rtol=0)


def test_each_network_trains_on_the_division_of_its_peer():
    method = divided()
    for number, doubted in ((0, SECOND_DOUBTS), (1, FIRST_DOUBTS)):
        labeled, unlabeled = method.epoch_rows(1, number)
        assert tuple(unlabeled.tolist()) == doubted
        assert sorted([*labeled.tolist(), *doubted]) == list(range(COUNT))


def test_the_threshold_decides():
    strict = divided(threshold=0.999)
    for number in range(2):
        labeled, _ = strict.epoch_rows(1, number)
        assert torch.equal(labeled, (strict.clean_probs[1 - number] > 0.999).nonzero().flatten())


def test_losses_are_measured_in_eval_mode_and_the_modes_are_left():
    method = knowing()
    method.networks[1].eval()
    method.begin_epoch(1, All())
    assert [set(network.modes) for network in method.networks] == [{False}, {False}]
    assert [network.training for network in method.networks] == [True, False]


def test_warm_up_has_the_usual_rows_and_looks_at_nothing():
    method = knowing(warm_up=3)
    for epoch in range(3):
        method.begin_epoch(epoch, All())
        assert method.epoch_rows(epoch, 0) is None
    assert method.networks[0].modes == []
    assert torch.equal(method.clean_probs, torch.ones(2, COUNT))
    method.begin_epoch(3, All())
    assert len(method.epoch_rows(3, 0)) == 2


def test_losses_may_be_averaged_over_the_latest_epochs():
    method = knowing(loss_epochs=2)
    seen = []
    for epoch in range(1, 5):
        with torch.no_grad():
            method.networks[0].table.add_(torch.randn(COUNT, CLASSES, generator=torch.Generator().manual_seed(epoch)))
        losses = losses_of(method.networks[0])
        seen.append((losses - losses.min()) / (losses.max() - losses.min()))
        method.begin_epoch(epoch, All())
        expected = fitted_as_they_are(torch.stack(seen[-2:]).mean(dim=0))
        torch.testing.assert_close(method.clean_probs[0], expected, atol=1e-4, rtol=0)
    before = method.losses.clone()
    method.end_training(All())
    torch.testing.assert_close(method.clean_probs[0], fitted_as_they_are(seen[-1]), atol=1e-4, rtol=0)
    assert torch.equal(method.losses, before)


def fitted_as_they_are(losses):
    column = losses.double().numpy()[:, None]
    mixture = GaussianMixture(n_components=2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(column)
    return torch.from_numpy(mixture.predict_proba(column)[:, mixture.means_.argmin()]).float()


def test_losses_that_are_alike_leave_every_row_labeled():
    method = knowing()
    for network in method.networks:
        nn.init.zeros_(network.table)
    method.begin_epoch(1, All())
    method.begin_pass(0)
    [labeled] = method.epoch_rows(1, 0)
    assert torch.equal(labeled, torch.arange(COUNT))
    assert method(batch_of(range(8))).loss.isfinite()


def test_where_no_row_passes_all_are_labeled_with_their_probability():
    method = knowing()
    probs = torch.linspace(0.1, 0.4, COUNT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elr.methods.peers.dividemix.clean_probs_of", lambda losses: probs)
        method.begin_epoch(1, All())
    [labeled] = method.epoch_rows(1, 0)
    assert len(labeled) == COUNT
    assert torch.equal(method.clean_probs[1], probs)


# What is learned


def mean_probs(network, rows, views=2):
    table = network.table.detach()[rows]
    return torch.stack([((1.0 + view) * table).softmax(dim=1) for view in range(views)]).mean(dim=0)


def sharp(probs, temperature=0.5):
    powers = probs ** (1.0 / temperature)
    return powers / powers.sum(dim=1, keepdim=True)


LABELED, UNLABELED = [0, 3, 20, 55], [31, 40, 49]  # by the second network


def new_labels(method, views=2):
    """Refined and guessed labels of those rows for the first network, by hand."""
    own, peer = method.networks
    w = method.clean_probs[1, LABELED][:, None]
    given = nn.functional.one_hot(GIVEN[LABELED], CLASSES).float()
    refined = sharp(w * given + (1.0 - w) * mean_probs(own, LABELED, views))
    guessed = sharp((mean_probs(own, UNLABELED, views) + mean_probs(peer, UNLABELED, views)) / 2.0)
    return refined, guessed


@pytest.mark.parametrize("views", [1, 2, 3])
def test_the_loss_by_hand(views):
    """Views that differ, rows in mixed order, a given mixing: everything that a step does."""
    method = divided(augmentations=views, lam_u=7.0)
    rows = [31, 0, 3, 40, 20, 49, 55]
    count = views * len(rows)
    partner = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    step = method(batch_of(rows, views), Mixing(0.8, partner))

    refined, guessed = new_labels(method, views)
    labels = torch.cat([refined] * views + [guessed] * views)
    inputs = [[row, view] for part in (LABELED, UNLABELED) for view in range(views) for row in part]
    inputs = torch.tensor(inputs, dtype=torch.float32)
    log_probs = method.networks[0](0.8 * inputs + 0.2 * inputs[partner]).log_softmax(dim=1)
    labels = 0.8 * labels + 0.2 * labels[partner]
    few = views * len(LABELED)
    entropy = -(labels[:few] * log_probs[:few]).sum(dim=1).mean()
    consistency = ((log_probs[few:].exp() - labels[few:]) ** 2).mean()
    prior = (1 / CLASSES * ((1 / CLASSES) / log_probs.exp().mean(dim=0)).log()).sum()
    torch.testing.assert_close(step.loss, entropy + 7.0 * consistency + prior)
    for name, value in (("cross_entropy", entropy), ("consistency", consistency), ("prior", prior)):
        torch.testing.assert_close(step.terms[name], value.detach())
    torch.testing.assert_close(step.logits, method.networks[0].table.detach()[rows])

    step.loss.backward()
    found = method.networks[0].table.grad.clone()
    method.networks[0].table.grad = None
    (entropy + 7.0 * consistency + prior).backward()
    torch.testing.assert_close(found, method.networks[0].table.grad)
    assert method.networks[1].table.grad is None


def test_the_network_that_learns_is_in_train_mode_and_its_peer_is_not():
    method = divided(number=1)
    for network in method.networks:
        network.modes.clear()
    method(batch_of([0, 1, 20, 55]))  # the first network doubts rows 0 and 1
    peer, own = (network.modes for network in method.networks)
    assert peer == [False, False]  # two views of what is unlabeled
    assert own == [True] * 5
    assert all(network.training for network in method.networks)


def test_the_weight_of_unlabeled_rows_rises_along_a_line():
    weights = []
    method = knowing(warm_up=2, ramp=4, lam_u=8.0, alpha=0.0)
    for epoch in range(2, 8):
        method.begin_epoch(epoch, All())
        method.begin_pass(0)
        for done in (0.0, 0.5):
            terms = method(batch_of(LABELED + UNLABELED, done=done)).terms
            weights.append(float((terms["loss"] - terms["cross_entropy"] - terms["prior"]) / terms["consistency"]))
    assert weights == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8], abs=1e-4)


@pytest.mark.parametrize("rows", [LABELED, UNLABELED, [3], [31], [3, 31]])
def test_batches_of_one_kind_and_of_single_rows(rows):
    method = divided()
    step = method(batch_of(rows))
    assert step.loss.isfinite()
    torch.testing.assert_close(step.logits, method.networks[0].table.detach()[rows])


def test_a_single_row_does_not_stop_batch_norm():
    networks = [nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, CLASSES)) for _ in range(2)]
    method = DivideMixConfig(warm_up=1).build(networks, num_examples=COUNT, num_classes=CLASSES).train()
    method.begin_epoch(1, All())
    method.begin_pass(0)
    method.labeled[0] = torch.arange(COUNT) < 30
    assert method(batch_of([3, 31])).loss.isfinite()


def test_nothing_but_the_labels_of_labeled_rows_matters():
    method = divided()
    mixing = Mixing(0.7, torch.arange(14).roll(3))
    other = GIVEN.clone()
    other[UNLABELED] = (other[UNLABELED] + 1) % CLASSES
    losses = [method(batch_of(LABELED + UNLABELED, given=given), mixing).loss for given in (GIVEN, other)]
    assert torch.equal(*losses)
    other[LABELED] = (other[LABELED] + 1) % CLASSES
    assert not torch.equal(losses[0], method(batch_of(LABELED + UNLABELED, given=other), mixing).loss)


def test_label_shares_are_refined_as_class_numbers_are():
    shares = nn.functional.one_hot(GIVEN, CLASSES).float()
    mixing = Mixing(0.7, torch.arange(14).roll(3))
    plain, rows = divided(), divided(view=All(shares))
    torch.testing.assert_close(rows.clean_probs, plain.clean_probs)
    torch.testing.assert_close(rows.pred_probs(torch.arange(COUNT)), plain.pred_probs(torch.arange(COUNT)))
    batches = [batch_of(LABELED + UNLABELED, given=given) for given in (GIVEN, shares)]
    torch.testing.assert_close(plain(batches[0], mixing).loss, rows(batches[1], mixing).loss)


def test_inputs_of_several_parts_are_divided_and_mixed_alike():
    class Parts(Knows):
        def forward(self, inputs):
            return super().forward(torch.stack([inputs["row"], inputs["view"]], dim=1))

    method = divided()
    method.networks = nn.ModuleList(copy.deepcopy(network) for network in method.networks)
    mixing, batch = Mixing(0.7, torch.arange(14).roll(3)), batch_of(LABELED + UNLABELED)
    expected = method(batch, mixing)
    for network in method.networks:
        network.__class__ = Parts
    views = [{"row": view[:, 0], "view": view[:, 1]} for view in (batch.inputs, *batch.views)]
    found = method(batch._replace(inputs=views[0], views=tuple(views[1:])), mixing)
    torch.testing.assert_close(found.loss, expected.loss)


# The warm-up


def test_the_warm_up_is_cross_entropy_on_which_confidence_may_be_penalized():
    batch = batch_of([5, 6, 7])
    for penalized in (False, True):
        method = knowing(confidence_penalty=penalized)
        method.begin_pass(1)
        step = method(batch)
        log_probs = method.networks[1].table[[5, 6, 7]].log_softmax(dim=1)
        expected = -log_probs[[0, 1, 2], GIVEN[[5, 6, 7]]].mean()
        if penalized:
            expected = expected + (log_probs.exp() * log_probs).sum(dim=1).mean()
        torch.testing.assert_close(step.loss, expected)
        (gradients,) = torch.autograd.grad(3 * step.loss, step.logits)
        torch.testing.assert_close(method.logit_gradients(batch.index, step.logits, batch.labels), gradients)


def test_a_run_that_ends_in_its_warm_up_says_so():
    method = knowing(warm_up=5)
    method.begin_epoch(4, All())
    with pytest.warns(RuntimeWarning, match="ended within its warm-up of 5 epochs, as cross entropy: set warm_up"):
        method.end_training(All())


def test_a_generation_begins_with_a_warm_up():
    method = knowing(warm_up=2)
    first = copy.deepcopy(method.first_state())
    for epoch in range(4):
        method.begin_epoch(epoch, All())
    assert len(method.epoch_rows(3, 0)) == 2
    evidence = method.pred_probs(torch.arange(COUNT))
    method.load_state_dict(first, strict=False)
    method.begin_generation(100)
    assert torch.equal(method.clean_probs, torch.ones(2, COUNT))
    assert torch.equal(method.pred_probs(torch.arange(COUNT)), evidence)
    for epoch in (4, 5):
        method.begin_epoch(epoch, All())
        assert method.epoch_rows(epoch, 0) is None
    method.begin_epoch(6, All())
    assert len(method.epoch_rows(6, 0)) == 2


# What is kept


def evidence_of(method):
    """Mean over the networks of w y + (1 - w) p, with w of the peer."""
    given = nn.functional.one_hot(GIVEN, CLASSES).float()
    w = method.clean_probs.flip(0)[:, :, None]
    probs = torch.stack([network.table.detach().softmax(dim=1) for network in method.networks])
    return (w * given + (1.0 - w) * probs).mean(dim=0)


def test_the_evidence_is_the_refined_label():
    method = divided()
    rows = torch.arange(COUNT)
    torch.testing.assert_close(method.pred_probs(rows), evidence_of(method))
    with torch.no_grad():
        method.networks[0].table.mul_(0.5)
    method.end_training(All())
    found = method.pred_probs(rows)
    torch.testing.assert_close(found, evidence_of(method))
    method.end_training(All())
    assert torch.equal(method.pred_probs(rows), found)
    torch.testing.assert_close(method.pred_probs(rows[[7, 3]]), found[[7, 3]])


def test_in_the_warm_up_the_evidence_is_what_was_said_last():
    method = knowing()
    for number in range(2):
        method.begin_pass(number)
        method(batch_of([5, 6]))
    expected = torch.stack([network.table.detach()[[5, 6]].softmax(dim=1) for network in method.networks]).mean(dim=0)
    torch.testing.assert_close(method.pred_probs(torch.tensor([5, 6])), expected)


def test_the_state_has_the_division():
    method, other = divided(loss_epochs=3), knowing(loss_epochs=3)
    other.load_state_dict(method.state_dict())
    rows = torch.arange(COUNT)
    for number in range(2):
        for mine, theirs in zip(method.epoch_rows(1, number), other.epoch_rows(1, number), strict=True):
            assert torch.equal(mine, theirs)
    assert torch.equal(method.clean_probs, other.clean_probs)
    assert torch.equal(method.losses, other.losses)
    assert torch.equal(method.pred_probs(rows), other.pred_probs(rows))
    assert (other.epoch, other.first_epoch) == (1, 0)


def test_misuse_is_refused():
    method = knowing()
    with pytest.raises(ArgumentError, match="trains one in each pass over the data: call begin_pass"):
        method(batch_of([1]))
    with pytest.raises(ArgumentError, match="pass 2 of a method with 2"):
        method.begin_pass(2)
    with pytest.raises(ArgumentError, match="1 stores for 2 networks: expected one for each"):
        DivideMix(list(method.networks), method.config, stores=method.stores[:1])
    with pytest.raises(ArgumentError, match="the peer is the network itself"):
        DivideMixConfig().build([method.networks[0]] * 2, num_examples=COUNT, num_classes=CLASSES)


# Whole runs


def accuracy_on_wrong(method, rate, **changes):
    settings = {"epochs": 40, "batch_size": 20, "learning_rate": 0.05, "weight_decay": 0.0, "device": "cpu"}
    training = Training(method, examples(noise_rate=rate), config=TrainingConfig(**settings | changes))
    training.run()
    _, given, clean = blobs(rate)
    said = training.predict(examples()).argmax(dim=1).numpy()
    return (said == clean)[given != clean].mean(), training


def test_it_learns_planted_noise_better_than_cross_entropy():
    """Labels of the next class, for which the paper leaves the unlabeled rows without weight."""
    network = NetworkSpec("mlp", C, num_features=8, hidden=(32,)).build(generator_seed=0)
    plain, _ = accuracy_on_wrong(LossMethod(network), 0.4)
    found, training = accuracy_on_wrong(built(DivideMixConfig(warm_up=3, ramp=5, lam_u=0.0)), 0.4)
    assert found > 0.95 > plain + 0.2
    _, given, clean = blobs(0.4)
    quality = training.pred_probs()[torch.arange(N), torch.from_numpy(given)].numpy()
    assert quality[given == clean].mean() > quality[given != clean].mean() + 0.5


def test_every_labeled_row_comes_once_and_as_many_others():
    method = built(DivideMixConfig(warm_up=1, ramp=1))
    training = Training(method, examples(), config=TrainingConfig(epochs=2, batch_size=20, device="cpu"))
    seen = []
    method.register_forward_pre_hook(lambda module, given: seen.append((module.epoch, module.current, given[0])))
    divisions = []
    begin = method.begin_epoch

    def noted(epoch, view):
        begin(epoch, view)
        divisions.append(method.labeled.clone())

    method.begin_epoch = noted
    training.run()
    for number in range(2):
        batches = [batch for epoch, current, batch in seen if (epoch, current) == (1, number)]
        there = divisions[1][number]
        rows = torch.cat([batch.index for batch in batches])
        assert torch.equal(rows[there[rows]].sort().values, there.nonzero().flatten())
        assert all(abs(int(there[batch.index].sum()) - 10) <= 1 for batch in batches)
        assert all(len(batch.views) == 1 for batch in batches)
        assert all(int((~there)[batch.index].sum()) in range(5, 11) for batch in batches)


def test_images_are_guessed_over_views_that_differ():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=60)
    pixels = rng.integers(0, 100, size=(60, 3, 16, 16)) + 100 * labels[:, None, None, None]
    given = np.where(np.arange(60) < 12, 1 - labels, labels)
    networks = [NetworkSpec("fast", 2, widths=(4, 8, 8)).build(generator_seed=seed) for seed in range(2)]
    method = DivideMixConfig(warm_up=2, ramp=2).build(networks, num_examples=60, num_classes=2)
    transform = ImageTransform([0.5] * 3, [0.25] * 3, padding=2, flip=True)
    config = TrainingConfig(epochs=12, batch_size=20, precision="bfloat16", device="cpu")
    training = Training(method, Examples(pixels.astype(np.uint8), given), config=config, transform=transform)
    training.run()
    assert (training.pred_probs().argmax(dim=1).numpy() == labels).mean() > 0.85


def test_it_runs_over_generations_and_on_balanced_rows():
    for changes in ({"generations": 2, "epochs": 6}, {"sampling": "balanced", "num_batches": 4, "epochs": 5}):
        found, _ = accuracy_on_wrong(built(DivideMixConfig(warm_up=1, ramp=1)), 0.2, **changes)
        assert found > 0.9


def test_a_view_by_hand_has_what_the_loop_has():
    method = built(DivideMixConfig(warm_up=1))
    method.begin_epoch(1, Rows())
    sets = method.epoch_rows(1, 0)
    assert sorted(torch.cat(list(sets)).tolist()) == list(range(N))
