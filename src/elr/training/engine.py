"""The engine under the loop: all of Hugging Face Accelerate, but for checkpoints."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, DistributedType, PartialState
from torch import distributed as dist
from torch import nn

from elr.data.examples import Examples
from elr.devices import is_convolutional
from elr.errors import ArgumentError
from elr.targets.ranks import raise_together, refuse_differences

Made = TypeVar("Made")
_ONE_BY_ONE = threading.Lock()
"""Threads that make Accelerate's object at once find the state that it shares half filled."""
_GONE = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited")
_SHARDING = ("FSDP", "DEEPSPEED", "MEGATRON_LM")
_PLAIN = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)
SMALL_NETWORK = 1_000_000
"""Parameters below which a network without convolutions is trained in one thread."""


def make_accelerator(device: str, *, every_weight_every_step: bool = True) -> Accelerator:
    """Accelerate's object for this process, alone or one of several.

    Args:
        device: "auto" or "cpu".
        every_weight_every_step: whether each step has a gradient for every weight.

    Raises:
        ArgumentError: another device than before in this process.

    Example:
        >>> make_accelerator("cpu").device
        device(type='cpu')
    """
    # Accelerate joins ranks on processors only if it is told to use them; without that every rank would train alone.
    cpu = device == "cpu" or ("LOCAL_RANK" in os.environ and not torch.accelerator.is_available())
    try:
        ranks = DistributedDataParallelKwargs(find_unused_parameters=not every_weight_every_step)
        with _ONE_BY_ONE:
            # Precision is ours, see docs/decisions/training.md.
            return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=[ranks])
    except ValueError as error:  # Accelerate decides on device and precision once in a process
        raise ArgumentError(
            f"device={device!r} cannot be had in this process any more: Accelerate was set up otherwise before "
            f"({error}); use the same device throughout, or another process"
        ) from error


def is_main_process() -> bool:
    """Whether this process is the one of its group that writes and speaks.

    Example:
        >>> is_main_process()
        True
    """
    return PartialState().is_main_process


def number_of_processes() -> int:
    """How many processes train together, by what launched them; known before they have met.

    Example:
        >>> number_of_processes()
        1
    """
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_plain(accelerator: Accelerator) -> bool:
    """Whether the processes, one or several, train by torch's own data parallelism, each with the whole network.

    Example:
        >>> is_plain(make_accelerator("cpu"))
        True
    """
    return accelerator.distributed_type in _PLAIN


def shards_networks() -> bool:
    """Whether what launched the processes asks for FSDP or DeepSpeed; known before they have met.

    Example:
        >>> shards_networks()
        False
    """
    return any(os.environ.get(f"ACCELERATE_USE_{name}", "").lower() in ("1", "true") for name in _SHARDING)


def on_all_ranks(device: str, make: Callable[[], Made]) -> Made:
    """What every rank makes for itself; where one of them cannot, all raise, and the first one knows what to say.

    Args:
        device: see `make_accelerator`.
        make: called on every rank; it waits for no other one.

    Raises:
        Exception: see `elr.targets.ranks.raise_together`.

    Example:
        >>> on_all_ranks("cpu", lambda: "read")
        'read'
    """
    if number_of_processes() < 2:
        return make()
    make_accelerator(device)  # now they have met
    made: list[Made] = []
    error = None
    try:
        made.append(make())
    except Exception as found:
        error = found
    try:
        raise_together(error, dist.group.WORLD)
    finally:
        error = None  # else it would hold this frame, and with it what was read, until some later time
    return made[0]


def from_main_process(device: str, compute: Callable[[], int]) -> int:
    """A number that the main process finds, on all processes of its group: the others wait for it.

    Args:
        device: see `make_accelerator`.
        compute: called on the main process only; gives a number of at least 0.

    Raises:
        Exception: what `compute` raised, on the main process; the others say so, see `on_all_ranks`.

    Example:
        >>> from_main_process("cpu", lambda: 7)
        7
    """
    if number_of_processes() < 2:
        return compute()
    accelerator = make_accelerator(device)
    found = on_all_ranks(device, lambda: compute() if accelerator.is_main_process else 0)
    number = torch.full((1,), found, device=accelerator.device)
    dist.broadcast(number, 0)
    return int(number.item())


def is_lost_rank(error: BaseException) -> bool:
    """Whether it says that another process of the group has ended, which this one waits for.

    Args:
        error: what was raised here; only under several processes it can be that.

    Example:
        >>> is_lost_rank(RuntimeError("gloo/transport/tcp/pair.cc:561] Connection closed by peer"))  # there is none
        False
    """
    if number_of_processes() < 2 or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, dist.DistError) or any(words in str(error) for words in _GONE)


def gathered(value: Made) -> list[Made]:
    """What each rank of the run has, in order of rank; all of them call it.

    Args:
        value: of this rank, that can be pickled.

    Example:
        >>> gathered("alone")
        ['alone']
    """
    if not dist.is_available() or not dist.is_initialized():
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


def refuse_other_ranks(values: Mapping[str, Any]) -> None:
    """Raise on every rank of the run where they differ in a value; all of them call it, before anything is written.

    Args:
        values: by name, what has to be the same on all ranks; plain ones.

    Raises:
        ArgumentError: names what differs, and on which ranks.

    Example:
        >>> refuse_other_ranks({"num_examples": 5})  # alone, a process agrees with itself
    """
    group = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None
    refuse_differences(values, group, advice="give all of them the same command, data, versions and folder")


def refuse_other_data(examples: Examples, settings: Any) -> None:
    """The same for what a training set is made of, as far as its labels and the shape of its inputs tell.

    Args:
        examples: with labels, or without.
        settings: how they are trained on: a dataclass of plain values, or something whose `str` says all of it.

    Example:
        >>> refuse_other_data(Examples(torch.eye(2), [0, 1]), {"epochs": 3})
    """
    if not dist.is_available() or not dist.is_initialized():
        return
    labels = b"" if examples.labels is None else examples.labels.contiguous().numpy().data
    told = {
        "the number of training rows": len(examples),
        "the labels (sha256)": hashlib.sha256(labels).hexdigest()[:12],
    }
    plain = is_dataclass(settings) and not isinstance(settings, type)
    values = asdict(settings) if plain else {"settings": str(settings)}  # type: ignore[arg-type]
    refuse_other_ranks(told | {f"the training's {name}": value for name, value in values.items()})


def leave_process_group() -> None:
    """Take leave of the other ranks, if there are any, before the process ends.

    All leave together: one that goes while another still writes has been seen to end in an abort.

    Example:
        >>> leave_process_group()  # alone, there is nobody to take leave of
    """
    if dist.is_initialized():
        dist.barrier()
        PartialState().destroy_process_group()


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Undo what Accelerate's load_state does to the global generators of Python, NumPy and torch.

    Example:
        >>> before = torch.get_rng_state()
        >>> with preserved_random_state():
        ...     _ = torch.manual_seed(7)
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)


@contextmanager
def threads_for(network: nn.Module) -> Iterator[None]:
    """Compute small perceptrons in one thread: more only wait for one another, and crawl where a core is shared.

    Example:
        >>> with threads_for(nn.Linear(2, 2)):
        ...     torch.get_num_threads()
        1
    """
    threads = torch.get_num_threads()
    trained = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    small = not is_convolutional(network) and trained < SMALL_NETWORK
    torch.set_num_threads(1 if small else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
