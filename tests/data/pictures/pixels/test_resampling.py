"""Pixels resampled and normalized: what is built gives the bits of torch and Pillow, and is built when worth it."""

import os
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from elr.data.pictures.decoding import Geometry, decode_crop, decode_square
from elr.data.pictures.pixels import resampling
from elr.data.transforms import ImageTransform
from elr.devices import one_thread
from pictures import encoded, ramp

SIZES = [
    (300, 400, 224),
    (400, 300, 224),
    (262, 350, 224),
    (100, 90, 224),
    (61, 60, 9),
    (1, 7, 3),
    (3, 1, 8),
    (9, 9, 1),
]
TALL = [(570, 300, 30), (571, 300, 30), (400, 300, 400), (401, 300, 400), (600, 100, 64)]


@pytest.fixture(scope="module")
def library():
    """What is built, whether or not it is worth it."""
    before = dict(resampling._state)
    resampling._build()
    built = resampling._state["library"]
    resampling._state.update(before)
    if built is None:
        pytest.skip("there is no compiler, or no AVX2")
    return built


@pytest.fixture
def use(monkeypatch):
    """Have a library, or none, for a while."""
    return lambda library: monkeypatch.setattr(resampling, "_state", {"missed": 0, "library": library})


@pytest.fixture
def anew(monkeypatch):
    """As if nothing had been read as yet: what is begun to be built."""
    begun = []
    monkeypatch.setattr(resampling, "_state", {"missed": 0, "library": None})
    monkeypatch.setattr(resampling, "_BEGUN", threading.Lock())
    monkeypatch.setattr(resampling, "_build", lambda: begun.append(threading.current_thread().name))
    return begun


def noise(height, width):
    return np.random.default_rng(height + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow(pixels, size):
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("height", "width", "size"), SIZES)
def test_what_is_built_resamples_as_torch_does(library, use, height, width, size):
    pixels = noise(height + 4, width + 6)[1 : 1 + height, 2 : 2 + width]  # a window
    use(None)
    expected = resampling.bilinear_square(pixels, size)
    use(library)
    assert np.array_equal(resampling.bilinear_square(pixels, size), expected)


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize(("height", "width", "size"), SIZES + TALL)
def test_the_middle_square_is_pillows(library, use, built, height, width, size):
    use(library if built else None)
    pixels = noise(height, width)
    assert np.array_equal(resampling.middle_square(pixels, size), pillow(pixels, size))


def test_pixels_of_two_values_overshoot_as_in_pillow(library, use):
    use(library)
    pixels = (noise(97, 130) // 128 * 255).astype(np.uint8)
    assert np.array_equal(resampling.middle_square(pixels, 40), pillow(pixels, 40))


@pytest.mark.parametrize("turned", [np.fliplr, np.flipud, lambda pixels: pixels.swapaxes(0, 1)])
def test_turned_pixels_are_resampled_too(library, use, turned):
    use(library)
    pixels = turned(noise(60, 80))
    assert np.array_equal(resampling.middle_square(pixels, 20), pillow(np.ascontiguousarray(pixels), 20))
    found = resampling.bilinear_square(pixels, 20)
    use(None)
    assert np.array_equal(found, resampling.bilinear_square(pixels, 20))


@pytest.mark.parametrize("square", [resampling.bilinear_square, resampling.middle_square])
@pytest.mark.parametrize("built", [True, False])
def test_what_comes_out_is_memory_of_its_own(library, use, square, built):
    use(library if built else None)
    for size in (20, 9):
        pixels = np.full((20, 20, 3), 10, np.uint8)
        found = square(pixels, size)
        pixels[:] = 240
        square(pixels, size)
        assert found.shape == (size, size, 3)
        assert found.max() == 10


def test_images_are_the_same_before_and_after_it_is_built(library, use):
    contents = [encoded(ramp(330, 301), "JPEG", quality=90), encoded(noise(130, 97))]
    decoders = [lambda content: decode_crop(content, Geometry(resize=80, crop=64), (0.2, 0.9)).numpy()]
    decoders.append(lambda content: decode_square(content, 50))
    use(None)
    before = [decode(content) for decode in decoders for content in contents]
    use(library)
    after = [decode(content) for decode in decoders for content in contents]
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize(("width", "mirror"), [(23, True), (24, False), (5, True), (1, True), (700, True)])
def test_what_is_built_normalizes_to_the_same_bits(library, use, width, mirror):
    images = torch.from_numpy(np.stack([noise(7, width)] * 5)).permute(0, 3, 1, 2)
    transform = ImageTransform([0.1, 0.47, 0.9], [0.2, 0.31, 0.07], flip=mirror)
    draws = transform.draw(5, torch.Generator().manual_seed(1))
    assert not mirror or 0 < draws[:, 2].sum() < 5
    use(None)
    expected = transform(images, draws)
    use(library)
    with one_thread():
        found = transform(images, draws)
    assert torch.equal(found, expected)
    assert found.stride() == expected.stride()


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2, 4, 4, 3).permute(0, 3, 1, 2)]
)
def test_other_images_are_normalized_by_torch(use, images):
    use(SimpleNamespace())  # nothing can be called
    channels = images.shape[1]
    with one_thread():
        found = ImageTransform([0.5] * channels, [0.5] * channels)(images)
    assert torch.equal(found, torch.full(images.shape, -1.0))


def test_it_is_built_when_enough_was_read_without_it_and_once(anew, monkeypatch):
    monkeypatch.setattr(resampling, "WORTH", 25)
    pixels = noise(6, 6)
    for _ in range(24):
        resampling.bilinear_square(pixels, 6)  # nothing to do
        resampling.bilinear_square(pixels, 3)
    assert not anew
    for _ in range(3):
        resampling.bilinear_square(pixels, 3)
    assert anew == ["elr-pixel-kernels"]


def test_it_is_worth_it_after_a_tenth_as_many_by_pillow(anew, monkeypatch):
    monkeypatch.setattr(resampling, "WORTH", 25)
    for _ in range(2):
        resampling.middle_square(noise(6, 6), 3)
    assert not anew
    resampling.middle_square(noise(6, 6), 3)
    assert anew == ["elr-pixel-kernels"]


def test_where_no_thread_is_to_be_had_torch_and_pillow_go_on(anew, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(resampling, "WORTH", 25)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    pixels = noise(6, 6)
    for _ in range(5):
        assert np.array_equal(resampling.middle_square(pixels, 3), pillow(pixels, 3))
    assert not anew


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_waits_for_what_is_being_built(anew, monkeypatch):
    building, built = threading.Event(), threading.Event()

    def build():
        building.set()
        time.sleep(0.2)
        built.set()

    monkeypatch.setattr(resampling, "WORTH", 1)
    monkeypatch.setattr(resampling, "_build", build)
    resampling.bilinear_square(noise(6, 6), 3)
    assert building.wait(10)
    child = os.fork()
    if not child:
        os._exit(0 if built.is_set() else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_without_a_compiler_torch_and_pillow_go_on_and_a_line_says_so(use, monkeypatch, caplog):
    def refuse(_):
        raise RuntimeError("no C++ compiler")

    use(None)
    monkeypatch.setattr("elr.devices.built_library", refuse)
    with caplog.at_level("INFO", logger="elr.devices"):
        resampling._build()
    assert "by torch and Pillow: no C++ compiler" in caplog.text
    assert np.array_equal(resampling.middle_square(noise(9, 9), 4), pillow(noise(9, 9), 4))


@pytest.mark.parametrize("wrong", ["bilinear", "bicubic", "normalized"])
def test_what_is_built_wrong_is_not_taken(library, use, monkeypatch, caplog, wrong):
    class Resampler:
        def __call__(self, *arguments):
            library.elr_resample(*arguments)
            if wrong == ("bicubic" if arguments[9] else "bilinear"):
                pixel = (resampling.ctypes.c_uint8).from_address(arguments[10])
                pixel.value ^= 1

    class Normalizer:
        def __call__(self, *arguments):
            if wrong != "normalized":
                library.elr_normalize(*arguments)

    use(None)
    made = SimpleNamespace(elr_resample=Resampler(), elr_normalize=Normalizer())
    monkeypatch.setattr("elr.devices.built_library", lambda _: made)
    resampling._build()
    assert resampling._state["library"] is None
    assert "is wrong on a test" in caplog.text
