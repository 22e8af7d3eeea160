"""Images made for tests, and their bytes."""

import io

import numpy as np
from PIL import Image


def encoded(image, kind="PNG", mode=None, **options):
    """A Pillow image, or pixels (H, W, channels), as the bytes of a file."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(buffer, kind, **options)
    return buffer.getvalue()


def color(rgb=(200, 100, 50), size=(16, 16)):
    return Image.new("RGB", size, rgb)


def ramp(height, width, channels=3):
    """Brightness grows to the right in the first channel and downward in the second."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return np.stack([across, down, np.full((height, width), 128.0)][:channels], axis=2).round().astype(np.uint8)
