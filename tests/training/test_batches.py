import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.examples import Examples
from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.data.transforms import ImageTransform, Transform
from elr.errors import ArgumentError
from elr.training.batches import BatchReader, agreed_rows
from elr.training.engine import make_accelerator
from elr.training.sampling import Pass


def reader_of(examples, transform=None):
    assert examples.labels is not None
    return BatchReader(
        examples,
        examples.labels,
        transform=transform or Transform(),
        accelerator=make_accelerator("cpu"),
        layout=lambda inputs: inputs,
    )


def pass_over(*batches):
    return Pass(tuple(torch.tensor(rows) for rows in batches), torch.Generator().manual_seed(0), nominal=len(batches))


def test_batches_have_their_rows_in_order():
    examples = Examples(np.arange(10.0).reshape(5, 2), [0, 1, 2, 3, 4])
    found = list(reader_of(examples).batches(pass_over([3, 1], [0, 4, 2])))
    assert [batch.index.tolist() for batch, _ in found] == [[3, 1], [0, 4, 2]]
    for batch, share in found:
        assert torch.equal(batch.inputs, torch.stack([2.0 * batch.index, 2.0 * batch.index + 1], dim=1))
        assert torch.equal(batch.labels, batch.index)
        assert (batch.views, share) == ((), 1.0)


def test_more_views_leave_the_first_batch_as_it_was():
    """The first view is drawn first."""
    images = torch.randint(256, (6, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    reader = reader_of(Examples(images, [0] * 6), ImageTransform([0.5], [0.2], padding=1, flip=True))
    one, two = (next(reader.batches(pass_over(list(range(6))), views=views))[0] for views in (1, 2))
    assert torch.equal(one.inputs, two.inputs)
    assert not torch.equal(two.inputs, two.views[0])


def test_stored_rows_are_fetched_once_for_all_views(monkeypatch):
    fetched = []
    start = Examples.start

    def counted(examples, index, places=None):
        fetched.append(index.tolist())
        return start(examples, index, places)

    monkeypatch.setattr(Examples, "start", counted)
    list(reader_of(Examples(np.zeros((4, 2)), [0] * 4)).batches(pass_over([0, 1], [2, 3]), views=3))
    assert fetched == [[0, 1], [2, 3]]


def test_views_of_images_on_disk_are_crops_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    for row in range(3):
        Image.fromarray(rng.integers(256, size=(20, 20, 3), dtype=np.uint8)).save(tmp_path / f"{row}.png")
    store = FileImages(tmp_path, [f"{row}.png" for row in range(3)], Geometry(resize=20, crop=8))
    reader = reader_of(Examples(store, [0, 1, 2]), ImageTransform([0.5] * 3, [0.2] * 3, window=True))
    [(batch, _)] = reader.batches(pass_over([2, 0, 1]), views=2)
    assert batch.inputs.shape == batch.views[0].shape == (3, 3, 8, 8)
    assert all(not torch.equal(*pair) for pair in zip(batch.inputs, batch.views[0], strict=True))


def test_a_batch_knows_what_lies_behind_it():
    reader = reader_of(Examples(np.zeros((5, 2)), [0] * 5))
    assert [batch.done for batch, _ in reader.batches(pass_over([0, 1], [2], [3], [4]))] == [0.0, 0.25, 0.5, 0.75]


def test_several_sets_are_agreed_on_as_they_are():
    first, second = agreed_rows([torch.tensor([4, 0]), torch.tensor([3, 2])], 5, make_accelerator("cpu"))
    assert (first.tolist(), second.tolist()) == ([0, 4], [2, 3])


@pytest.mark.parametrize("rows", [[0, 2], [2, 0]])
def test_chosen_rows_rise_on_one_process(rows):
    assert agreed_rows(torch.tensor(rows), 3, make_accelerator("cpu")).tolist() == [0, 2]
    with pytest.raises(ArgumentError, match="chose row 2 of 2 examples"):
        agreed_rows(torch.tensor(rows), 2, make_accelerator("cpu"))


def test_a_batch_of_fewer_rows_than_processes_is_refused():
    reader = reader_of(Examples(np.zeros((4, 2)), [0] * 4))

    class Two:
        device, process_index, num_processes = torch.device("cpu"), 0, 2

    reader.accelerator = Two()  # type: ignore[assignment]
    with pytest.raises(ArgumentError, match="a pass over 3 rows has too few for 2 processes"):
        list(reader.batches(pass_over([0, 1], [2])))
