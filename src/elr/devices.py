"""What the machine gives: devices, processes, and the random state that they share with the caller."""

from __future__ import annotations

import ctypes
import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
from torch import distributed as dist
from torch import nn

from elr.errors import ArgumentError

SMALL_NETWORK = 1_000_000
"""Parameters below which a network without convolutions is trained in one thread."""


def make_accelerator(device: str, *, every_weight_every_step: bool = True) -> Accelerator:
    # Accelerate joins ranks on processors only if it is told to use them; without that every rank would train alone.
    cpu = device == "cpu" or ("LOCAL_RANK" in os.environ and not torch.accelerator.is_available())
    try:
        ranks = DistributedDataParallelKwargs(find_unused_parameters=not every_weight_every_step)
        # Precision is ours, see docs/decisions.md.
        return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[ranks])
    except ValueError as error:  # Accelerate decides on device and precision once in a process
        raise ArgumentError(
            f"device={device!r} cannot be had in this process any more: Accelerate was set up otherwise before "
            f"({error}); use the same device throughout, or another process"
        ) from error


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Let the allocator of glibc keep what is freed, instead of giving it back to the kernel and asking again.

    The activations of a convolutional network are buffers of tens of megabytes, mapped and unmapped at every step by
    default, and filling in their pages takes up to a quarter of a step on a processor (benchmarks/step.py). Does
    nothing where the C library is another one. What a process holds at its peak it then holds to its end.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    mallopt = getattr(library, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 2**28)
        mallopt(_M_MMAP_MAX, 0)


def free_memory() -> int:
    """Bytes that can still be taken: of the machine, or of the container where that has less.

    Source: cgroup v2, memory.max and memory.current.
    """
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # "max", or no such thing
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, max(0, limit - used))
    return free


def default_device() -> torch.device:
    """The accelerator, where there is one, or the processor."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def is_main_process() -> bool:
    """Whether this process is the one of its group that writes and speaks."""
    return PartialState().is_main_process


def leave_process_group() -> None:
    """Take leave of the other ranks, if there are any, before the process ends.

    All leave together: one that goes while another still writes has been seen to end in an abort.
    """
    if dist.is_initialized():
        dist.barrier()
        PartialState().destroy_process_group()


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively and so much faster that autocast gains over float32.

    Intel's processors without AMX have the instructions, but no more products in a second than in float32, and
    converting costs on top: the fast network trains at 0.6 of the speed of float32 there (docs/benchmarks.md).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and "get_capabilities" in dir(torch.cpu):
        found = torch.cpu.get_capabilities()
        intel = str(found.get("cpu_name", "")).startswith("Intel")
        return bool(found.get("amx_bf16") or found.get("bf16") or (found.get("avx512_bf16") and not intel))
    return False


def prefers_channels_last(device: torch.device) -> bool:
    """Whether convolutions in float32 run fastest on images whose channels lie together.

    On a GPU with TF32 (compute capability 8.0 and above) they do; otherwise cuDNN rearranges every layer's inputs.
    """
    return device.type == "cpu" or (
        device.type == "cuda"
        and torch.version.hip is None  # AMD's count differently
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


@contextmanager
def forked_random_state(device: torch.device) -> Iterator[None]:
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Undo what Accelerate's load_state does to the global generators of Python, NumPy and torch."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)


def is_convolutional(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


@contextmanager
def threads_for(network: nn.Module) -> Iterator[None]:
    """Compute small perceptrons in one thread: more only wait for one another, and crawl where a core is shared."""
    threads = torch.get_num_threads()
    trained = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    small = not is_convolutional(network) and trained < SMALL_NETWORK
    torch.set_num_threads(1 if small else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Compute in one thread, where others decode images meanwhile: torch's own would wait for a core by spinning."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, without the coincidences that adding them would have."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
