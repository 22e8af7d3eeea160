"""What an ensemble computes, against the same networks trained alone; blindness; choice and evidence."""

import numpy as np
import pytest
import torch

from blobs import C, D, N, Rows, blobs, ensemble, examples
from elr.errors import ArgumentError
from elr.methods.ingredients.alignment import aligned, alignment_weights
from elr.methods.method import Batch
from elr.targets.config import TargetsConfig
from elr.training.config import TrainingConfig
from elr.training.loop import Training

CONFIG = TrainingConfig(
    epochs=3, batch_size=20, optimizer="adamw", learning_rate=0.01, weight_decay=0.01, schedule="triangle", device="cpu"
)


def trained(view=None, **settings):
    training = Training(ensemble(view, **settings), examples(), config=CONFIG)
    training.run()
    return training


def batch(rows, given=None):
    index = torch.as_tensor(rows)
    labels = examples().labels if given is None else given
    return Batch(index, examples().fetch(index), labels[index])


def reference_loss(method, index, logits, targets):
    """The formula of the docstring, in plain NumPy, number by number."""
    folds, labels = method.folds.numpy(), examples().labels.numpy()
    members, total = method.config.members, 0.0
    for number, lam in enumerate(method.lams.tolist()):
        for place, row in enumerate(index):
            if folds[row] == number % members:
                continue
            p = np.exp(logits[number, place] - logits[number, place].max())
            p /= p.sum()
            t = targets[row, number]
            total += -np.log(p[labels[row]]) + lam * np.log(1.0 - np.clip(p, 1e-4, 1 - 1e-4) @ t)
    return total / (len(index) * (1.0 - 1.0 / members))


@pytest.mark.parametrize("align", [False, True])
def test_the_loss_is_the_formula(align):
    method = ensemble(align=align, lams=(3.0, 7.0)).train()
    index = list(range(10, 40))
    method(batch(index))
    method.begin_epoch(1, Rows())
    with torch.no_grad():
        logits = torch.cat([stack(batch(index).inputs) for stack in method.stacks])
    step = method(batch(index))
    targets = method.targets.table.view(N, -1, C)
    if align:
        means = torch.zeros(9, C)  # of the table as it was at the beginning of the epoch
        before = ensemble(align=align, lams=(3.0, 7.0)).train()
        before(batch(index))
        for number in range(9):
            seen = before.folds != number % 3
            means[number] = before.targets.table.view(N, 9, C)[seen, number].mean(dim=0)
        weights = alignment_weights(means, torch.bincount(examples().labels, minlength=C))
        assert (weights - 1.0).abs().max() > 0.05
        targets = aligned(targets.transpose(0, 1), weights[:, None]).transpose(0, 1)
    expected = reference_loss(method, index, logits.double().numpy(), targets.double().numpy())
    assert step.loss.item() == pytest.approx(expected, rel=1e-4)


def test_outputs_of_each_network_enter_its_targets_as_the_term_sees_them():
    method, index = ensemble(align=False).train(), [4, 9, 17]
    with torch.no_grad():
        for weight in method.stacks.parameters():
            weight.mul_(5.0)  # so that outputs saturate
        logits = torch.cat([stack(batch(index).inputs) for stack in method.stacks])
    method(batch(index))
    beta, found = method.config.beta, method.targets.read(torch.tensor(index)).view(3, -1, C)
    clamped = logits.softmax(dim=-1).clamp(1e-4, 1.0 - 1e-4)
    said = clamped / clamped.sum(dim=-1, keepdim=True)
    assert (said - logits.softmax(dim=-1)).abs().max() > 5e-5
    torch.testing.assert_close(found, (1.0 - beta) * said.transpose(0, 1), atol=1e-7, rtol=1e-5)


def test_a_network_never_sees_a_label_of_its_fold():
    """Other labels for the rows of a fold change every network but those that are blind to it."""
    torch.manual_seed(0)
    method, other = ensemble(align=False), ensemble(align=False)
    folds = method.folds
    changed = torch.where(folds == 1, (examples().labels + 1) % C, examples().labels)
    for each, labels in ((method, examples().labels), (other, changed)):
        each.train()(batch(range(N), labels)).loss.backward()
    for stack, twin in zip(method.stacks, other.stacks, strict=True):
        for place, (one, two) in enumerate(zip(stack.parameters(), twin.parameters(), strict=True)):
            across = 1 if one.ndim == 3 and place == 0 else 0  # the first layer is one matrix (D, M, H)
            for number in range(len(stack)):
                same = torch.equal(one.grad.select(across, number), two.grad.select(across, number))
                assert same == (number % 3 == 1), (place, number)


def test_the_evidence_about_a_row_does_not_depend_on_its_label():
    """Not even through the choice, where there is nothing to choose: what nobody saw nobody tells."""
    settings = {"lams": (3.0,), "align": False, "most": 1, "kept_epochs": ()}
    labels = examples().labels
    method = ensemble(**settings)
    row = int(torch.nonzero(method.folds == 2)[0])
    changed = labels.clone()
    changed[row] = (labels[row] + 1) % C
    found = []
    for given in (labels, changed):
        one = ensemble(**settings)  # the same folds, whatever the label
        one.train()
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        for _ in range(5):
            one(batch(range(N), given)).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            one.eval()
            said = torch.cat([stack(examples().fetch(torch.tensor([row]))) for stack in one.stacks])
        found.append((said[2], one.targets.table.view(N, -1, C)[row, 2]))
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


def test_an_ensemble_learns_finds_wrong_labels_and_says_what_it_chose():
    training = trained()
    _, given, clean = blobs()
    probs = training.pred_probs()
    wrong = given != clean
    assert (probs.argmax(dim=1).numpy() == clean)[wrong].mean() > 0.9
    choice = training.method.choice()
    assert len(choice["candidates"]) == 2 * 3
    assert 1 <= len(choice["chosen"]) <= 3
    assert all(0.0 <= score <= 1.0 for setting in choice["settings"] for _, score in setting["curve"])
    assert [epoch for epoch, _ in choice["settings"][0]["curve"]] == [1, 2, 3]
    best = max(choice["candidates"], key=lambda each: each["score"])
    assert best["chosen"]
    assert "was chosen" in choice["text"]
    assert 0.5 < training.history[-1]["out_of_fold_agreement"] < 0.9


def test_predictions_are_the_mean_of_the_networks_that_were_chosen():
    training = trained()
    method = training.method
    inputs = torch.from_numpy(blobs()[0])
    method.eval()
    with torch.no_grad():
        alone = torch.stack([network.eval()(inputs).softmax(dim=1) for network in method.predictors]).mean(dim=0)
        torch.testing.assert_close(method.predict(inputs), alone, atol=1e-5, rtol=1e-4)
    assert len(method.predictors) == 3 * len(method.chosen)


def test_kept_weights_are_those_of_their_epoch():
    """A candidate of epoch 2 predicts as a run that is asked at epoch 2."""
    method = trained().method
    stopped = ensemble()
    training = Training(stopped, examples(), config=CONFIG)

    class Stop(Exception):
        pass

    def stop(progress):
        if progress.step == 12:  # the end of the second epoch
            raise Stop

    with pytest.raises(Stop):
        training.run(on_progress=stop)
    for kept, present in zip(method.kept[0].parameters(), stopped.stacks.parameters(), strict=True):
        assert torch.equal(kept, present)


def test_hits_are_those_of_blind_networks():
    method = trained().method
    method.eval()
    labels = examples().labels
    with torch.no_grad():
        for number, (group, stack) in enumerate(zip(method.groups, method.stacks, strict=True)):
            logits = stack(torch.from_numpy(blobs()[0])).unflatten(0, (-1, 3))
            for place, setting in enumerate(group):
                said = logits[place, method.folds, torch.arange(N)].argmax(dim=1)
                assert torch.equal(method.hits[-1, setting], said == labels), (number, setting)


def test_the_only_row_of_a_class_is_judged_by_all():
    given = torch.where(examples().labels == 2, 0, examples().labels)
    given[7] = 2
    method = ensemble(Rows(given))
    assert method.folds[7] == -1
    step = method.train()(batch(range(N), given))
    assert torch.isfinite(step.loss)
    method.end_training(Rows(given))
    assert method.pred_probs(torch.tensor([7])).sum().item() == pytest.approx(1.0)


def test_shares_of_several_annotators_are_labels_as_well():
    shares = torch.nn.functional.one_hot(examples().labels, C).float() * 0.8 + 0.2 / C
    method = ensemble(Rows(shares))
    assert torch.equal(method.folds, ensemble().folds)
    assert torch.isfinite(method.train()(batch(range(N), shares)).loss)


def test_training_without_folds_is_refused():
    method = ensemble()
    method.folds = None
    with pytest.raises(ArgumentError, match="begin_epoch"):
        method.train()(batch([0, 1]))


def test_groups_of_parameters_are_the_stacks_linear_ones_at_their_rate():
    groups = ensemble().parameter_groups(0)
    assert [group.learning_rate for group in groups] == [None, 0.05]
    assert sum(weight.numel() for group in groups for weight in group.weights) == 6 * (D * 32 + 32 + 32 * C + C) + 3 * (
        D * C + C
    )


def test_sparse_targets_keep_as_many_classes_of_each_network():
    method = ensemble(targets=TargetsConfig(placement="sparse", top_k=2))
    kept = [(store.num_classes, store.top_k) for store in method.stores]
    assert kept == [(width, 2 * width // C) for width in method.config.target_widths(C)]
    assert kept[0][1] == 2 * method.config.num_networks
