"""Row numbers beside the examples of a map-style data set of PyTorch, for a training loop of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset

from elr.checking import checked
from elr.errors import ArgumentError


class IndexedDataset(Dataset):
    """A data set whose items also carry their row number; `with_index` makes it.

    Args:
        dataset: map-style: it has a length and gives items by number.
        name: key of the row number in items that are dicts.
        renumber: see `with_index`.
        packed: see `with_index`.

    Attributes:
        num_examples: N, how many rows there are to number: what `ELRLoss` is made with.

    Raises:
        ArgumentError: see `with_index`.

    Example:
        >>> IndexedDataset([("a", 0), ("b", 1)])[1]
        ('b', 1, 1)
    """

    def __init__(self, dataset: Any, *, name: str = "index", renumber: bool = False, packed: bool = False) -> None:
        _check(dataset)
        self.dataset = dataset
        self.name = name
        self.renumber = renumber
        self.packed = packed

    @property
    def num_examples(self) -> int:
        """How many rows there are to number: those of the whole where this is a Subset and is not renumbered."""
        return len(self.dataset if self.renumber else _whole(self.dataset))

    def __len__(self) -> int:
        return len(self.dataset)

    def __repr__(self) -> str:
        below = type(self.dataset).__name__
        return f"<IndexedDataset of a {below}: {len(self)} items, num_examples {self.num_examples}>"

    def __getitem__(self, position: int) -> Any:
        position = self._position(position)
        return self._with_row(self.dataset[position], position)

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        """The items of a batch, at once where the data set has a way to give them so."""
        found = [self._position(position) for position in positions]
        together = getattr(self.dataset, "__getitems__", None)
        items = together(found) if callable(together) else [self.dataset[position] for position in found]
        return [self._with_row(item, position) for item, position in zip(items, found, strict=True)]  # type: ignore[call-overload]

    @property
    def transform(self) -> Any:
        """That of the data set below, which some loaders (timm's) set after the data set was made."""
        return self.dataset.transform

    @transform.setter
    def transform(self, value: Any) -> None:
        self.dataset.transform = value

    def row(self, position: int) -> int:
        """Row number of the item at a position."""
        dataset = self.dataset
        while isinstance(dataset, Subset) and not self.renumber:
            position, dataset = int(dataset.indices[position]), dataset.dataset
        return position

    def _position(self, position: Any) -> int:
        try:
            found = int(position)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"an item was asked for by {position!r}: expected a number; a data set of names has no row numbers, so "
                "give them in the data set itself"
            ) from None
        return found + len(self.dataset) if found < 0 else found

    def _with_row(self, item: Any, position: int) -> Any:
        row = self.row(position)
        if isinstance(item, Mapping):
            if self.packed:
                raise ArgumentError(f"item {position} is a dict and packed is set: packed is for (inputs, label)")
            if self.name in item:
                raise ArgumentError(
                    f'item {position} has {self.name!r} already: name the row number something else, such as name="row"'
                )
            return {**item, self.name: row}
        if not isinstance(item, tuple | list) or (self.packed and len(item) != 2):
            expected = "a tuple such as (inputs, label), or a dict; TensorDataset(inputs, labels) makes them of tensors"
            expected = "(inputs, label)" if self.packed else expected
            raise ArgumentError(f"item {position} is of type {type(item).__name__}: expected {expected}")
        if self.packed:
            return item[0], torch.tensor([int(item[1]), row])
        return (*item, row)


@checked
def with_index(dataset: Any, *, name: str = "index", renumber: bool = False, packed: bool = False) -> IndexedDataset:
    """A data set of PyTorch whose items also carry their row number, the key of ELR's targets.

    (inputs, label) becomes (inputs, label, index); a dict gets one more key. Nothing else changes, and no item is
    copied or read.

    A Subset (also of a Subset, as `random_split` makes) gives the row numbers of the data set that it is taken from,
    not positions in itself: a row keeps its targets whichever Subset it comes in, and labels of the whole belong to
    them. `num_examples` of what is returned is the number of these rows, and what `ELRLoss` is to be made with.

    Args:
        dataset: a map-style data set (it has a length and gives items by number), a list, or one of Hugging Face.
        name: key of the row number in items that are dicts. Default "index".
        renumber: number the items of a Subset from 0 instead, so that targets take memory for these alone. The Subset
            must then stay the same, and labels are to be given in its order.
        packed: items become (inputs, (label, index)), a tensor of two, for loaders that know pairs only (timm's):
            `labels, index = pairs.unbind(1)`.

    Returns:
        The same length and order.

    Raises:
        ArgumentError: an IterableDataset or what else has no rows, or row numbers already. When an item is taken: one
            that is neither tuple nor dict, or a dict that has the key.

    Example:
        >>> from torch.utils.data import Subset
        >>> rows = with_index([("a", 0), ("b", 1), ("c", 0)])
        >>> rows[2]
        ('c', 0, 2)
        >>> part = with_index(Subset([("a", 0), ("b", 1), ("c", 0)], [2, 0]))
        >>> [index for _, _, index in part], part.num_examples
        ([2, 0], 3)
    """
    return IndexedDataset(dataset, name=name, renumber=renumber, packed=packed)


def is_indexed(dataset: Any) -> bool:
    """Whether the items carry row numbers by `with_index`, also below a Subset.

    Example:
        >>> is_indexed(Subset(with_index([("a", 0)]), [0])), is_indexed([("a", 0)])
        (True, False)
    """
    return isinstance(_whole(dataset), IndexedDataset)


def _whole(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _check(dataset: Any) -> None:
    kind = type(dataset).__name__
    whole = _whole(dataset)
    if isinstance(whole, IterableDataset):
        raise ArgumentError(
            f"{kind} is an IterableDataset, which has no rows to number: have it give the row number of each example "
            "itself, or take a map-style data set"
        )
    parts = whole.datasets if isinstance(whole, ConcatDataset) else []
    if isinstance(whole, IndexedDataset) or any(is_indexed(part) for part in parts):
        raise ArgumentError(f"the items of this {kind} have row numbers already: take it as it is")
    if isinstance(dataset, Mapping | str | bytes) or not (
        hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    ):
        raise ArgumentError(
            f"dataset is of type {kind}: expected a map-style data set, which has a length and gives items by number"
        )
