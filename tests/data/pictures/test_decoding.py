"""One image at a time: every mode and orientation, cut out and brought to size, and back to bytes."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.formats.images import decode_images
from elr.data.pictures import decoding
from elr.data.pictures.decoding import Geometry, decode_crop, decode_square, thumbnail
from elr.data.pictures.image_store import FileImages
from pictures import encoded, ramp

SMALL = Geometry(resize=40, crop=32)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(("height", "width"), [(50, 90), (90, 50), (400, 300), (40, 40), (20, 30)])
def test_the_shorter_side_is_resized_and_a_square_cut_out_where_it_was_asked_for(kind, height, width):
    content = encoded(ramp(height, width), kind, **({"quality": 95} if kind == "JPEG" else {}))
    scale = min(height, width) / 40
    for y in (0.0, 0.5, 1.0):
        for x in (0.0, 0.5, 1.0):
            found = decode_crop(content, SMALL, (y, x)).float()
            assert found.shape == (3, 32, 32)
            left, top = x * (width - 32 * scale), y * (height - 32 * scale)
            across = 255 * (left + scale * (torch.arange(32) + 0.5) - 0.5) / (width - 1)
            down = 255 * (top + scale * (torch.arange(32) + 0.5) - 0.5) / (height - 1)
            step = 255 / (min(height, width) - 1) * max(1.0, scale)  # of a pixel that is shown
            assert (found[0] - across[None, :]).abs().max() < 1.5 * step + 6
            assert (found[1] - down[:, None]).abs().max() < 1.5 * step + 6


def test_the_middle_is_the_default_and_the_whole_may_be_shown():
    content = encoded(ramp(48, 64))
    assert torch.equal(decode_crop(content, SMALL), decode_crop(content, SMALL, (0.5, 0.5)))
    whole = decode_crop(encoded(ramp(32, 32)), Geometry(resize=32, crop=32))
    assert torch.equal(whole, torch.from_numpy(ramp(32, 32)).permute(2, 0, 1))


@pytest.mark.parametrize("side", [79, 81, 400])
def test_a_large_jpeg_decoded_at_reduced_size_is_the_same_picture(side):
    """From twice the size on, the decoder leaves out what would not be seen."""
    content = encoded(ramp(side, side + 20), "JPEG", quality=95)
    plain = decode_crop(encoded(ramp(side, side + 20)), SMALL).float()
    assert (decode_crop(content, SMALL).float() - plain).abs().mean() < 2.5


@pytest.mark.parametrize(
    ("content", "color"),
    [
        (encoded(np.full((50, 50), 77, np.uint8)), (77, 77, 77)),
        (encoded(np.full((50, 50), 77, np.uint8), "JPEG"), (77, 77, 77)),
        (encoded(np.full((50, 50, 3), (200, 30, 60), np.uint8), mode="P"), (200, 30, 60)),
        (encoded(np.full((50, 50, 4), (200, 30, 60, 0), np.uint8)), (255, 255, 255)),
        (encoded(np.full((50, 50, 3), (200, 30, 60), np.uint8), "JPEG", mode="CMYK", quality=98), (200, 30, 60)),
        (encoded(np.full((50, 50), 77 * 257, np.uint16)), (77, 77, 77)),
        (encoded(np.full((50, 50, 3), (200, 30, 60), np.uint8), "BMP"), (200, 30, 60)),
        (encoded(np.full((50, 50, 3), (200, 30, 60), np.uint8), "WEBP", lossless=True), (200, 30, 60)),
        (encoded(np.full((50, 50, 3), (200, 30, 60), np.uint8), "JPEG", progressive=True, quality=98), (200, 30, 60)),
        (encoded(np.full((1, 1, 3), (200, 30, 60), np.uint8)), (200, 30, 60)),
        (encoded(np.full((1, 1, 3), (200, 30, 60), np.uint8), "JPEG", quality=98), (200, 30, 60)),
        (encoded(np.full((10, 4000, 3), (200, 30, 60), np.uint8)), (200, 30, 60)),
    ],
)
def test_every_kind_of_image_becomes_rgb(content, color):
    found = decode_crop(content, SMALL).float().mean(dim=(1, 2))
    assert found.tolist() == pytest.approx(color, abs=6)


@pytest.mark.parametrize("side", [60, 200])
def test_a_turned_photograph_is_set_upright(side):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    buffer = io.BytesIO()
    Image.fromarray(ramp(side, side)).save(buffer, "JPEG", exif=exif, quality=95)
    found = decode_crop(buffer.getvalue(), SMALL).float()
    across = found[1].mean(dim=0)  # what grew downward grows to the left now
    assert across[0] > across[-1] + 100


def test_too_many_pixels_are_refused_before_they_are_decoded():
    bomb = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), "JPEG"))
    at = bomb.index(b"\xff\xc0") + 5
    bomb[at : at + 4] = (20_000).to_bytes(2, "big") * 2
    with pytest.raises(ValueError, match=r"20,000 x 20,000 pixels, more than 89,478,485: too large"):
        decode_crop(bytes(bomb), SMALL)


def test_thumbnails_are_small_files_of_the_smaller_format():
    small = torch.tensor([[[0, 255], [255, 0]]], dtype=torch.uint8)
    with Image.open(io.BytesIO(thumbnail(small))) as shown:
        assert (shown.format, shown.mode, shown.size) == ("PNG", "L", (2, 2))
        assert np.array_equal(np.asarray(shown), [[0, 255], [255, 0]])
    large = torch.zeros(3, 100, 50, dtype=torch.uint8)
    with Image.open(io.BytesIO(thumbnail(large))) as shown:
        assert (shown.mode, shown.size) == ("RGB", (32, 64))
    photo = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8))
    with Image.open(io.BytesIO(thumbnail(photo))) as shown:
        assert (shown.format, shown.mode, shown.size) == ("JPEG", "RGB", (32, 32))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_both_ways_of_decoding_agree_where_nothing_is_resized(kind, mode, tmp_path):
    """As training data in memory and as a store on disk, the same file gives the same pixels."""
    if (kind, mode) in {("PNG", "CMYK"), ("JPEG", "RGBA"), ("JPEG", "P")}:
        pytest.skip(f"{kind} has no {mode}")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    content = encoded(pixels, kind, mode=mode)
    (tmp_path / "1.img").write_bytes(content)
    square = decode_square(content, 32)
    assert np.array_equal(square, decode_square(tmp_path / "1.img", 32))
    assert np.array_equal(square, decode_crop(content, Geometry(resize=32, crop=32)).numpy())
    in_memory = decode_images(lambda: iter([(content, "it")]), count=1, size=32).images[0]
    on_disk = FileImages(tmp_path, ["1.img"], Geometry(resize=32, crop=32))[0]
    assert torch.equal(in_memory, on_disk)


def tiff_of_16_bits(path):
    """Red, green and blue, as Pillow reads it and does not write it."""
    pixels = np.full((8, 8, 3), 3000, "<u2").tobytes()
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14)]
    tags += [(277, 3, 1, 3), (278, 3, 1, 8), (279, 4, 1, len(pixels))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    bits = struct.pack("<3H", 16, 16, 16)
    path.write_bytes(
        b"II*\0"
        + struct.pack("<I", 14 + len(pixels))
        + bits
        + pixels
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def test_a_tiff_that_would_lose_bits_of_its_colors_is_refused(tmp_path):
    tiff_of_16_bits(tmp_path / "1.tif")
    with Image.open(tmp_path / "1.tif") as image:
        assert (image.mode, np.asarray(image).max()) == ("RGB", 11)  # 3000 // 256
        with pytest.raises(ValueError, match="its colors have more than 8 bits"):
            decoding.deep_pixels(image, tmp_path / "1.tif")
    for decode in (decode_square, lambda source, size: decode_crop(source.read_bytes(), SMALL)):
        with pytest.raises(ValueError, match=r"its colors have more than 8 bits, .*: make it a PNG"):
            decode(tmp_path / "1.tif", 8)


def test_a_deep_image_is_scaled_in_parts_as_it_would_be_in_one(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 65_536, size=(40, 30)).astype(np.uint16)
    whole = decoding.as_rgb(Image.fromarray(pixels), span=(100.0, 60_000.0))
    monkeypatch.setattr(decoding, "_AT_ONCE", 64)
    parts = decoding.as_rgb(Image.fromarray(pixels), span=(100.0, 60_000.0))
    assert np.array_equal(np.asarray(whole), np.asarray(parts))
