"""A published data set that is none: two classes, a list of images and their folder."""

import io

import numpy as np
from PIL import Image

from elr.data.pictures.decoding import Geometry
from elr.data.pictures.image_store import FileImages
from elr.datasets.base import About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.text_lists import content


def about(*files, **changes):
    facts = {
        "name": "made",
        "title": "Made Up",
        "examples": {"train": 4},
        "num_classes": 2,
        "noise": "none",
        "license": "free",
        "citation": "nobody",
        "source": "https://example.org",
        "files": files,
    }
    return About(**(facts | changes))


def file(role, *places, needed=True):
    return File(role=role, places=places, what=f"the {role}", source="the shop", needed=needed)


LIST, IMAGES, EXTRA = (
    file("list", "list.txt", "lists/*.txt"),
    file("images", "images/"),
    file("extra", "x", needed=False),
)


class Made(Loader):
    """Two classes; a line of list.txt for each image: its name."""

    def __init__(self, **changes):
        self.changes = changes
        self.about = about(LIST, IMAGES, EXTRA, **changes.pop("about", {}))

    def open(self, root):
        found = located(self.about, root)
        names = content(found["list"]).decode().split()
        images = FileImages(found["images"], names, Geometry(resize=4, crop=4))
        given = {"labels": np.zeros(len(names), dtype=np.int64), "images": images} | self.changes.get("train", {})
        parts = {"train": Part(**given)} | self.changes.get("parts", {})
        return PublishedSet(
            about=self.about,
            class_names=self.changes.get("class_names", ("cat", "dog")),
            parts=parts,
            remarks=self.changes.get("remarks", []),
        )


def encoded():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    return buffer.getvalue()


def make(root, count=4):
    (root / "images").mkdir(parents=True)
    names = [f"{row}.png" for row in range(count)]
    (root / "list.txt").write_text("\n".join(names))
    (root / "x").touch()
    for name in names:
        (root / "images" / name).write_bytes(encoded())
    return root
