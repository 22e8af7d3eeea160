"""Row numbers that ride beside the items of a data set, through any collator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset, IterableDataset

from elr.errors import ArgumentError

INDEX = "elr_index"
"""Under which name a batch has its row numbers."""


class NumberedItem(NamedTuple):
    """An item of a data set, and its row number; no dict, so that nothing takes the number for a column to remove."""

    index: int
    item: Any


class NumberedDataset(Dataset[NumberedItem]):
    """A map-style data set whose items have their row numbers beside them; all else is asked of the data set.

    Args:
        dataset: `datasets.Dataset`, a map-style data set of torch, or a list.

    Raises:
        ArgumentError: a stream, or a dict of splits: neither has row numbers.

    Example:
        >>> rows = NumberedDataset([{"x": 0.5}, {"x": 1.5}])
        >>> rows[1], len(rows)
        (NumberedItem(index=1, item={'x': 1.5}), 2)
        >>> NumberedDataset({"train": [{"x": 0.5}]})
        Traceback (most recent call last):
        elr.errors.ArgumentError: train_dataset is a dict of splits (train): pass one of them, such as data['train']
    """

    def __init__(self, dataset: Any) -> None:
        check_map_style(dataset)
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> NumberedItem:
        return NumberedItem(int(index), self.dataset[index])

    def __getitems__(self, rows: Sequence[int]) -> list[NumberedItem]:
        """A batch at once, as DataLoader asks for it; `datasets.Dataset` reads it in one go."""
        at_once = getattr(self.dataset, "__getitems__", None)
        items = [self.dataset[row] for row in rows] if at_once is None else at_once(list(rows))
        return [NumberedItem(int(row), item) for row, item in zip(rows, items, strict=True)]

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not there yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)


class NumberedCollator:
    """A collator of items that are numbered: the collator of the user sees the items, the batch has the numbers too.

    Args:
        collator: makes a dict of tensors of a list of items.

    Raises:
        ArgumentError: from the call: no dict came, or one that has a value of this name.

    Example:
        >>> collate = NumberedCollator(lambda items: {"x": torch.tensor(items)})
        >>> collate([NumberedItem(7, 0.5), NumberedItem(2, 1.5)])
        {'x': tensor([0.5000, 1.5000]), 'elr_index': tensor([7, 2])}
    """

    def __init__(self, collator: Callable[[list[Any]], Any]) -> None:
        self.collator = collator

    def __call__(self, rows: list[NumberedItem]) -> Any:
        batch = self.collator([row.item for row in rows])
        if not isinstance(batch, MutableMapping):
            raise ArgumentError(
                f"the data collator returned a {type(batch).__name__}: expected a dict, as the Trainer needs it"
            )
        if INDEX in batch:
            raise ArgumentError(f"the data have a column {INDEX!r}, which ELR needs for row numbers: rename it")
        batch[INDEX] = torch.tensor([row.index for row in rows], dtype=torch.int64)
        return batch


def check_map_style(dataset: Any) -> None:
    """Refuse what has no row numbers.

    Raises:
        ArgumentError: no data set at all, a stream, or a dict of splits.

    Example:
        >>> check_map_style(iter([1, 2]))
        Traceback (most recent call last):
        elr.errors.ArgumentError: train_dataset is a list_iterator, which has no row numbers: ...
    """
    if dataset is None:
        raise ArgumentError("there is no train_dataset: pass one, for ELR remembers something of each of its rows")
    if isinstance(dataset, Mapping):
        names = [str(name) for name in dataset]
        first = names[0] if names else "train"
        raise ArgumentError(
            f"train_dataset is a dict of splits ({', '.join(names)}): pass one of them, such as data[{first!r}]"
        )
    countable = callable(getattr(dataset, "__len__", None)) and callable(getattr(dataset, "__getitem__", None))
    if isinstance(dataset, IterableDataset) or not countable:
        raise ArgumentError(
            f"train_dataset is a {type(dataset).__name__}, which has no row numbers: ELR remembers something of each "
            "row; make it a data set with rows, as datasets.Dataset.from_list(list(stream)) or Dataset.from_generator "
            "does, or load it without streaming=True"
        )
    if not len(dataset):
        raise ArgumentError("train_dataset has no rows: expected at least two")
