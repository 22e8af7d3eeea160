"""From stored rows to network inputs: normalized, augmented, mirrored."""

import numpy as np
import pytest
import torch

from elr.data.preprocessing import Augmentation
from elr.data.transforms import ImageTransform, Transform, image_statistics
from tiny_prepared import prepared_features, prepared_images

IMAGES = torch.randint(0, 256, (6, 3, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_plain_transform_does_nothing():
    rows = torch.randn(3, 2)
    assert Transform().draw(3, seeded()) is None
    assert Transform()(rows) is rows


def test_images_are_normalized_by_channel():
    transform = ImageTransform([0.5, 0.0, 0.25], [0.5, 1.0, 0.25])
    expected = (IMAGES / 255 - torch.tensor([0.5, 0, 0.25]).view(3, 1, 1)) / torch.tensor([0.5, 1, 0.25]).view(3, 1, 1)
    torch.testing.assert_close(transform(IMAGES), expected)
    assert transform(IMAGES).dtype == torch.float32
    flat = ImageTransform([0.5, 0.0, 0.25], [0.5, 1.0, 0.25], flatten=True)
    torch.testing.assert_close(flat(IMAGES), expected.flatten(1))


def test_crop_and_flip_are_those_of_the_draws():
    """Against one image at a time, by slicing."""
    transform = ImageTransform([0, 0, 0], [1, 1, 1], padding=2, flip=True)
    draws = transform.draw(len(IMAGES), seeded(3))
    augmented = (transform(IMAGES, draws) * 255).round()
    for image, (down, right, flipped), found in zip(IMAGES, draws.tolist(), augmented, strict=True):
        padded = torch.nn.functional.pad(image, [2] * 4)
        expected = padded[:, down : down + 5, right : right + 4]
        assert torch.equal(found, (expected.flip(2) if flipped else expected).float())


def test_draws_cover_every_offset_and_follow_the_generator():
    transform = ImageTransform([0], [1], padding=1, flip=True)
    draws = transform.draw(2000, seeded())
    assert draws.unique(dim=0).tolist() == [[a, b, c] for a in range(3) for b in range(3) for c in range(2)]
    assert torch.equal(draws, transform.draw(2000, seeded()))
    assert not torch.equal(draws, transform.draw(2000, seeded(1)))
    assert not ImageTransform([0], [1], padding=1).draw(100, seeded())[:, 2].any()


def test_without_draws_nothing_is_augmented():
    augmenting = ImageTransform([0, 0, 0], [1, 1, 1], padding=2, flip=True)
    assert torch.equal(augmenting(IMAGES), ImageTransform([0, 0, 0], [1, 1, 1])(IMAGES))
    centered = torch.tensor([[2, 2, 0]]).expand(6, 3)
    assert torch.equal(augmenting(IMAGES, centered), augmenting(IMAGES))


def test_image_statistics_are_those_of_the_pixels():
    mean, std = image_statistics(IMAGES)
    pixels = IMAGES.numpy().transpose(1, 0, 2, 3).reshape(3, -1) / 255
    np.testing.assert_allclose(mean, pixels.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(std, pixels.std(axis=1, ddof=1), rtol=1e-5)
    assert image_statistics(torch.zeros(4, 1, 2, 2, dtype=torch.uint8)) == ([0.0], [pytest.approx(1e-3)])


# Cutout and views


@pytest.mark.parametrize("cutout", [1, 3, 4, 5, 9])
@pytest.mark.parametrize("flatten", [False, True])
def test_cutout_is_one_whole_square_of_each_image(cutout, flatten):
    """Against one image at a time: 5 x 4 pixels, and squares also larger than that."""
    settings = {"padding": 1, "flip": True}
    transform = ImageTransform([0.2] * 3, [0.5] * 3, cutout=cutout, flatten=flatten, **settings)
    draws = transform.draw(len(IMAGES), seeded(2))
    assert draws.shape == (6, 5)
    expected = ImageTransform([0.2] * 3, [0.5] * 3, **settings)(IMAGES, draws[:, :3])
    for image, (*_, down, right) in zip(expected, draws.tolist(), strict=True):
        height, width = min(cutout, 5), min(cutout, 4)
        top, left = down * (5 - height + 1) // 2**16, right * (4 - width + 1) // 2**16
        assert top + height <= 5
        assert left + width <= 4
        image[:, top : top + height, left : left + width] = 0.0
    assert torch.equal(transform(IMAGES, draws), expected.flatten(1) if flatten else expected)


def test_cutout_leaves_the_mean_color_and_reaches_every_place_alike():
    transform = ImageTransform([0.2], [0.5], cutout=3)
    white = torch.full((4000, 1, 5, 4), 255, dtype=torch.uint8)
    found = transform(white, transform.draw(4000, seeded()))
    gone = found == 0.0
    assert (gone.flatten(1).sum(dim=1) == 9).all()
    assert torch.equal(found[~gone].unique(), transform(white[:1]).unique())
    corners = gone[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].float().mean(dim=0)  # of 3 x 2 places each has one
    torch.testing.assert_close(corners, torch.full((4,), 1 / 6), atol=0.02, rtol=0.0)


def test_without_draws_nothing_is_cut_out():
    assert torch.equal(ImageTransform([0], [1], cutout=3)(IMAGES), ImageTransform([0], [1])(IMAGES))


def test_cutout_draws_after_crop_and_flip():
    """So that the crops of a run with cutout are those of one without."""
    with_it, without = (ImageTransform([0], [1], padding=2, flip=True, cutout=cut) for cut in (3, 0))
    assert torch.equal(with_it.draw(50, seeded(4))[:, :3], without.draw(50, seeded(4)))


def test_views_are_the_image_and_with_mirror_its_mirror_image():
    plain, mirrored = (
        ImageTransform([0.5], [0.25], padding=2, flip=True, cutout=2, mirror=mirror) for mirror in (False, True)
    )
    [only] = plain.views(IMAGES)
    assert torch.equal(only, plain(IMAGES))
    first, second = mirrored.views(IMAGES)
    assert torch.equal(first, only)
    assert torch.equal(second, only.flip(3))


def test_views_for_networks_that_take_vectors_are_mirrored_before_they_are_flat():
    first, second = ImageTransform([0.5], [0.25], mirror=True, flatten=True).views(IMAGES)
    assert torch.equal(second.view(6, 3, 5, 4), first.view(6, 3, 5, 4).flip(3))


def test_features_have_one_view():
    rows = torch.randn(3, 2)
    [only] = Transform().views(rows)
    assert only is rows


# Augmentation


def test_augmentation_is_the_papers_for_images_of_32_pixels():
    prepared = prepared_images(side=32)
    transform = Augmentation(crop=True, flip=True).transform(prepared.preprocessing, flatten=False)
    assert isinstance(transform, ImageTransform)
    assert (transform.padding, transform.flip, transform.cutout, transform.mirror) == (4, True, 0, False)
    plain = Augmentation().transform(prepared.preprocessing, flatten=True)
    assert (plain.padding, plain.flip, plain.flatten) == (0, False, True)
    every = Augmentation(cutout=7, mirror=True).transform(prepared.preprocessing, flatten=False)
    assert (every.padding, every.flip, every.cutout, every.mirror) == (0, False, 7, True)


def test_features_are_not_augmented():
    every = Augmentation(crop=True, flip=True, cutout=3, mirror=True)
    assert type(every.transform(prepared_features().preprocessing, flatten=True)) is Transform
