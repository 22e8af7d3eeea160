"""What is made of images on disk, some of them at a time."""

import numpy as np
import pyarrow as pa
import torch

from elr.data.pictures.decoding import Square, thumbnail
from elr.data.pictures.image_store import FileImages
from elr.data.pictures.streaming import counted_statistics, embedded, fits, room_for
from elr.data.transforms import image_statistics


def test_counted_pixels_have_the_mean_and_deviation_of_all():
    images = torch.randint(0, 256, (30, 3, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for counted, summed in zip(counted_statistics(images), image_statistics(images), strict=True):
        np.testing.assert_allclose(counted, summed, rtol=1e-5)
    assert counted_statistics(images[:1] * 0)[1] == [1e-3] * 3


def test_features_of_images_on_disk_lie_in_a_file_where_memory_is_small(tmp_path, monkeypatch):
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(thumbnail(torch.full((3, 8, 8), number, dtype=torch.uint8)))
    names = pa.array([f"{number}.png".encode() for number in range(5)], pa.large_binary())
    store = FileImages(tmp_path, names, Square(crop=8))
    monkeypatch.setattr("elr.data.pictures.streaming.EMBEDDED_AT_ONCE", 2)

    def embed(images):
        return images[:, :1, 0, 0].float().numpy()

    held = embedded(store, embed)
    monkeypatch.setattr("elr.data.pictures.streaming.memory_to_use", lambda limit: 1)
    mapped = embedded(store, embed)
    assert isinstance(mapped, np.memmap)
    assert mapped.ravel().tolist() == held.ravel().tolist() == [0, 1, 2, 3, 4]


def test_room_is_in_memory_where_it_fits():
    assert type(room_for((3,), np.float32)) is np.ndarray


def test_processes_of_one_machine_share_its_memory(monkeypatch):
    assert fits(10**6, 4 * 10**6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert not fits(10**6, 4 * 10**6)
    assert fits(10**6, 7 * 10**6)
