import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from elr.errors import ArgumentError
from elr.integrations.hugging_face.numbered import INDEX, NumberedCollator, NumberedDataset, check_map_style


def collate(items):
    return {"x": torch.tensor(items)}


def test_numbers_ride_through_a_loader_of_several_processes():
    rows = NumberedDataset([10.0, 11.0, 12.0, 13.0])
    for workers in (0, 1):
        loader = DataLoader(
            rows, batch_size=2, sampler=[3, 0, 2, 1], collate_fn=NumberedCollator(collate), num_workers=workers
        )
        batches = list(loader)
        assert [batch[INDEX].tolist() for batch in batches] == [[3, 0], [2, 1]]
        assert all((batch["x"] == 10 + batch[INDEX]).all() for batch in batches)


def test_it_answers_as_the_data_set():
    class Named(list):
        column_names = ("x",)

    rows = NumberedDataset(Named([1.0]))
    assert rows.column_names == ("x",)
    assert pickle.loads(pickle.dumps(NumberedDataset([1.0, 2.0])))[1] == (1, 2.0)


@pytest.mark.parametrize("dataset", [None, [], iter([1]), {"train": [1], "test": [2]}])
def test_what_has_no_rows_is_refused(dataset):
    with pytest.raises(ArgumentError, match="train_dataset"):
        check_map_style(dataset)


def test_a_batch_must_be_a_dict_of_its_own_names():
    rows = [NumberedDataset([1.0])[0]]
    with pytest.raises(ArgumentError, match="returned a list"):
        NumberedCollator(list)(rows)
    with pytest.raises(ArgumentError, match=INDEX):
        NumberedCollator(lambda items: {INDEX: 1})(rows)
