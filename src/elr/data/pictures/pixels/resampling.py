"""Pixels resampled and normalized; of many images by kernels.cpp, to the bits of torch and Pillow in less time.

It is built by the compiler behind `torch.compile`, beside the reading, once so many images were read that it is worth
it. Until then, and where there is no such compiler or no AVX2, torch and Pillow do it.
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress
from importlib import resources
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

WORTH = 1_000
"""Images resampled by torch, or a tenth as many by Pillow, before what is faster is built, in 1 to 3 seconds."""
_OF_PILLOW = 10  # what Pillow takes more than the kernel, in terms of what torch does
_state: dict[str, Any] = {"missed": 0, "library": None}
_BEGUN = threading.Lock()  # taken once, by the thread that begins; nobody ever waits for it
_OF_THREAD = threading.local()
_KEPT = 2**22  # bytes of memory that a thread keeps for the next image
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, as Pillow has it."""


def bilinear_square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Pixels as a square of another size: bilinear with antialiasing, the height first and then the width.

    Args:
        pixels: (H, W, 3).
        size: pixels of a side.

    Returns:
        (size, size, 3), memory of its own.

    Example:
        >>> bilinear_square(np.full((5, 7, 3), 9, dtype=np.uint8), 2)[:, :, 0].tolist()
        [[9, 9], [9, 9]]
    """
    if pixels.shape[:2] == (size, size):
        return pixels.copy()
    library = _library(missed=1)
    return _bilinear(pixels, size) if library is None else _resampled(library, pixels, size)


def middle_square(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The largest square in the middle of some pixels, brought to a size by bicubic resampling, as Pillow does it.

    Args:
        pixels: (H, W, 3).
        size: pixels of a side.

    Returns:
        (size, size, 3), memory of its own.

    Example:
        >>> middle_square(np.full((5, 7, 3), 9, dtype=np.uint8), 2)[:, :, 0].tolist()
        [[9, 9], [9, 9]]
    """
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return pixels.copy()
    library = _library(missed=_OF_PILLOW)
    # From version 13 on Pillow resamples the height of tall images first, which gives other bits.
    if library is None or height + size > 2 * max(width, size):
        return _bicubic(pixels, size)
    return _resampled(library, pixels, size, _middle(height, width))


def normalized_by_pixel(images: Tensor, mirrored: Tensor | None, mean: Tensor, scale: Tensor) -> Tensor | None:
    """(x - mean) * scale as float32, of images some of which are mirrored first, in one pass and in this thread.

    Args:
        images: (B, C, H, W) uint8 in memory pixel by pixel (channels_last), on the CPU.
        mirrored: (B,) bool; None: no one.
        mean: (C,) float32.
        scale: the same.

    Returns:
        (B, C, H, W), in memory as the images; None where the kernel is not, or not yet, built, or C is not 3.

    Example:
        >>> images = torch.full((2, 3, 4, 4), 9, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
        >>> found = normalized_by_pixel(images, None, torch.zeros(3), torch.ones(3))
        >>> found is None or bool((found == 9).all())
        True
    """
    library = _library(missed=0)
    return None if library is None or images.shape[1] != 3 else _normalized(library, images, mirrored, mean, scale)


def room_of_thread(name: str, size: int) -> NDArray[np.uint8]:
    """Memory that this thread uses image after image, as the processor has it at hand then; new if it is large.

    Example:
        >>> room_of_thread("a doctest", 3).shape
        (3,)
    """
    if size > _KEPT:
        return np.empty(size, np.uint8)
    if not hasattr(_OF_THREAD, name):
        setattr(_OF_THREAD, name, np.empty(_KEPT, np.uint8))
    return getattr(_OF_THREAD, name)[:size]


def _together(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same pixels one after the other in memory, until the next call in this thread."""
    together = room_of_thread("window", pixels.size).reshape(pixels.shape)
    np.copyto(together, pixels)
    return together


def _middle(height: int, width: int) -> Box:
    """The largest square in the middle."""
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _bilinear(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    shown = torch.from_numpy(_together(pixels))  # or torch would copy it, and wake its own threads in each of ours
    # With a batch axis that has a stride, since without one torch does not see that pixels lie together, and takes half
    # as long again. One side at a time, the height first, so that fewer rows are left for the other, slower pass.
    part = shown.view(1, *shown.shape).permute(0, 3, 1, 2)
    for sides in ((size, pixels.shape[1]), (size, size)):
        part = F.interpolate(part, size=sides, mode="bilinear", antialias=True)
    return part[0].permute(1, 2, 0).numpy()


def _bicubic(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.array(ImageOps.fit(Image.fromarray(pixels), (size, size), Image.Resampling.BICUBIC))


def _resampled(library: Any, pixels: NDArray[np.uint8], size: int, box: Box | None = None) -> NDArray[np.uint8]:
    """All of it, bilinear, or a box of it, bicubic."""
    if pixels.strides[1:] != (3, 1):  # turned ones
        pixels = _together(pixels)
    (height, width), stride = pixels.shape[:2], pixels.strides[0]
    left, top, right, bottom = box or (0, 0, width, height)
    out = np.empty((size, size, 3), dtype=np.uint8)
    whole, cut = (pixels.ctypes.data, stride, height, width), (top, bottom, left, right)
    library.elr_resample(*whole, *cut, size, box is not None, out.ctypes.data)
    return out


def _normalized(library: Any, images: Tensor, mirrored: Tensor | None, mean: Tensor, scale: Tensor) -> Tensor:
    count, channels, height, width = images.shape
    turned = torch.zeros(count, dtype=torch.bool) if mirrored is None else mirrored.contiguous()
    out = torch.empty(count, height, width, channels)
    given = [turned, *(each.repeat(width) for each in (mean, scale)), out]
    library.elr_normalize(images.data_ptr(), count, height, width, *(each.data_ptr() for each in given))
    return out.permute(0, 3, 1, 2)


def _library(*, missed: int) -> Any:
    """What is built; None until it is. It is begun when enough was `missed` for want of it."""
    if _state["library"] is None and _state["missed"] < WORTH:
        _state["missed"] += missed
        if _state["missed"] >= WORTH and _BEGUN.acquire(blocking=False):
            _state["thread"] = thread = threading.Thread(target=_build, name="elr-pixel-kernels")
            with suppress(RuntimeError):  # no thread more is to be had: torch and Pillow go on
                thread.start()
    return _state["library"]


def _build() -> None:
    from elr.devices import usable_library

    pointer, count, place = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
    functions = {
        "elr_resample": (None, [pointer, *[count] * 3, *[place] * 4, count, ctypes.c_int32, pointer]),
        "elr_normalize": (None, [pointer, *[count] * 3, *[pointer] * 4]),
    }
    otherwise = "pixels are resampled and normalized by torch and Pillow"
    source = resources.files("elr.data.pictures.pixels").joinpath("kernels.cpp").read_text(encoding="utf-8")
    _state["library"] = usable_library(source, functions, _is_right, otherwise=otherwise)


def _end_building() -> None:
    """Before a fork: the child would have the locks of what is imported, and not the thread that holds them."""
    thread = _state.get("thread")
    if thread is not None and thread.is_alive():
        thread.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_building)


def _is_right(library: Any) -> bool:
    """Whether it gives the very bits that torch and Pillow give."""
    rng = np.random.default_rng(0)
    for height, width, size in ((61, 83, 32), (40, 37, 12), (33, 130, 9), (23, 21, 40), (57, 30, 3), (41, 40, 39)):
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        bicubic = _resampled(library, pixels, size, _middle(height, width))
        if not np.array_equal(_resampled(library, pixels, size), _bilinear(pixels, size)):
            return False
        if not np.array_equal(bicubic, _bicubic(pixels, size)):
            return False
    images = torch.from_numpy(rng.integers(0, 256, (2, 5, 23, 3), dtype=np.uint8)).permute(0, 3, 1, 2)
    mirrored, (mean, scale) = torch.tensor([True, False]), torch.tensor([[9.0, 99.5, 0.0], [0.3, 0.1, 7.0]])
    expected = torch.where(mirrored[:, None, None, None], images.flip(3), images).float()
    expected = expected.sub_(mean.view(3, 1, 1)).mul_(scale.view(3, 1, 1))
    return torch.equal(_normalized(library, images, mirrored, mean, scale), expected)
