"""Images as they lie about: every mode and orientation, broken files, odd names, and Parquet files of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from elr.data.formats.folder import file_sources
from elr.data.formats.images import decode_images
from elr.errors import DataError
from pictures import color, encoded

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def decode(*sources, **options):
    named = [(source, f"image {number}") for number, source in enumerate(sources)]
    return decode_images(lambda: iter(named), count=len(named), **options)


def pixels(source, **options):
    return decode(source, **options).images[0]


# Decoded


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (color(), "PNG", (200, 100, 50)),
        (color(), "BMP", (200, 100, 50)),
        (color(), "TIFF", (200, 100, 50)),
        (color(), "PPM", (200, 100, 50)),
        (color().quantize(4), "GIF", (200, 100, 50)),
        (color().quantize(4), "PNG", (200, 100, 50)),
        (Image.new("L", (16, 16), 77), "PNG", (77, 77, 77)),
        (Image.new("1", (16, 16), 1), "PNG", (255, 255, 255)),
        (Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", (255, 0, 0)),
        (Image.new("RGBA", (16, 16), (0, 0, 0, 0)), "PNG", (255, 255, 255)),
        (Image.new("RGBA", (16, 16), (0, 0, 0, 51)), "PNG", (204, 204, 204)),
        (Image.new("RGBA", (16, 16), (9, 8, 7, 255)), "PNG", (9, 8, 7)),
        (Image.new("LA", (16, 16), (0, 0)), "PNG", (255, 255, 255)),
        (Image.fromarray(np.full((16, 16), 257 * 99, np.uint16)), "PNG", (99, 99, 99)),
        (Image.fromarray(np.full((16, 16), 257 * 99, np.uint16)), "TIFF", (99, 99, 99)),
        (Image.fromarray(np.full((16, 16), 257 * 99, np.uint16)), "PPM", (99, 99, 99)),
        (Image.fromarray(np.full((16, 16), 257 * 99, np.int32)), "TIFF", (99, 99, 99)),
    ],
)
def test_every_mode_becomes_rgb(image, kind, expected):
    found = pixels(encoded(image, kind))
    assert found.dtype == torch.uint8
    assert found.shape == (3, 16, 16)
    assert [channel.unique().tolist() for channel in found] == [[value] for value in expected]


def test_palette_with_a_transparent_color():
    image = color().quantize(4)
    assert pixels(encoded(image, "PNG", transparency=image.getpixel((0, 0)))).unique().tolist() == [255]


def test_16_bit_gray_keeps_its_shades():
    assert torch.equal(pixels(encoded(Image.fromarray(RAMP.astype(np.uint16) * 257)))[0], torch.from_numpy(RAMP))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_cameras_is_undone(orientation):
    """Red stands at the top left of what a viewer shows."""
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    shown = color((0, 0, 0), (32, 32))
    shown.paste((255, 0, 0), (0, 0, 16, 8))
    stored = shown.transpose(turns[orientation]) if orientation in turns else shown
    exif = Image.Exif()
    exif[0x0112] = orientation
    for found in (
        pixels(encoded(stored, "PNG", exif=exif), size=32),
        pixels(encoded(stored, "JPEG", exif=exif, quality=100, subsampling=0), size=32),
    ):
        assert (found[0] > 200)[1:7, 1:15].all()
        assert not (found[0] > 50)[9:].any()
        assert not (found[0] > 50)[:, 17:].any()


def test_the_centered_square_is_kept():
    wide = color((0, 0, 0), (60, 20))
    wide.paste((255, 255, 255), (20, 0, 40, 20))
    assert pixels(encoded(wide), size=20).unique().tolist() == [255]
    assert pixels(encoded(wide.rotate(90, expand=True)), size=20).unique().tolist() == [255]


def test_an_animation_gives_its_first_frame():
    frames = [color((200, 0, 0)), color((0, 200, 0))]
    assert pixels(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))[0].unique().tolist() == [200]


@pytest.mark.parametrize(
    ("sides", "expected"),
    [([(20, 30)] * 3, 20), ([(3, 3)], 16), ([(500, 400)], 64), ([(20, 20), (40, 40), (30, 50)], 30)],
)
def test_default_size_is_theirs_within_bounds(sides, expected):
    decoded = decode(*(encoded(color(size=size)) for size in sides))
    assert decoded.images.shape == (len(sides), 3, expected, expected)
    assert decode(encoded(color()), size=5).images.shape == (1, 3, 5, 5)


def test_contents_count_not_suffixes(tmp_path):
    (tmp_path / "really_a.jpg").write_bytes(encoded(color(), "PNG"))
    assert decode_images(file_sources(tmp_path, ["really_a.jpg"]), count=1).images[0, :, 0, 0].tolist() == [
        200,
        100,
        50,
    ]


DAMAGED = {
    "empty": (b"", "it is empty or no image"),
    "text": (b"not an image at all", "it is empty or no image"),
    "truncated png": (encoded(Image.effect_noise((64, 64), 90))[:900], ""),
    "truncated jpeg": (encoded(Image.effect_noise((64, 64), 90), "JPEG")[:900], "truncated"),
    "32-bit": (encoded(Image.fromarray(np.full((16, 16), 70_000, np.int32)), "TIFF"), "32 bits: expected 8 or 16"),
    "float": (encoded(Image.fromarray(np.zeros((16, 16), np.float32)), "TIFF"), "floating-point.*: expected 8 or 16"),
    "bomb": (b"P6 60000 60000 255\n", "decompression bomb|exceeds limit"),
    "nothing": (None, "it has neither bytes nor a path of a file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_unreadable_images_are_named_or_left_out(name):
    source, reason = DAMAGED[name]
    good = encoded(color())
    with pytest.raises(
        DataError, match=rf"image image 1 cannot be read \(.*{reason}.*\): mend or remove it, or pass --skip"
    ):
        decode(good, source, good)
    decoded = decode(good, source, good, source, good, skip_unreadable=True)
    assert decoded.rows.tolist() == [0, 2, 4]
    assert decoded.names == ["image 0", "image 2", "image 4"]
    assert decoded.unreadable == ["image 1", "image 3"]
    assert len(decoded.images) == 3
    with pytest.raises(DataError, match="none of the 2 images can be read, such as image 0"):
        decode(source, source, skip_unreadable=True)


def test_random_damage_never_escapes():
    """Decoders fail in many ways on damaged files; each is an unreadable image."""
    rng = np.random.default_rng(0)
    good = encoded(color())
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        content = np.frombuffer(
            encoded(Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)), kind), np.uint8
        )
        for _ in range(25):
            damaged = content.copy()
            damaged[rng.integers(0, min(len(damaged), 300), 8)] = rng.integers(0, 256, 8)
            decoded = decode(good, damaged.tobytes()[: rng.integers(1, len(damaged) + 1)], skip_unreadable=True)
            assert decoded.rows[0] == 0


def test_a_hundred_megapixels_are_refused_and_one_pixel_is_an_image():
    large, small = encoded(Image.new("1", (10_000, 10_000))), encoded(color(size=(1, 1)))
    with pytest.raises(DataError, match=r"image image 1 cannot be read \(it has 10,000 x 10,000 pixels, more than 89"):
        decode(small, large)
    assert decode(small, large, size=16, skip_unreadable=True).images.shape == (1, 3, 16, 16)


def test_images_that_memory_does_not_hold_lie_in_a_file(monkeypatch):
    sources = [encoded(Image.effect_noise((20, 20), 90)) for _ in range(5)]
    expected = decode(*sources).images
    monkeypatch.setattr("elr.data.pictures.streaming.memory_to_use", lambda limit: 3 * 5 * 3 * 20 * 20)
    mapped, memmap = [], np.memmap
    monkeypatch.setattr(
        "elr.data.formats.images.np.memmap", lambda *a, **k: mapped.append(memmap(*a, **k)) or mapped[0]
    )
    found = decode(*sources, b"", skip_unreadable=True).images
    assert mapped[0].shape == (6, 3, 20, 20)
    assert torch.equal(found, expected)


def test_features_are_taken_of_whole_images_and_small_ones_kept():
    seen = []

    def embed(images):
        seen.append(tuple(images.shape))
        return images.float().mean(dim=(2, 3)).numpy()

    sources = [encoded(color((row % 256, 9, 9), (100, 100))) for row in range(300)]
    sources[7] = b""
    decoded = decode(*sources, size=80, skip_unreadable=True, embed=embed)
    assert seen == [(255, 3, 80, 80), (44, 3, 80, 80)]
    assert decoded.images.shape == (299, 3, 64, 64)
    assert decoded.features[:, 0].tolist() == [row % 256 for row in range(300) if row != 7]
    assert decoded.images[:, 0, 5, 5].tolist() == [row % 256 for row in range(300) if row != 7]


def test_rows_go_on_beyond_a_chunk():
    sources = [encoded(color((row % 256, row // 256, 0), (1, 1))) for row in range(1100)]
    sources[1003] = b""
    decoded = decode(*sources, size=1, skip_unreadable=True)
    assert decoded.rows.tolist() == [row for row in range(1100) if row != 1003]
    assert (
        decoded.images[:, 0, 0, 0].long() + 256 * decoded.images[:, 1, 0, 0].long()
    ).tolist() == decoded.rows.tolist()


def test_a_lack_of_memory_is_no_fault_of_an_image():
    def decoder(_, size):
        raise MemoryError

    with pytest.raises(MemoryError):
        decode_images(lambda: iter([(b"", "a.png")]), count=1, size=8, skip_unreadable=True, decoder=decoder)
