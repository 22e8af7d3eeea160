"""Images of more than 8 bits, scaled by what a whole set of them uses; pixels known by construction."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.formats.images import read_images
from elr.data.kinds.images import PixelsPreprocessing
from elr.data.label_coding import LabelCoding
from elr.data.pictures.depth import find_extent
from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import ArgumentError, DataError
from pictures import encoded

SHADES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def tiff(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF")
    return buffer.getvalue()


def png16(pixels):
    """A PNG of 16 bits, written by hand: (H, W, channels)."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def read(*images, **options):
    sources = [(content, f"image {number}") for number, content in enumerate(images)]
    return read_images(lambda: iter(sources), len(sources), ReadOptions(image_size=16, **options))[0]


@pytest.mark.parametrize("factor", [1, 16, 257])
@pytest.mark.parametrize("write", [tiff, lambda pixels: png16(pixels[:, :, None])])
def test_whole_numbers_are_scaled_by_the_bits_in_use(write, factor):
    exact = SHADES.astype(np.uint16) * factor
    records = read(write(exact), write(exact // 2))
    expected = np.round(exact / {1: 1, 16: 4095 / 255, 257: 257}[factor]).astype(np.uint8)
    assert (records.images[0].numpy() == expected).all()
    assert records.images[1].max() < 130
    assert "2 images have pixels of more than 8 bits" in records.remarks[0]


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_sixteen_bits_of_color_keep_their_lower_bits(channels):
    pixels = np.repeat(SHADES.astype(np.uint16)[:, :, None], channels, 2)
    if channels % 2 == 0:
        pixels[:, :, -1] = 65_535
    assert (read(png16(pixels)).images[0].numpy() == SHADES).all()


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (SHADES.astype(np.float32) / 255, (0, 1)),
        (SHADES.astype(np.float32), (0, 255)),
        (SHADES.astype(np.float32) * 3 - 100, (-100, 665)),
        (SHADES.astype(np.int32) * 17 - 1024, (-1024, 255 * 17 - 1024)),
        (SHADES.astype(np.int32) * 1000, (0, 255_000)),
    ],
)
def test_float_and_signed_pixels_are_scaled_by_the_range_of_the_set(pixels, found):
    records = read(tiff(pixels))
    assert records.image_range == found
    assert (records.images[0].numpy() == SHADES).all()


def test_files_of_eight_bits_stay_as_they_are_and_are_counted():
    records = read(encoded(SHADES), tiff(SHADES.astype(np.uint16) * 16))
    assert (records.images[0].numpy() == SHADES).all()
    assert records.remarks[0].endswith("the other 1 images have 8 bits and stayed as they are")
    assert read(encoded(SHADES)).remarks == []
    assert read(encoded(SHADES)).image_range is None


def test_new_images_have_the_scale_of_training_and_what_lies_beyond_is_said():
    training = read(tiff(SHADES.astype(np.uint16) * 16))
    options = training.resolved(ReadOptions())
    assert options.image_range == (0, 4095)
    new = read(tiff(SHADES.astype(np.uint16) * 32), image_range=options.image_range)
    assert new.images.max() == 255
    assert new.images[0, 0, 0, 10] == 20
    assert "as in training; values beyond were cut off there" in new.remarks[0]
    fitted = PixelsPreprocessing.fit(training, options, coding=LabelCoding(class_names=("a", "b")))
    again = PixelsPreprocessing.load(None, fitted.to_json(), coding=fitted.coding)
    assert again.reading(ReadOptions(), folder=None, encoder=None).image_range == (0, 4095)


def test_whole_and_floating_point_numbers_share_no_scale():
    images = [(tiff(SHADES.astype(kind)), str(kind)) for kind in ("uint16", "float32")]
    with pytest.raises(DataError, match=r"uint16 are whole numbers .* those of float32 are floating-point"):
        find_extent(lambda: iter(images))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_turns_of_exif(orientation, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {
        1: SHADES,
        2: SHADES[:, ::-1],
        3: SHADES[::-1, ::-1],
        4: SHADES[::-1],
        5: SHADES.T,
        6: SHADES.T[:, ::-1],
        7: SHADES[::-1, ::-1].T,
        8: SHADES.T[::-1],
    }[orientation]
    (tmp_path / "a").mkdir()
    Image.fromarray(SHADES).save(tmp_path / "a" / "1.png", exif=exif)
    Image.fromarray(SHADES.astype(np.uint16) * 16).save(tmp_path / "a" / "2.png", exif=exif)
    images = read_data(tmp_path, ReadOptions(image_size=16)).images
    assert torch.equal(images[0, 0], torch.from_numpy(turned.copy()))
    scaled = np.round(turned.astype(float) * 16 / (4095 / 255)).astype(np.uint8)
    assert torch.equal(images[1, 0], torch.from_numpy(scaled))


def test_transparency_palettes_ink_and_one_bit():
    half = np.dstack([SHADES, np.full_like(SHADES, 128)])
    expected = np.round((SHADES * 128.0 + 255 * 127) / 255)
    assert np.abs(read(encoded(Image.fromarray(half, "LA"))).images[0].numpy() - expected).max() <= 1
    palette = Image.fromarray(SHADES).convert("P")
    content = encoded(palette, transparency=0)
    shown = read(content).images[0].numpy()
    assert (shown[:, 0, 0] == 255).all()
    assert (shown.reshape(3, -1)[:, 1:] == SHADES.reshape(-1)[1:]).all()
    ink = np.dstack([SHADES * 0, SHADES * 0, SHADES * 0, 255 - SHADES])
    assert (read(encoded(Image.fromarray(ink, "CMYK"), "TIFF")).images[0].numpy() == SHADES).all()
    jpeg = read(encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=100)).images[0].numpy()
    assert np.abs(jpeg.astype(int) - SHADES).max() <= 4
    assert read(encoded(Image.fromarray(SHADES > 100))).images.unique().tolist() == [0, 255]


def test_without_torchvision_color_of_16_bits_is_refused_and_not_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.io", None)
    deep = png16(np.repeat(SHADES.astype(np.uint16)[:, :, None], 3, 2))
    with pytest.raises(ArgumentError, match=r"16 bits in color needs torchvision, .*: pip install 'elr\[images\]'"):
        read_images(lambda: iter([(deep, "deep.png")]), 1, ReadOptions(image_size=16, skip_unreadable=True))
