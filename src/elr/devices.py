"""What the machine gives: devices, memory, threads, and the random state that they share with the caller."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from elr.errors import ArgumentError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h
_LEAST_MEMORY = 10**6
_CGROUPS = (
    (Path("/sys/fs/cgroup"), ("memory.max", "memory.current")),
    (Path("/sys/fs/cgroup/memory"), ("memory.limit_in_bytes", "memory.usage_in_bytes")),
)


def keep_freed_memory() -> None:
    """Let the allocator of glibc keep what is freed, instead of giving it back to the kernel and asking again.

    The activations of a convolutional network are buffers of tens of megabytes, mapped and unmapped at every step by
    default, and filling in their pages takes up to a quarter of a step on a processor (benchmarks/step.py). Does
    nothing where the C library is another one. What a process holds at its peak it then holds to its end.

    Example:
        >>> keep_freed_memory()  # once, before training
        >>> torch.ones(2**20).sum().item()
        1048576.0
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    mallopt = getattr(library, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_TOP_PAD, 2**28)
        mallopt(_M_MMAP_MAX, 0)


def free_memory() -> int:
    """Bytes that can still be taken: of the machine, or of the container where that has less.

    Example:
        >>> 0 < free_memory() <= psutil.virtual_memory().total
        True

    Source: memory.max and memory.current of cgroup v2; memory.limit_in_bytes and memory.usage_in_bytes of v1.
    """
    free = psutil.virtual_memory().available
    for limits, names in _CGROUPS:
        with suppress(OSError, ValueError):  # "max", or no such thing
            limit, used = (int((limits / name).read_text()) for name in names)
            free = min(free, max(0, limit - used))
    return free


def processes_here() -> int:
    """How many processes of the run share this machine and its memory, by what launched them; 1 where nobody says so.

    Example:
        >>> processes_here()
        1
    """
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def memory_to_use(max_memory: int | None = None) -> int:
    """Bytes that may be taken on this machine, by all of its processes together: what is free, or a limit if less.

    Args:
        max_memory: the limit in bytes, as `--max-memory` names it. Default: none.

    Raises:
        ArgumentError: a limit below a megabyte.

    Example:
        >>> memory_to_use(2**20), memory_to_use() <= free_memory() * 2
        (1048576, True)
    """
    if max_memory is None:
        return free_memory()
    if type(max_memory) is not int or max_memory < _LEAST_MEMORY:
        raise ArgumentError(
            f"max_memory is {max_memory!r}: expected bytes, at least {_LEAST_MEMORY:,}; 4 GB are 4_000_000_000"
        )
    return min(max_memory, free_memory())


def memory_for_tables(device: str, max_memory: int | None = None) -> int:
    """Bytes that may be taken where models and tables lie, by all processes of this machine together.

    Of the processor, or of the accelerators that they have if that is less.

    Args:
        device: "cpu", or another word: the accelerator, where there is one.
        max_memory: as of `memory_to_use`.

    Example:
        >>> memory_for_tables("cpu", 2**20)
        1048576
    """
    memory = memory_to_use(max_memory)
    if device != "cpu" and torch.cuda.is_available():
        memory = min(memory, torch.cuda.mem_get_info()[0] * min(torch.cuda.device_count(), processes_here()))
    return memory


def default_device() -> torch.device:
    """The accelerator, where there is one, or the processor.

    Example:
        >>> torch.ones(3, device=default_device()).sum().item()
        3.0
    """
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 natively and so much faster that autocast gains over float32.

    Intel's processors without AMX have the instructions, but no more products in a second than in float32, and
    converting costs on top: the fast network trains at 0.6 of the speed of float32 there (see
    docs/benchmarks/precision-and-memory.md).

    Example:
        >>> computes_bfloat16(torch.device("meta"))
        False
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

    Example:
        >>> prefers_channels_last(torch.device("cpu")), prefers_channels_last(torch.device("meta"))
        (True, False)
    """
    return device.type == "cpu" or (
        device.type == "cuda"
        and torch.version.hip is None  # AMD's count differently
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


TURNS = threading.RLock()
"""Threads that draw torch's random numbers, of which a process has one state, take turns."""


@contextmanager
def forked_random_state(device: torch.device) -> Iterator[None]:
    """Inside, torch's random numbers of the processor and of a device run on; outside, nothing of that is seen.

    Example:
        >>> before = torch.get_rng_state()
        >>> with forked_random_state(torch.device("cpu")):
        ...     _ = torch.manual_seed(0)
        ...     torch.randint(10, (5,)).tolist()
        [4, 9, 3, 0, 3]
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    devices = [device.index or 0] if device.type == "cuda" else []
    with TURNS, torch.random.fork_rng(devices=devices):
        yield


def is_convolutional(network: nn.Module) -> bool:
    """Whether a network has a two-dimensional convolution anywhere.

    Example:
        >>> is_convolutional(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())), is_convolutional(nn.Linear(3, 8))
        (True, False)
    """
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Compute in one thread, where others decode images meanwhile: torch's own would wait for a core by spinning.

    Example:
        >>> before = torch.get_num_threads()
        >>> with one_thread():
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers, without the coincidences that adding them would have.

    Example:
        >>> mixed_seed(1, 2) == mixed_seed(2, 1), mixed_seed(1, 2) == mixed_seed(1, 2)
        (False, True)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def built_library(source: str) -> ctypes.CDLL:
    """A library of C++, built by the compiler behind `torch.compile`, or taken from where that keeps what it built.

    Args:
        source: its functions are `extern "C"`.

    Raises:
        Exception: of whatever kind: there is no compiler, it fails, or torch has it no more.

    Example:
        >>> try:
        ...     library = built_library('extern "C" int two() { return 2; }')
        ... except Exception as error:
        ...     print("no compiler here:", error)
        ... else:
        ...     assert library.two() == 2
    """
    log = logging.getLogger("torch.utils.cpp_extension")
    errors = _Errors()  # of this call, as others may build in other threads meanwhile
    log.addFilter(errors)
    try:
        from torch._inductor import config
        from torch._inductor.codecache import CppCodeCache

        try:
            with config.patch({"cpp.vec_isa_ok": True}):  # compilers are tried out for seconds else
                return CppCodeCache.load(source)  # type: ignore[return-value]
        except Exception:  # an old compiler, which does not know all that the processor can do
            return CppCodeCache.load(source)  # type: ignore[return-value]
    finally:
        log.removeFilter(errors)


class _Errors(logging.Filter):
    """Lets errors through: that there is no GPU is no news."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR


Functions = Mapping[str, tuple[Any, Sequence[Any]]]
"""Functions of a library: what each returns, and what it takes, as types of ctypes."""


def usable_library(source: str, functions: Functions, is_right: Callable[[Any], bool], *, otherwise: str) -> Any:
    """`built_library`, if it passes a test; compilers and their flags are not ours, and nothing may depend on one.

    Args:
        source: as of `built_library`; what it has may be Linux's.
        functions: those that are called.
        is_right: the test, given the library.
        otherwise: what is said to happen where there is none.

    Returns:
        None where it cannot be had, which is logged: as information where it is not Linux or there is no compiler, as a
        warning where it fails the test.

    Example:
        >>> two = 'extern "C" int two() { return 2; }'
        >>> usable_library(two, {"two": (ctypes.c_int, ())}, lambda it: it.two() == 3, otherwise="it is done by hand")
    """
    log = logging.getLogger(__name__)
    try:
        if sys.platform != "linux":
            raise OSError(f"on {sys.platform} nothing is built")
        library: Any = built_library(source)
        for name, (returned, taken) in functions.items():
            function = getattr(library, name)
            function.restype, function.argtypes = returned, list(taken)
        if is_right(library):
            return library
        log.warning("%s: what was built for it is wrong on a test", otherwise)
    except Exception as error:  # a compiler fails in many ways
        log.info("%s: %s", otherwise, error)
    return None


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU from pinned memory, or the host would wait for all that was asked before.

    Example:
        >>> sent(torch.arange(3), torch.device("cpu")).tolist()
        [0, 1, 2]
        >>> sent(torch.arange(3), torch.device("meta")).device
        device(type='meta')
    """
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
