"""JPEGs by the faster decoder: the pixels of Pillow, whatever cameras wrote beside them."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.pictures.decoding import Geometry, decode_crop
from elr.data.pictures.pixels import jpeg, resampling
from pictures import encoded, ramp

SMALL = Geometry(resize=40, crop=32)
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
        (_exif(1) + _exif(6), False),
        (_exif(None) + _exif(6), False),
        (ADOBE + b"\x01", True),
        (ADOBE + b"\x00", True),
    ],
)
@pytest.mark.parametrize("shape", [(60, 50), (200, 240)])
def test_what_cameras_and_programs_write_beside_the_pixels_is_heeded(added, faster, shape, monkeypatch):
    """Where it is sure how the camera was held the faster decoder has the image, and the pixels are Pillow's."""
    plain = encoded(ramp(*shape), "JPEG", quality=95)
    content = plain[:2] + added + plain[2:]
    used, decoder = [], jpeg._jpeg_decoder()

    def watched(*arguments, **options):
        used.append(arguments)
        return decoder(*arguments, **options)

    monkeypatch.setattr(jpeg, "_jpeg_decoder", lambda: watched)
    found = decode_crop(content, SMALL)
    assert bool(used) == faster
    monkeypatch.setattr(jpeg, "_jpeg_decoder", lambda: None)
    assert torch.equal(found, decode_crop(content, SMALL))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"mode": "L"}])
@pytest.mark.parametrize(("height", "width"), [(50, 90), (40, 40), (79, 100), (81, 163), (330, 301), (1, 7)])
def test_without_simplejpeg_pillow_decodes_the_same_pixels(height, width, options, monkeypatch):
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    content = encoded(photo, "JPEG", quality=90, **options)
    faster = decode_crop(content, SMALL)
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert jpeg._jpeg_decoder.__wrapped__() is None
    monkeypatch.setattr(jpeg, "_jpeg_decoder", lambda: None)
    assert torch.equal(decode_crop(content, SMALL), faster)


def test_an_image_stays_what_it_is_when_the_next_one_is_decoded(monkeypatch):
    whole = Geometry(resize=32, crop=32)
    dark, light = (encoded(np.full((32, 32, 3), shade, np.uint8), "JPEG") for shade in (10, 240))
    for kept in (resampling._KEPT, 32 * 32 * 3 - 1):
        monkeypatch.setattr(resampling, "_KEPT", kept)
        first = decode_crop(dark, whole)
        assert decode_crop(light, whole).min() > 200
        assert first.max() < 50


def test_a_damaged_jpeg_that_pillow_reads_is_read_and_one_that_it_does_not_is_an_error():
    content = encoded(ramp(60, 80), "JPEG", quality=90)
    end = content.rindex(b"\xff\xd9")
    odd = content[:end] + b"\0\0\0" + content[end:]  # bytes that no decoder needs, of which simplejpeg complains
    with pytest.raises(ValueError, match="extraneous"):
        jpeg._jpeg_decoder()(odd)
    assert torch.equal(decode_crop(odd, SMALL), decode_crop(content, SMALL))
    with pytest.raises(OSError, match="truncated"):
        decode_crop(content[: len(content) // 2], SMALL)
