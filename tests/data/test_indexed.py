import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset, TensorDataset, random_split

import elr
from elr.data.indexed import is_indexed, with_index
from elr.errors import ArgumentError, RowIndexError

PAIRS = TensorDataset(torch.arange(10.0)[:, None], torch.arange(10) % 3)


def rows_of(dataset):
    return [item[-1] for item in dataset]


def test_items_carry_their_rows_whatever_the_order():
    loader = DataLoader(with_index(PAIRS), batch_size=4, shuffle=True, generator=torch.Generator().manual_seed(0))
    rows = []
    for inputs, labels, index in loader:
        assert index.dtype == torch.int64
        assert torch.equal(inputs[:, 0], index.float())
        assert torch.equal(labels, index % 3)
        rows += index.tolist()
    assert sorted(rows) == list(range(10))
    assert rows != sorted(rows)


def test_workers_and_pickling_change_nothing():
    dataset = pickle.loads(pickle.dumps(with_index(PAIRS)))
    loader = DataLoader(dataset, batch_size=4, num_workers=1)
    assert torch.equal(torch.cat([index for *_, index in loader]), torch.arange(10))


def test_a_subset_gives_rows_of_the_whole():
    part = with_index(Subset(PAIRS, [7, 2, 5]))
    assert rows_of(part) == [7, 2, 5]
    assert part.num_examples == 10
    assert rows_of(with_index(Subset(Subset(PAIRS, [7, 2, 5]), [2, 0]))) == [5, 7]
    assert rows_of(Subset(with_index(PAIRS), [7, 2])) == [7, 2]
    assert part[-1][-1] == 5


def test_a_subset_can_be_numbered_by_itself():
    part = with_index(Subset(PAIRS, [7, 2, 5]), renumber=True)
    assert rows_of(part) == [0, 1, 2]
    assert part.num_examples == 3


def test_parts_of_a_random_split_share_no_row():
    parts = [with_index(part) for part in random_split(PAIRS, [6, 4], torch.Generator().manual_seed(0))]
    assert sorted(row for part in parts for row in rows_of(part)) == list(range(10))


def test_a_table_made_for_the_subset_alone_is_too_small_and_says_so():
    part = with_index(Subset(PAIRS, [7, 2, 5]))
    loss = elr.ELRLoss(num_examples=len(part), num_classes=3)
    with pytest.raises(RowIndexError, match="index 7 is out of range for 3 examples"):
        loss(torch.zeros(3, 3), torch.tensor([1, 2, 2]), torch.tensor(rows_of(part)))


def test_positions_of_a_shuffled_subset_do_not_pass_for_rows_in_the_audit():
    part = with_index(Subset(PAIRS, [7, 2, 5]), renumber=True)
    loss = elr.ELRLoss(num_examples=part.num_examples, num_classes=3)
    loss(torch.zeros(3, 3), torch.tensor([1, 2, 2]), torch.tensor(rows_of(part)))
    with pytest.raises(ArgumentError, match=r"labels have shape \(10,\), the targets are of 3 rows"):
        loss.audit(PAIRS.tensors[1])


def test_parts_put_together_are_numbered_as_a_whole():
    assert rows_of(with_index(ConcatDataset([PAIRS, PAIRS]))) == list(range(20))


def test_dicts_get_a_key():
    dicts = [{"pixels": 1.0, "label": 0}, {"pixels": 2.0, "label": 1}]
    assert with_index(dicts)[1] == {"pixels": 2.0, "label": 1, "index": 1}
    assert with_index(dicts, name="row")[0]["row"] == 0
    assert dicts[0] == {"pixels": 1.0, "label": 0}
    with pytest.raises(ArgumentError, match="item 0 has 'label' already: name the row number something else"):
        with_index(dicts, name="label")[0]


def test_data_sets_of_hugging_face():
    datasets = pytest.importorskip("datasets")
    dataset = with_index(datasets.Dataset.from_dict({"x": [1.0, 2.0, 3.0], "label": [0, 1, 0]}))
    (batch,) = DataLoader(dataset, batch_size=3)
    assert batch["index"].tolist() == [0, 1, 2]
    assert batch["x"].tolist() == [1.0, 2.0, 3.0]


def test_pairs_for_loaders_that_know_no_more():
    (batch,) = DataLoader(with_index(PAIRS, packed=True), batch_size=10)
    labels, index = batch[1].unbind(1)
    assert torch.equal(labels, PAIRS.tensors[1])
    assert torch.equal(index, torch.arange(10))
    with pytest.raises(ArgumentError, match="packed is for"):
        with_index([{"x": 1}], packed=True)[0]
    with pytest.raises(ArgumentError, match=r"expected \(inputs, label\)"):
        with_index([(1, 2, 3)], packed=True)[0]


def test_a_transform_that_is_set_later_reaches_the_data_set():
    class Pictures(torch.utils.data.Dataset):
        transform = None

        def __len__(self):
            return 1

        def __getitem__(self, row):
            return self.transform(1.0), 0

    dataset = with_index(Pictures())
    dataset.transform = lambda value: value + 1
    assert dataset[0] == (2.0, 0, 0)
    assert dataset.transform is dataset.dataset.transform


def test_what_has_no_rows_is_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            yield 1.0, 0

    class Endless(torch.utils.data.Dataset):
        def __getitem__(self, row):
            return 1.0, 0

    with pytest.raises(ArgumentError, match="Stream is an IterableDataset, which has no rows to number"):
        with_index(Stream())
    for wrong in (Endless(), {"a": (1.0, 0)}, "text", None, iter([])):
        with pytest.raises(ArgumentError, match="expected a map-style data set"):
            with_index(wrong)
    with pytest.raises(ArgumentError, match="of names has no row numbers"):
        with_index(PAIRS)["a"]
    with pytest.raises(ArgumentError, match=r"item 0 is of type Tensor: expected a tuple such as \(inputs, label\)"):
        with_index(torch.zeros(3, 2))[0]


def test_rows_are_numbered_once():
    for again in (with_index(PAIRS), Subset(with_index(PAIRS), [0]), ConcatDataset([with_index(PAIRS)])):
        with pytest.raises(ArgumentError, match="row numbers already"):
            with_index(again)
    assert is_indexed(Subset(with_index(PAIRS), [0]))
    assert not is_indexed(PAIRS)


def test_positions_of_numpy_are_numbers():
    assert with_index(PAIRS)[np.int32(3)][-1] == 3
    assert type(with_index(PAIRS)[torch.tensor(3)][-1]) is int


def test_it_says_what_it_is():
    part = with_index(Subset(PAIRS, [1, 2]))
    assert repr(part) == "<IndexedDataset of a Subset: 2 items, num_examples 10>"


def test_bare_tensors_are_refused_with_advice():
    with pytest.raises(ArgumentError, match="TensorDataset"):
        with_index(torch.zeros(3, 2))[0]
