"""WebVision and lists of ImageNet's classes in the published layouts, in a few small images."""

import io

from PIL import Image

from elr.data.pictures.decoding import Geometry
from elr.datasets.readers.imagenet import CLASSES, LANDMARKS

SYNSETS = sorted(
    [f"n{1440764 + 5000 * place:08d}" for place in range(49)]
    + [f"n{1697458 + place:08d}" for place in range(949)]
    + [LANDMARKS[49], LANDMARKS[999]]
)


WORDS = [f"thing {place}, {'abc' * (place % 3)}" for place in range(CLASSES)]


SMALL = Geometry(resize=8, crop=8)


def image(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def synset_lines():
    return "".join(f"{synset} {words}\n" for synset, words in zip(SYNSETS, WORDS, strict=True))


def webvision(root, *, google=None, flickr=None, validation=None):
    """Three training images of Google's, two of Flickr's and two for validation, each of another shade."""
    google = google or "google/q0001/a.jpg 0\ngoogle/q0002/b.jpg 49\ngoogle/q0077/c.jpg 50\n"
    flickr = flickr or "flickr/q0001/a.jpg 0\nflickr/q0900/d.jpg 999\n"
    write(root / "info/synsets.txt", synset_lines())
    write(root / "info/train_filelist_google.txt", google)
    write(root / "info/train_filelist_flickr.txt", flickr)
    write(root / "info/val_filelist.txt", validation or "val000001.jpg 0\nval000002.jpg 70\n")
    for shade, name in enumerate(
        ("google/q0001/a.jpg", "google/q0002/b.jpg", "google/q0077/c.jpg", "flickr/q0001/a.jpg", "flickr/q0900/d.jpg")
    ):
        write(root / name, image(10 * shade))
    write(root / "val_images_256/val000001.jpg", image(100))
    write(root / "val_images_256/val000002.jpg", image(110))
    return root


def shades(part):
    return part.images[:][:, 0, 0, 0].tolist()
