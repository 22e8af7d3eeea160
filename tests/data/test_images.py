"""Images as they lie about: every mode and orientation, broken files, odd names, and Parquet files of them."""

import io
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from elr.data.decoding import thumbnail
from elr.data.formats.folder import file_sources, list_images
from elr.data.formats.images import decode_images
from elr.data.formats.parquet import (
    parquet_class_names,
    parquet_columns,
    parquet_image_columns,
    parquet_images,
    parquet_length,
    read_parquet_columns,
)
from elr.errors import DataError
from elr.files import printable

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def color(rgb=(200, 100, 50), size=(16, 16)):
    return Image.new("RGB", size, rgb)


def decode(*sources, **options):
    named = [(source, f"image {number}") for number, source in enumerate(sources)]
    return decode_images(lambda: iter(named), count=len(named), **options)


def pixels(source, **options):
    return decode(source, **options).images[0]


# Found in folders


def test_images_are_found_in_order_of_their_names(tmp_path):
    names = ["b/2.png", "b/10.JPG", "a/deep/er/x.TiFf", "a/z.jpeg", "c.webp", "a b/ü.gif"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, remarks = list_images(tmp_path)
    assert list(map(str, found)) == ["a/deep/er/x.TiFf", "a/z.jpeg", "a b/ü.gif", "b/10.JPG", "b/2.png", "c.webp"]
    assert remarks == []


def test_hidden_files_and_folders_are_passed_over_and_other_files_named(tmp_path):
    for name in ("cat/1.png", "cat/.2.png", ".cache/3.png", "cat/.thumbs/4.png", "cat/notes.txt", "cat/5.heic"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found, remarks = list_images(tmp_path)
    assert list(map(str, found)) == ["cat/1.png"]
    assert len(remarks) == 1
    assert remarks[0].startswith("2 files left out whose names do not end in .png, ")
    assert remarks[0].endswith("such as cat/5.heic")


def test_links_are_followed_but_not_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (root / "dog").mkdir(parents=True)
    elsewhere.mkdir()
    (root / "dog" / "1.png").touch()
    (elsewhere / "2.png").touch()
    (root / "cat").symlink_to(elsewhere)
    (root / "dog" / "up").symlink_to(root)
    (root / "dog" / "gone.png").symlink_to(tmp_path / "absent.png")
    os.mkfifo(root / "dog" / "pipe.png")
    found, _ = list_images(root)
    assert list(map(str, found)) == ["cat/2.png", "dog/1.png", "dog/gone.png"]
    with pytest.raises(DataError, match=r"gone\.png cannot be read \(there is no file .*gone\.png\): mend or remove"):
        decode_images(file_sources(root, found[2:]), count=len(found) - 2)


def test_no_images(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no images in .*: expected files ending in \.png"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="there are no images: the data have no rows"):
        decode()


def test_names_that_are_not_utf8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    try:
        os.mkdir(folder)  # noqa: PTH102 - pathlib takes no bytes
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with open(folder + b"/1.png", "wb") as handle:  # noqa: PTH123
        handle.write(encoded(color()))
    found, _ = list_images(tmp_path)
    assert printable(found[0]) == "caf\\xe9/1.png"
    decoded = decode_images(file_sources(tmp_path, found), count=len(found))
    assert decoded.names == [f"{tmp_path}/caf\\xe9/1.png"]
    decoded.names[0].encode()


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
    "nothing": (None, "it has neither bytes nor a path"),
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
    monkeypatch.setattr("elr.data.formats.images.free_memory", lambda: 3 * 5 * 3 * 20 * 20)
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


# Parquet


def write_parquet(path, columns, features=None):
    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    pq.write_table(table, path)
    return path


RECORD = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_image_columns_are_records_or_bytes_that_begin_like_images(tmp_path):
    image = encoded(color())
    path = write_parquet(
        tmp_path / "t.parquet",
        {
            "label": [0, 1],
            "key": pa.array([b"\x00\x01", b"\x02\x03"]),
            "img": pa.array([{"bytes": image, "path": None}, None], RECORD),
            "raw": pa.array([None, image], pa.large_binary()),
            "place": pa.array([{"x": 1}, {"x": 2}]),
            "nothing": pa.array([None, None], pa.binary()),
        },
    )
    assert parquet_image_columns(path) == ["img", "raw"]
    assert parquet_columns(path) == ["label", "key", "img", "raw", "place", "nothing"]
    assert read_parquet_columns(path, ["label"]).to_dict("list") == {"label": [0, 1]}


def test_images_of_a_parquet_file_lie_in_it_or_beside_it(tmp_path):
    image = encoded(color())
    (tmp_path / "beside.png").write_bytes(image)
    cells = [
        {"bytes": image, "path": "a.png"},
        {"bytes": image, "path": None},
        {"bytes": None, "path": "beside.png"},
        {"bytes": b"", "path": "absent.png"},
        {"bytes": None, "path": None},
        None,
    ]
    path = write_parquet(tmp_path / "t.parquet", {"img": pa.array(cells, RECORD)})
    assert list(parquet_images(path, "img")) == [
        (image, "a.png"),
        (image, "row 1"),
        (tmp_path / "beside.png", "beside.png"),
        (tmp_path / "absent.png", "absent.png"),
        (None, "row 4"),
        (None, "row 5"),
    ]
    decoded = decode_images(lambda: parquet_images(path, "img"), count=parquet_length(path), skip_unreadable=True)
    assert decoded.rows.tolist() == [0, 1, 2]
    assert decoded.unreadable == ["absent.png", "row 4", "row 5"]
    path = write_parquet(tmp_path / "b.parquet", {"img": pa.array([image, None], pa.binary())})
    assert list(parquet_images(path, "img")) == [(image, "row 0"), (None, "row 1")]


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}, ["cat", "dog"]),
        ({"label": {"names": [1, 2]}}, ["1", "2"]),
        ({"label": {"dtype": "int64", "_type": "Value"}}, None),
        ({"other": {"names": ["cat", "dog"]}}, None),
        ({"label": [{"names": ["cat"]}]}, None),
        ([], None),
        (None, None),
    ],
)
def test_class_names_of_the_hub(tmp_path, features, expected):
    path = write_parquet(tmp_path / "t.parquet", {"label": [0, 1]}, features)
    assert parquet_class_names(path, "label") == expected


def test_class_names_that_are_no_json(tmp_path):
    pq.write_table(pa.table({"label": [0]}).replace_schema_metadata({b"huggingface": b"{"}), tmp_path / "t.parquet")
    assert parquet_class_names(tmp_path / "t.parquet", "label") is None


def test_files_that_are_no_parquet_or_damaged(tmp_path):
    path = tmp_path / "t.parquet"
    for content in (b"", b"PAR1", b"text" * 100):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"t\.parquet cannot be read as Parquet: .*; mend or replace the file"):
            parquet_columns(path)
    rng = np.random.default_rng(0)
    cells = [{"bytes": rng.bytes(500), "path": None} for _ in range(50)]
    write_parquet(path, {"img": pa.array(cells, RECORD), "label": list(range(50))})
    content = bytearray(path.read_bytes())
    content[4:-900] = bytes(len(content) - 904)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(parquet_images(path, "img"))
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_parquet_columns(path, ["label"])


# Thumbnails


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
