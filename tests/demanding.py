"""A method made for the tests: it asks the training loop for all that a method can ask for."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from elr.methods.config import MethodConfig
from elr.methods.loss.formulas import cross_entropy
from elr.methods.method import Method, ParameterGroup, Step, gradient_of
from elr.targets.config import DENSE
from elr.targets.store import whole_probs


@dataclass(frozen=True, kw_only=True)
class DemandingConfig(MethodConfig):
    """rate: of the shifts; share: of the rows that an epoch has; shown: weight of the second view."""

    name: ClassVar[str] = "demanding"
    rate: float = 0.5
    share: float = 0.8
    shown: float = 0.1

    def build(self, networks, *, num_examples, num_classes, targets=DENSE):
        self.check_networks(networks)
        return Demanding(networks[0], self, (targets or DENSE).build(num_examples, num_classes))


class Demanding(Method):
    """Cross entropy of logits shifted by parameters of each example, and agreement of two views of it.

        loss = mean_i( CE(f(x_i) + s_i, y_i) + shown * |p(x_i) - p(x_i')|^2 )

    The shifts have a learning rate of their own and no weight decay; which rows an epoch has goes by how many it has
    begun; targets gather what the first view said.
    """

    def __init__(self, network, config, targets):
        super().__init__()
        self.network = network
        self.config = config
        self.targets = targets
        self.shifts = nn.Parameter(torch.zeros(targets.num_examples, targets.num_classes))
        self.register_buffer("begun", torch.zeros((), dtype=torch.int64))

    @property
    def views(self):
        return 2

    @property
    def predictors(self):
        return [self.network]

    def begin_epoch(self, epoch, view):
        self.begun += 1

    def epoch_rows(self, epoch, number):
        count = self.targets.num_examples
        return (torch.arange(round(self.config.share * count)) + 31 * int(self.begun)) % count

    def parameter_groups(self, number):
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        return [ParameterGroup(weights), ParameterGroup([self.shifts], self.config.rate, weight_decay=0.0)]

    def forward(self, batch):
        logits = self.network(batch.inputs)
        probs = logits.float().softmax(dim=1)
        if self.training:
            self.targets.update(batch.index, probs.detach(), beta=0.7)
        loss = cross_entropy(logits + self.shifts[batch.index], batch.labels).mean()
        for inputs in batch.views:
            other = self.network(inputs).float().softmax(dim=1)
            loss = loss + self.config.shown * F.mse_loss(probs, other, reduction="sum") / len(batch.index)
        return Step(loss, logits, {"loss": loss.detach()})

    def logit_gradients(self, index, logits, labels):
        shifts = self.shifts[index.to(self.shifts.device)].detach()
        return gradient_of(lambda outputs: cross_entropy(outputs + shifts, labels).sum(), logits)

    def pred_probs(self, index):
        return whole_probs(self.targets.read(index))

    def extra_repr(self):
        return repr(self.config)
