"""Images as people have them: each is seen as people see it, or refused by name."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from campaign.made_pictures import BLUE, RED, counts, encoded, fitted, near, picture, pictures, shown
from campaign.outcomes import accepted, contents, inside, kept, refused
from campaign.trials import SILENT, UNCLEAR, need, trial

Make = Callable[[], bytes]
WHITE, GRAY, PINK = (255, 255, 255), (120, 120, 120), (228, 148, 148)


def _flat(mode: str, color: tuple[int, ...] | int, size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new(mode, size, color)


def _palette(*, transparent: bool) -> bytes:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, *RED])
    return encoded(image, "PNG", **({"transparency": 1} if transparent else {}))


def _frames(kind: str) -> bytes:
    others = [_flat("RGB", BLUE), _flat("RGB", (40, 200, 40))]
    return encoded(
        _flat("RGB", RED), kind, save_all=True, append_images=others, **({} if kind == "TIFF" else {"duration": 50})
    )


def _deep_gray() -> bytes:
    ramp = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    return encoded(Image.fromarray(ramp))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, *, depth: int = 8, color: int = 2) -> bytes:
    """A PNG that says what it likes of its size."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _deep_color() -> bytes:
    """A PNG of 16 bits in color; black and white in two corners, so that all of 16 bits is used."""
    pixels = np.empty((16, 16, 3), dtype=">u2")
    pixels[:] = np.array(RED) * 257
    pixels[0, 0], pixels[15, 15] = 0, 65535
    return png(16, 16, b"".join(b"\0" + row.tobytes() for row in pixels), depth=16)


def _profiled() -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(_flat("RGB", RED), "JPEG", icc_profile=profile, quality=95)


SEEN: dict[str, tuple[str, Make, tuple[int, ...]]] = {
    "gray": ("x.png", lambda: encoded(_flat("L", 120)), GRAY),
    "gray jpeg": ("x.jpg", lambda: encoded(_flat("L", 120), "JPEG"), GRAY),
    "one bit": ("x.png", lambda: encoded(_flat("1", 1)), WHITE),
    "palette": ("x.png", lambda: _palette(transparent=False), RED),
    "palette with a transparent color": ("x.png", lambda: _palette(transparent=True), WHITE),
    "gray with alpha": ("x.png", lambda: encoded(_flat("LA", (120, 0))), WHITE),
    "half transparent": ("x.png", lambda: encoded(_flat("RGBA", (*RED, 128))), PINK),
    "transparent black, as icons have it": (
        "x.webp",
        lambda: encoded(_flat("RGBA", (0, 0, 0, 0)), "WEBP", lossless=True),
        WHITE,
    ),
    "CMYK jpeg of Adobe": ("x.jpg", lambda: encoded(_flat("RGB", RED).convert("CMYK"), "JPEG", quality=95), RED),
    "CMYK tiff": ("x.tif", lambda: encoded(_flat("RGB", RED).convert("CMYK"), "TIFF"), RED),
    "YCbCr tiff": ("x.tiff", lambda: encoded(_flat("RGB", RED).convert("YCbCr"), "TIFF"), RED),
    "progressive jpeg": ("x.jpg", lambda: encoded(_flat("RGB", RED), "JPEG", progressive=True, quality=95), RED),
    "jpeg with an ICC profile": ("x.jpg", _profiled, RED),
    "16 bit gray": ("x.png", _deep_gray, (127, 127, 127)),
    "16 bit color": ("x.png", _deep_color, RED),
    "animated gif": ("x.gif", lambda: _frames("GIF"), RED),
    "animated webp": ("x.webp", lambda: _frames("WEBP"), RED),
    "animated png": ("x.png", lambda: _frames("PNG"), RED),
    "tiff of three pages": ("x.tif", lambda: _frames("TIFF"), RED),
    "one pixel": ("x.png", lambda: encoded(_flat("RGB", RED, (1, 1))), RED),
    "thirty thousand wide, ten high": ("x.png", lambda: encoded(_flat("RGB", RED, (30_000, 10))), RED),
    "ten wide, thirty thousand high": ("x.jpg", lambda: encoded(_flat("RGB", RED, (10, 30_000)), "JPEG"), RED),
    "upper-case ending": ("X.JPG", lambda: encoded(_flat("RGB", RED), "JPEG", quality=95), RED),
    "png called jpg": ("x.jpg", lambda: encoded(_flat("RGB", RED)), RED),
    "webp called png": ("x.png", lambda: encoded(_flat("RGB", RED), "WEBP", lossless=True), RED),
    "bmp": ("x.bmp", lambda: encoded(_flat("RGB", RED), "BMP"), RED),
    "ascii ppm": ("x.ppm", lambda: b"P3 2 2 255 " + b" ".join([b"200 40 40"] * 4), RED),
    "jpeg with bytes behind its end": ("x.jpg", lambda: encoded(_flat("RGB", RED), "JPEG") + b"\0" * 5000, RED),
}


def _truncated(kind: str) -> bytes:
    whole = encoded(picture(side=200), kind)
    return whole[: len(whole) // 2]


def _broken_png() -> bytes:
    whole = bytearray(encoded(picture(side=64)))
    whole[len(whole) // 2] ^= 0xFF
    return bytes(whole)


def _heic() -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0mif1heic" + b"\0" * 200


REFUSED: dict[str, tuple[str, Make, Sequence[str]]] = {
    "no bytes": ("x.png", lambda: b"", ()),
    "zeros": ("x.jpg", lambda: b"\0" * 4000, ()),
    "a page of an error called jpg": ("x.jpg", lambda: b"<!doctype html><title>404</title>", ()),
    "pdf called jpg": ("x.jpg", lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n%%EOF", ()),
    "svg called png": ("x.png", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', ()),
    "heic called jpg": ("x.jpg", _heic, ()),
    "pointer of Git LFS": ("x.png", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", ()),
    "truncated jpeg": ("x.jpg", lambda: _truncated("JPEG"), ()),
    "truncated png": ("x.png", lambda: _truncated("PNG"), ()),
    "truncated gif": ("x.gif", lambda: _truncated("GIF"), ()),
    "png with a wrong byte": ("x.png", _broken_png, ()),
    "header of a png alone": ("x.png", lambda: encoded(picture())[:33], ()),
    "png of no pixels": ("x.png", lambda: png(0, 0, b""), ()),
    "decompression bomb": ("x.png", lambda: png(60_000, 60_000, b"\0" * 1000), ("bomb",)),
    "gif that says 65535 x 65535": (
        "x.gif",
        lambda: b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
        ("bomb",),
    ),
}


def _sees(name: str, file: str, make: Make, color: tuple[int, ...]) -> None:
    def run(folder: Path, _: random.Random) -> None:
        root = pictures(folder)
        (root / "cat" / file).write_bytes(make())
        found = counts(folder)
        need(found == {"cat": 11, "dog": 10}, SILENT, f"{name}: {found}")
        near(shown(folder, f"cat/{file}"), color, name)
        need(accepted(fitted(folder))["num_examples"] == 21, SILENT, name)

    run.__name__ = name.replace(" ", "_")
    trial("pictures", quick=name in ("gray with alpha", "CMYK jpeg of Adobe", "animated gif", "png called jpg"))(run)


def _refuses(name: str, file: str, make: Make, words: Sequence[str]) -> None:
    def run(folder: Path, _: random.Random) -> None:
        root = pictures(folder)
        (root / "cat" / file).write_bytes(make())
        refused(fitted(folder), f"cat/{file}", "--skip-unreadable", *words, out=folder / "run")
        done = fitted(folder, "--skip-unreadable")
        found = accepted(done)
        need(found["num_examples"] == 20, SILENT, f"{name}: {found['num_examples']} rows of 20")
        need(any(f"cat/{file}" in remark for remark in found["remarks"]), SILENT, f"{name}: left out without a word")

    run.__name__ = name.replace(" ", "_")
    trial("pictures", quick=name in ("no bytes", "truncated jpeg", "decompression bomb"))(run)


for _name, (_file, _make, _color) in SEEN.items():
    _sees(_name, _file, _make, _color)
for _name, (_file, _make, _words) in REFUSED.items():
    _refuses(_name, _file, _make, _words)


TURNS = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM]
TURNS += [Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90]


def _turned(orientation: int, kind: str) -> bytes:
    """Red in the corner at the top left for people, stored as a camera that was held otherwise would."""
    upright = Image.new("RGB", (32, 32), BLUE)
    upright.paste(RED, (0, 0, 16, 16))
    turn = TURNS[orientation - 1]
    back = {
        Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270,
    }
    stored = upright if turn is None else upright.transpose(back.get(turn, turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(stored, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


def _turned_trial(kind: str, suffix: str) -> None:
    def run(folder: Path, _: random.Random) -> None:
        root = pictures(folder, side=32)
        for orientation in range(1, 9):
            (root / "cat" / f"turned{orientation}{suffix}").write_bytes(_turned(orientation, kind))
        for orientation in range(1, 9):
            pixels = shown(folder, f"cat/turned{orientation}{suffix}")
            near(pixels[2:14, 2:14], RED, f"orientation {orientation}: top left")
            near(pixels[18:30, 18:30], BLUE, f"orientation {orientation}: bottom right")

    run.__name__ = f"turned_by_EXIF_as_{kind}"
    trial("pictures", quick=kind == "JPEG")(run)


for _kind, _suffix in (("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif")):
    _turned_trial(_kind, _suffix)


@trial("pictures")
def turned_by_an_exif_record_that_is_nonsense(folder: Path, _: random.Random) -> None:
    root = pictures(folder)
    for number, content in enumerate((b"", b"\xff" * 50, b"MM\0*\0\0\0\x08\xff\xff", b"II*\0\xff\xff\xff\xff")):
        whole = encoded(picture(), "JPEG", exif=b"Exif\0\0" + content)
        (root / "cat" / f"x{number}.jpg").write_bytes(whole)
    for number in range(4):
        near(shown(folder, f"cat/x{number}.jpg"), RED, f"record {number}")


@trial("pictures")
def thumbnails_of_an_odd_picture_are_in_the_report(folder: Path, _: random.Random) -> None:
    root = pictures(folder, count=20, wrong=3)
    (root / "cat" / "wide.png").write_bytes(encoded(_flat("RGB", RED, (30_000, 10))))
    found = accepted(inside("fit", "d", "--epochs", "8", "--out", "run", "--json", folder=folder))
    lines = (folder / "run" / "issues.csv").read_text().splitlines()[1:4]
    need({line.split(",")[1] for line in lines} == {f"cat/00{k}.png" for k in range(3)}, SILENT, f"worst: {lines}")
    need(found["num_examples"] == 41, SILENT, f"{found['num_examples']} rows of 41")


@trial("pictures")
def random_bytes_changed_in_pictures(folder: Path, generator: random.Random) -> None:
    """A damaged image may still be decoded, as decoders do; one that is not is named, and the data stay."""
    root = pictures(folder)
    files = {"x.jpg": "JPEG", "x.png": "PNG", "x.gif": "GIF", "x.webp": "WEBP", "x.tif": "TIFF", "x.bmp": "BMP"}
    for turn in range(20):
        file, kind = generator.choice(list(files.items()))
        content = bytearray(encoded(picture(side=48), kind))
        for _ in range(generator.choice((1, 3, 30))):
            content[generator.randrange(len(content))] = generator.randrange(256)
        (root / "cat" / file).write_bytes(content)
        before = contents(root)
        outcome = inside("inspect", "d", "--json", folder=folder)
        if outcome.code:
            refused(outcome, f"cat/{file}")
        else:
            need(sum(each["count"] for each in accepted(outcome)["classes"]) == 21, SILENT, f"turn {turn}: {file}")
        kept(before, root)
        (root / "cat" / file).unlink()


@trial("pictures", quick=True)
def heic_as_phones_have_them(folder: Path, _: random.Random) -> None:
    """They cannot be read: said where there are others, and what to do where there are no others."""
    root = pictures(folder)
    for name in ("a.heic", "b.HEIC", "c.avif", "d.svg"):
        (root / "cat" / name).write_bytes(_heic())
    found = accepted(fitted(folder))
    need(found["num_examples"] == 20, SILENT, f"{found['num_examples']} rows of 20")
    need(any("4 files left out" in each for each in found["remarks"]), SILENT, f"not said: {found['remarks']}")
    for path in root.rglob("*.png"):
        path.rename(path.with_suffix(".heic"))
    outcome = inside("fit", "d", "--epochs", "2", "--out", "run2", folder=folder)
    refused(outcome, "no images in d", ".png", out=folder / "run2")
    need("heic" in outcome.err.lower(), UNCLEAR, f"says nothing of the HEIC files that are there: {outcome.words}")
