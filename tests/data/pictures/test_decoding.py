"""One image at a time: every mode and orientation, cut out and brought to size, and back to bytes."""

import io
import sys

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


ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
XMP = b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta xmlns:x='adobe:ns:meta/'>%s</x:xmpmeta>"


def _record(content: bytes) -> bytes:
    return b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content


def _exif(orientation: int | None) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    return _record(exif.tobytes())


@pytest.mark.parametrize(
    ("added", "faster"),
    [
        (_exif(1), True),
        (_exif(None), True),
        *((_exif(orientation), True) for orientation in range(2, 9)),
        (_exif(0), False),
        (_exif(9), False),
        (_exif(3)[:-4] + b"\xff\xff\xff\xff", True),
        (_record(b"Exif\x00\x00no header"), False),
        (_record(XMP % b"<a/>"), True),
        (_record(XMP % b"<tiff:Orientation>6</tiff:Orientation>"), False),
        (_record(XMP % b"<a/>") + _exif(8), True),
        (_exif(6) + _exif(6), False),
        (ADOBE + b"\x01", True),
        (ADOBE + b"\x00", True),
    ],
)
@pytest.mark.parametrize("shape", [(60, 50), (200, 240)])
def test_what_cameras_and_programs_write_beside_the_pixels_is_heeded(added, faster, shape, monkeypatch):
    """Where it is sure how the camera was held the faster decoder has the image, and the pixels are Pillow's."""
    plain = encoded(ramp(*shape), "JPEG", quality=95)
    content = plain[:2] + added + plain[2:]
    used, decoder = [], decoding._jpeg_decoder()

    def watched(*arguments, **options):
        used.append(arguments)
        return decoder(*arguments, **options)

    monkeypatch.setattr(decoding, "_jpeg_decoder", lambda: watched)
    found = decode_crop(content, SMALL)
    assert bool(used) == faster
    monkeypatch.setattr(decoding, "_jpeg_decoder", lambda: None)
    assert torch.equal(found, decode_crop(content, SMALL))


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


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"mode": "L"}])
@pytest.mark.parametrize(("height", "width"), [(50, 90), (40, 40), (79, 100), (81, 163), (330, 301), (1, 7)])
def test_without_simplejpeg_pillow_decodes_the_same_pixels(height, width, options, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    content = encoded(photo, "JPEG", quality=90, **options)
    faster = decode_crop(content, SMALL)
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert decoding._jpeg_decoder.__wrapped__() is None
    monkeypatch.setattr(decoding, "_jpeg_decoder", lambda: None)
    assert torch.equal(decode_crop(content, SMALL), faster)


def test_an_image_stays_what_it_is_when_the_next_one_is_decoded(monkeypatch):
    whole = Geometry(resize=32, crop=32)
    dark, light = (encoded(np.full((32, 32, 3), shade, np.uint8), "JPEG") for shade in (10, 240))
    for kept in (decoding._KEPT, 32 * 32 * 3 - 1):
        monkeypatch.setattr(decoding, "_KEPT", kept)
        first = decode_crop(dark, whole)
        assert decode_crop(light, whole).min() > 200
        assert first.max() < 50


def test_a_damaged_jpeg_that_pillow_reads_is_read_and_one_that_it_does_not_is_an_error():
    content = encoded(ramp(60, 80), "JPEG", quality=90)
    end = content.rindex(b"\xff\xd9")
    odd = content[:end] + b"\0\0\0" + content[end:]  # bytes that no decoder needs, of which simplejpeg complains
    with pytest.raises(ValueError, match="extraneous"):
        decoding._jpeg_decoder()(odd)
    assert torch.equal(decode_crop(odd, SMALL), decode_crop(content, SMALL))
    with pytest.raises(OSError, match="truncated"):
        decode_crop(content[: len(content) // 2], SMALL)


def test_a_deep_image_is_scaled_in_parts_as_it_would_be_in_one(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 65_536, size=(40, 30)).astype(np.uint16)
    whole = decoding.as_rgb(Image.fromarray(pixels), span=(100.0, 60_000.0))
    monkeypatch.setattr(decoding, "_AT_ONCE", 64)
    parts = decoding.as_rgb(Image.fromarray(pixels), span=(100.0, 60_000.0))
    assert np.array_equal(np.asarray(whole), np.asarray(parts))
