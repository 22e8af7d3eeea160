"""What methods see of the training set between epochs."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch import distributed as dist

from elr.data.examples import Examples
from elr.methods.method import Batch, View
from elr.training.inference import PlainInputs


class TrainingView(View):
    """The training examples in order, without augmentation, as inputs of networks on the device.

    Args:
        examples: the training set.
        labels: (N,) classes or (N, C) shares that are trained on.
        inputs: how stored examples become inputs.

    Example:
        >>> import torch
        >>> from elr.data.transforms import Transform
        >>> labels = torch.tensor([1, 0])
        >>> inputs = PlainInputs(transform=Transform(), device=torch.device("cpu"))
        >>> view = TrainingView(Examples(torch.eye(2), labels), labels, inputs=inputs)
        >>> [(batch.index.tolist(), batch.labels.tolist()) for batch in view.batches()]
        [([0, 1], [1, 0])]
    """

    def __init__(self, examples: Examples, labels: Tensor, *, inputs: PlainInputs) -> None:
        self.examples = examples
        self.labels = labels
        self.inputs = inputs
        self.num_examples = len(examples)

    def batches(self) -> Iterable[Batch]:
        for rows, inputs in self.inputs.inputs(self.examples):
            yield self._batch(rows, inputs)

    def views(self) -> Iterable[list[Batch]]:
        for rows, views in self.inputs.views(self.examples):
            yield [self._batch(rows, view) for view in views]

    def labels_alone(self) -> Iterable[Tensor]:
        return [self.labels]

    def agreed(self, values: Tensor) -> Tensor:
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return values
        shared = values.to(self.inputs.device, copy=True).contiguous()
        dist.broadcast(shared, 0)
        return shared.to(values.device)

    def _batch(self, rows: Tensor, inputs: Tensor) -> Batch:
        return Batch(rows.to(inputs.device), inputs, self.labels[rows].to(inputs.device))
