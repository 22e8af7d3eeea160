import torch

from blobs import C, N, examples
from elr.data.examples import Examples
from elr.data.transforms import ImageTransform, Transform
from elr.training.inference import PlainInputs
from elr.training.method_view import TrainingView


def test_every_row_comes_once_in_order_with_what_is_trained_on():
    shares = torch.eye(C)[examples().labels]
    inputs = PlainInputs(transform=Transform(), device=torch.device("cpu"))
    view = TrainingView(examples(), shares, inputs=inputs)
    batches = list(view.batches())
    assert view.num_examples == N
    assert torch.equal(torch.cat([batch.index for batch in batches]), torch.arange(N))
    assert torch.equal(torch.cat([batch.labels for batch in batches]), shares)
    assert torch.equal(torch.cat([batch.inputs for batch in batches]), examples().inputs)
    assert [len(views) for views in view.views()] == [1] * len(batches)


def test_mirror_images_are_views_of_the_same_rows():
    pixels = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
    transform = ImageTransform([0.5] * 3, [0.25] * 3, mirror=True)
    inputs = PlainInputs(transform=transform, device=torch.device("cpu"))
    [views] = TrainingView(Examples(pixels, [0, 1]), torch.tensor([0, 1]), inputs=inputs).views()
    assert [batch.index.tolist() for batch in views] == [[0, 1], [0, 1]]
    assert torch.equal(views[0].inputs.flip(3), views[1].inputs)


def test_alone_everything_is_agreed():
    examples = Examples(torch.zeros(2, 3), [0, 1])
    inputs = PlainInputs(transform=Transform(), device=torch.device("cpu"))
    values = torch.tensor([0.25, 0.5])
    assert TrainingView(examples, torch.tensor([0, 1]), inputs=inputs).agreed(values) is values
