"""The batches of a pass as a rank trains on them: read ahead, augmented, on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor
from torch import distributed as dist

from elr.data.examples import Examples
from elr.data.pictures.image_store import ImageStore
from elr.data.transforms import Transform
from elr.devices import one_thread, sent
from elr.errors import ArgumentError
from elr.methods.method import Batch
from elr.training.inference import AHEAD, ahead
from elr.training.sampling import Pass, checked_choice

Fetched = Callable[[], Tensor]


class BatchReader:
    """Reads this rank's share of each batch, and augments it as often as a method asks.

    Args:
        examples: the training set.
        labels: (N,) or (N, C) labels to train on.
        transform: from stored rows to network inputs.
        accelerator: knows the device and the ranks.
        layout: brings inputs into the order in memory that the network likes.

    Example:
        >>> from elr.training.engine import make_accelerator
        >>> examples = Examples(torch.arange(3.0)[:, None], [0, 1, 0])
        >>> here = {"accelerator": make_accelerator("cpu"), "layout": lambda inputs: inputs}
        >>> reader = BatchReader(examples, examples.labels, transform=Transform(), **here)
        >>> [(batch, share)] = reader.batches(Pass((torch.tensor([2, 0]),), torch.Generator(), nominal=1), views=2)
        >>> batch.index.tolist(), batch.inputs.flatten().tolist(), batch.labels.tolist(), len(batch.views), share
        ([2, 0], [2.0, 0.0], [0, 0], 1, 1.0)
    """

    def __init__(
        self,
        examples: Examples,
        labels: Tensor,
        *,
        transform: Transform,
        accelerator: Accelerator,
        layout: Callable[[Tensor], Tensor],
    ) -> None:
        self.examples = examples
        self.labels = labels
        self.transform = transform
        self.accelerator = accelerator
        self.layout = layout
        self.decodes = isinstance(examples.inputs, ImageStore) and accelerator.device.type == "cpu"

    def batches(self, of: Pass, *, views: int = 1) -> Iterator[tuple[Batch, float]]:
        """The batches, each with the weight of its loss: with it the mean over ranks is that over the whole batch.

        Args:
            of: the pass.
            views: augmentations of each row, drawn one after another.

        Raises:
            ArgumentError: a batch of fewer rows than there are ranks.
        """
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        if min(map(len, of.batches)) < world:
            raise ArgumentError(f"a pass over {of.num_rows} rows has too few for {world} processes: choose more rows")

        def begin(numbered: tuple[int, Tensor]) -> tuple[Tensor, list[tuple[Fetched, Tensor | None]], float, float]:
            number, rows = numbered[0], numbered[1].long()
            draws = [self.transform.draw(len(rows), of.generator) for _ in range(views)]
            mine = rows[rank::world]
            mine_draws = [None if each is None else each[rank::world] for each in draws]
            share, done = len(mine) * world / len(rows), number / len(of.batches)
            return mine, self._started(mine, mine_draws), share, done

        for mine, started, share, done in ahead(map(begin, enumerate(of.batches)), AHEAD):
            inputs, *others = [self._augmented(fetched(), draws) for fetched, draws in started]
            yield Batch(self._sent(mine), inputs, self._sent(self.labels[mine]), tuple(others), done), share

    def _started(self, rows: Tensor, draws: list[Tensor | None]) -> list[tuple[Fetched, Tensor | None]]:
        """What fetches the rows for each view; where they are not cropped as they are read, once for all."""
        places = [self.transform.places(each) for each in draws]
        if all(place is None for place in places):
            fetched = _once(self.examples.start(rows))
            return [(fetched, each) for each in draws]
        fetches = [self.examples.start(rows, place) for place in places]
        return list(zip(fetches, draws, strict=True))

    def _augmented(self, stored: Tensor, draws: Tensor | None) -> Tensor:
        stored, draws = self._sent(stored), None if draws is None else self._sent(draws)
        with one_thread(self.decodes):
            inputs = self.transform(stored, draws)
        return self.layout(inputs)

    def _sent(self, tensor: Tensor) -> Tensor:
        return sent(tensor, self.accelerator.device)


def agreed_rows(
    rows: Tensor | Sequence[Tensor] | None, num_examples: int, accelerator: Accelerator
) -> Tensor | tuple[Tensor, ...] | None:
    """The rows that a method chose for a pass, checked, in rising order; under several ranks what the first one has.

    What a rank computes by itself may differ in the last digits, and all have to train on the same rows: what the
    others chose, or that they chose nothing, is not looked at.

    Args:
        rows: (M,) from `Method.epoch_rows`, several sets of them, or None.
        num_examples: N.
        accelerator: knows the ranks.

    Raises:
        ArgumentError: see `elr.training.sampling.checked_choice`; on every rank.

    Example:
        >>> from elr.training.engine import make_accelerator
        >>> agreed_rows(torch.tensor([4, 0]), 5, make_accelerator("cpu"))
        tensor([0, 4])
        >>> agreed_rows([torch.tensor([4, 0]), torch.tensor([3])], 5, make_accelerator("cpu"))
        (tensor([0, 4]), tensor([3]))
    """
    if accelerator.num_processes == 1:
        return None if rows is None else checked_choice(rows, num_examples)
    checked: Tensor | tuple[Tensor, ...] = ()
    error = None
    if accelerator.is_main_process and rows is not None:
        try:
            checked = checked_choice(rows, num_examples)
        except ArgumentError as found:
            error = found
    sets = (checked,) if isinstance(checked, Tensor) else checked
    answer = torch.tensor([-1 if error else len(sets)], device=accelerator.device)
    dist.broadcast(answer, 0)
    if answer.item() < 0:
        raise error or ArgumentError("the method chose rows, on the first rank, that cannot be trained on: see there")
    if not answer.item():
        return None
    marks = torch.zeros(num_examples, dtype=torch.int64)
    for number, chosen in enumerate(sets, 1):
        marks[chosen] = number
    marks = marks.to(accelerator.device)
    dist.broadcast(marks, 0)
    agreed = tuple((marks == number).nonzero().flatten().cpu() for number in range(1, int(answer.item()) + 1))
    return agreed[0] if len(agreed) == 1 else agreed


def _once(fetch: Fetched) -> Fetched:
    """The same, which waits at its first call only."""
    found: list[Tensor] = []

    def get() -> Tensor:
        if not found:
            found.append(fetch())
        return found[0]

    return get
