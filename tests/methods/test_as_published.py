"""Whole runs of ELR and ELR+ in float64 against the published algorithms, restated here without a line of `elr`.

The settings are such that outputs saturate, so that the clamp of the authors' code decides where training ends.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from elr.data.examples import Examples
from elr.methods.elr import ELRConfig
from elr.methods.elr_plus import ELRPlusConfig
from elr.methods.loss.elr_loss import ELRLoss
from elr.training.config import TrainingConfig
from elr.training.loop import Training

N, C, D, BATCH, CLAMP = 500, 5, 12, 25, 1e-4
BETA, LAM = 0.7, 3.0
SGD = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
GAMMA, RAMP = 0.99, 60
SATURATED = 1.0  # standard deviation of weights whose outputs are so at once


def data():
    """Rows in float64, of which 30 % have another label than their cluster."""
    rng = np.random.default_rng(0)
    clean = rng.integers(C, size=N)
    inputs = 2.0 * rng.normal(size=(C, D))[clean] + rng.normal(size=(N, D))
    given = np.where(rng.random(N) < 0.3, rng.integers(C, size=N), clean)
    return torch.from_numpy(inputs), torch.from_numpy(given)


def network(seed, std=0.3):
    generator = torch.Generator().manual_seed(seed)
    made = nn.Sequential(nn.Linear(D, 16), nn.Tanh(), nn.Linear(16, C)).double()
    for weight in made.parameters():
        nn.init.normal_(weight, std=std, generator=generator)
    return made


def trained(method, epochs):
    """What the loop did: pass, rows and the state of the random numbers at each step; and the losses of the steps."""
    inputs, given = data()
    settings = {"learning_rate": SGD["lr"], "momentum": SGD["momentum"], "weight_decay": SGD["weight_decay"]}
    config = TrainingConfig(epochs=epochs, batch_size=BATCH, schedule="constant", device="cpu", **settings)
    steps, losses = [], []
    method.register_forward_pre_hook(
        lambda module, arguments: steps.append((module.current, arguments[0].index, torch.get_rng_state()))
    )
    method.register_forward_hook(lambda _, __, step: losses.append(step.loss.item()))
    Training(method, Examples(inputs, given), config=config).run()
    return steps, losses


# --- the published algorithms -----------------------------------------------------------------------------------------


def published_elr(batches, *, in_targets=True):
    """Algorithm 1 as the authors' code has it, by autograd. Returns logits, targets and losses.

    `in_targets` False leaves the clamp out of the targets.
    """
    inputs, given = data()
    model, targets, losses = network(0), torch.zeros(N, C, dtype=torch.float64), []
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    for rows in batches:
        outputs = model(inputs[rows])
        probs = F.softmax(outputs, dim=1)
        clamped = probs.clamp(CLAMP, 1.0 - CLAMP)
        said = (clamped if in_targets else probs).detach()
        targets[rows] = BETA * targets[rows] + (1.0 - BETA) * said / said.sum(dim=1, keepdim=True)
        regularizer = (1.0 - (targets[rows] * clamped).sum(dim=1)).log().mean()
        loss = F.cross_entropy(outputs, given[rows]) + LAM * regularizer
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model(inputs).detach(), targets, losses


def rise(step):
    return math.exp(-5.0 * (1.0 - min(step / RAMP, 1.0)) ** 2)


def published_elr_plus(steps, *, in_targets=False):
    """Algorithm 2 with what appendix F adds, the clamp as in the authors' code; mixup's draws repeated from `steps`.

    Returns logits of both networks, their targets, and the losses.
    """
    inputs, given = data()
    models, averages = ([network(k, SATURATED) for k in (0, 1)] for _ in range(2))
    optimizers = [torch.optim.SGD(model.parameters(), **SGD) for model in models]
    targets, counts, losses = [torch.zeros(N, C, dtype=torch.float64) for _ in models], [0, 0], []
    for k, rows, drawn in steps:
        torch.set_rng_state(drawn)
        share = torch.distributions.Beta(1.0, 1.0).sample().item()
        share, partner = max(share, 1.0 - share), torch.randperm(len(rows))

        def mix(values, share=share, partner=partner):
            return share * values + (1.0 - share) * values[partner]

        gamma = GAMMA * rise(counts[k])
        with torch.no_grad():
            for average, weight in zip(averages[k].parameters(), models[k].parameters(), strict=True):
                average.copy_(gamma * average + (1.0 - gamma) * weight)
            said = F.softmax(averages[1 - k](inputs[rows]), dim=1)
            if in_targets:
                said = said.clamp(CLAMP, 1.0 - CLAMP)
                said = said / said.sum(dim=1, keepdim=True)
            targets[k][rows] = BETA * targets[k][rows] + (1.0 - BETA) * said
        mixed = mix(targets[k][rows])
        labels = mix(F.one_hot(given[rows], C).double()) * mixed
        labels = labels / labels.sum(dim=1, keepdim=True)
        outputs = models[k](mix(inputs[rows]))
        clamped = F.softmax(outputs, dim=1).clamp(CLAMP, 1.0 - CLAMP)
        entropy = -(labels * F.log_softmax(outputs, dim=1)).sum(dim=1).mean()
        loss = entropy + LAM * rise(counts[k]) * (1.0 - (mixed * clamped).sum(dim=1)).log().mean()
        optimizers[k].zero_grad()
        loss.backward()
        optimizers[k].step()
        counts[k] += 1
        losses.append(loss.item())
    return [model(inputs).detach() for model in models], targets, losses


# --- and ours ---------------------------------------------------------------------------------------------------------


def assert_same(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), atol=1e-6, rtol=0.0)


def test_400_steps_of_elr_are_the_published_ones():
    method = ELRConfig(lam=LAM, beta=BETA, clamp=CLAMP).build([network(0)], num_examples=N, num_classes=C)
    steps, losses = trained(method, epochs=20)
    batches = [rows for _, rows, _ in steps]
    assert len(batches) == 400
    logits, targets, expected = published_elr(batches)
    with torch.no_grad():
        assert_same(method.network(data()[0]), logits)
    assert_same(method.stores[0].read(torch.arange(N)), targets)
    assert_same(losses, expected)
    # And the clamp in the targets is what decides it: outputs saturate, and without it training ends elsewhere.
    probs = logits.softmax(dim=1)
    assert ((probs < CLAMP) | (probs > 1.0 - CLAMP)).any(dim=1).double().mean() > 0.2
    others, _, drifted = published_elr(batches, in_targets=False)
    assert (others - logits).abs().max() > 0.1
    assert abs(np.array(drifted) - expected).max() > 1e-3


def test_400_steps_with_the_loss_in_a_loop_of_ones_own():
    inputs, given = data()
    loss, model = ELRLoss(N, C), network(0)
    optimizer, order = torch.optim.SGD(model.parameters(), **SGD), torch.Generator().manual_seed(0)
    batches = [rows for _ in range(20) for rows in torch.randperm(N, generator=order).split(BATCH)]
    losses = []
    for rows in batches:
        value = loss(model(inputs[rows]), given[rows], rows)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    logits, targets, expected = published_elr(batches)
    assert_same(model(inputs).detach(), logits)
    assert_same(loss.targets.read(torch.arange(N)), targets)
    assert_same(losses, expected)


def test_100_steps_of_elr_plus_are_the_published_ones():
    config = ELRPlusConfig(
        lam=LAM, beta=BETA, clamp=CLAMP, gamma=GAMMA, gamma_ramp=RAMP, lam_ramp=RAMP, refine_labels=True
    )
    networks = [network(k, SATURATED) for k in (0, 1)]
    method = config.build(networks, num_examples=N, num_classes=C)
    steps, losses = trained(method, epochs=5)
    assert [k for k, _, _ in steps] == 5 * (20 * [0] + 20 * [1])  # 100 steps of each network
    logits, targets, expected = published_elr_plus(steps)
    for k in (0, 1):
        with torch.no_grad():
            assert_same(method.networks[k](data()[0]), logits[k])
        assert_same(method.stores[k].read(torch.arange(N)), targets[k])
    assert_same(losses, expected)
    # Clamped outputs in the targets, as ELR has them, would be another training.
    others, tables, drifted = published_elr_plus(steps, in_targets=True)
    assert (others[0] - logits[0]).abs().max() > 1e-2
    assert (tables[0] - targets[0]).abs().max() > 1e-4
    assert abs(np.array(drifted) - expected).max() > 1e-3
