"""Whether this installation works: versions, devices, optional packages, and a training of a second.

Nothing is imported before it is asked for, and what fails to import is told, not raised: the page is for installations
that are broken.
"""

from __future__ import annotations

import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

_OPTIONAL = re.compile(r"""^([\w.-]+).*;.*\bextra\s*==\s*["']([\w-]+)["']""")
_REQUIRED = re.compile(r"^([\w.-]+)[^;]*$")
_DEVELOPING = "dev"  # the extra for work on elr itself
_LONGEST = 120.0  # seconds that a package may take to import
_GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Package:
    """An optional package.

    Args:
        name: as package indexes have it.
        extras: those of elr that bring it.
        version: None where it is not installed.
        problem: why it cannot be imported; "" if it can, or was not tried.

    Example:
        >>> Package(name="optuna", extras=("tune",)).line()
        'optuna  not installed: the extra tune brings it'
    """

    name: str
    extras: tuple[str, ...]
    version: str | None = None
    problem: str = ""

    def line(self, width: int = 0) -> str:
        """For people."""
        shown = f"{self.name:<{width}}  "
        extras = f"the extra {' or '.join(self.extras)} brings it"
        if self.version is None:
            return f"{shown}not installed: {extras}"
        return f"{shown}{self.version}{f'  BROKEN: {self.problem}' if self.problem else f' ({extras})'}"


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """A tiny training on one device.

    Args:
        device: where.
        problem: what went wrong; "" if all went well.
        seconds: it took.

    Example:
        >>> SelfTest(device="cpu", seconds=0.25).line()
        'cpu: ok, in 0.2 s: the loss falls, and the wrong label that was planted is found'
    """

    device: str
    problem: str = ""
    seconds: float = 0.0

    def line(self) -> str:
        """For people."""
        if self.problem:
            return f"{self.device}: FAILED: {self.problem}"
        return (
            f"{self.device}: ok, in {self.seconds:.1f} s: the loss falls, and the wrong label that was planted is found"
        )


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found of an installation.

    Args:
        versions: by name, of elr and what it stands on, Python and the system among them.
        devices: in words, by name.
        packages: the optional ones.
        places: where what is downloaded is kept, by name.
        tests: a tiny training on each device.
        problems: what keeps elr from working.

    Example:
        >>> Diagnosis(versions={"elr": "0.1.0"}, tests=[SelfTest(device="cpu", problem="no torch")]).is_well
        False
    """

    versions: dict[str, str]
    devices: dict[str, str] = field(default_factory=dict)
    packages: Sequence[Package] = ()
    places: dict[str, str] = field(default_factory=dict)
    tests: Sequence[SelfTest] = ()
    problems: Sequence[str] = ()

    @property
    def is_well(self) -> bool:
        """Whether elr works here; optional packages may lack, those that were tried may not be broken."""
        return not self.problems and not any(each.problem for each in (*self.tests, *self.packages))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"ok": self.is_well} | asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        width = max([len(each.name) for each in self.packages], default=0)
        parts = {
            "Versions": [f"{name} {version}" for name, version in self.versions.items()],
            "Devices": [f"{name}: {said}" for name, said in self.devices.items()],
            "Optional packages": [each.line(width) for each in self.packages],
            "Where things are kept": [f"{name}: {place}" for name, place in self.places.items()],
            "Self-test": [each.line() for each in self.tests],
            "Problems": list(self.problems),
        }
        return [line for title, found in parts.items() if found for line in (title, *(f"  {each}" for each in found))]


def diagnose(*, try_imports: bool = False) -> Diagnosis:
    """Look at the installation.

    Args:
        try_imports: import every optional package as well, each in a process of its own; takes seconds each.

    Example:
        >>> found = diagnose()
        >>> found.versions["Python"] == platform.python_version(), [test.device for test in found.tests][0]
        (True, 'cpu')
    """
    required, optional = _requirements()
    versions, problems = {"elr": _version("elr") or "run from its source, not installed"}, []
    versions |= {"Python": platform.python_version(), "system": platform.platform()}
    for name in required:
        version = _version(name)
        if version is None:
            problems.append(f"{name} is not installed: elr needs it; install elr again (pip install elr brings it)")
        elif name in ("torch", "numpy"):
            versions[name] = version
    return Diagnosis(
        versions=versions,
        devices=_devices(),
        packages=[_package(name, extras, try_imports) for name, extras in optional.items()],
        places=_places(),
        tests=[self_test(device) for device in ("cpu", *_accelerators())],
        problems=problems,
    )


def self_test(device: str = "cpu") -> SelfTest:
    """Train a tiny network with ELR on one device: the loss has to fall, a label planted wrong to be found.

    Args:
        device: as PyTorch calls it.

    Example:
        >>> self_test("cpu").problem
        ''
        >>> self_test("nowhere").problem[:12]
        'RuntimeError'
    """
    begun = time.perf_counter()
    try:
        for module in ("elr.audit.label_quality", "elr.methods.loss.elr_loss"):
            import_module(module)
        begun = time.perf_counter()  # loading PyTorch is no training
        problem = _train(device)
    except Exception as error:  # whatever it is, it is what this page is to say
        problem = _said(error)
    return SelfTest(device=device, problem=problem, seconds=time.perf_counter() - begun)


def _train(device: str) -> str:
    """What does not go as it should; "" if all does."""
    import numpy as np
    import torch

    from elr.audit.label_quality import audit_labels
    from elr.methods.loss.elr_loss import ELRLoss

    planted, classes, count = 7, 3, 60
    clean = np.arange(count) % classes
    inputs = np.eye(classes)[clean] + 0.1 * np.random.default_rng(0).normal(size=(count, classes))
    given = np.where(np.arange(count) == planted, (clean + 1) % classes, clean)
    x, labels = torch.tensor(inputs, dtype=torch.float32, device=device), torch.tensor(given, device=device)
    weights = torch.zeros(classes, classes, device=device, requires_grad=True)
    loss = ELRLoss(count, classes).to(device)
    losses = []
    for _ in range(30):
        value = loss(x @ weights, labels, torch.arange(count))
        (gradient,) = torch.autograd.grad(value, [weights])
        with torch.no_grad():
            weights -= 2.0 * gradient
        losses.append(float(value.detach()))
    if not all(map(math.isfinite, losses)) or losses[-1] > losses[0] - 0.1:
        return f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}: expected it to fall"
    targets = loss.targets.read(torch.arange(count)).double().cpu()
    found = audit_labels(given, (targets / targets.sum(dim=1, keepdim=True)).numpy())
    if found.ranking[0] != planted or not found.is_label_issue[planted]:
        return f"row {found.ranking[0]} is the most suspect: expected row {planted}, whose label is wrong"
    return ""


def _requirements() -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """What elr needs, and each optional package with the extras that bring it."""
    try:
        lines = metadata.requires("elr") or []
    except metadata.PackageNotFoundError:
        return ["torch", "numpy"], {}
    optional: dict[str, tuple[str, ...]] = {}
    for name, extra in (found.groups() for line in lines if (found := _OPTIONAL.match(line))):
        if extra != _DEVELOPING:
            optional[name] = (*optional.get(name, ()), extra)
    return [found[1] for line in lines if (found := _REQUIRED.match(line))], optional


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str, extras: tuple[str, ...], try_import: bool) -> Package:
    version = _version(name)
    problem = _import_problem(name) if try_import and version is not None else ""
    return Package(name=name, extras=extras, version=version, problem=problem)


def _import_problem(name: str) -> str:
    """Why a package cannot be imported; in a process of its own, which it may take down."""
    modules = [module for module, names in metadata.packages_distributions().items() if name in names]
    modules = sorted((each for each in modules if not each.startswith("_")), key=lambda each: (len(each), each))
    if not modules:
        return ""
    command = [sys.executable, "-c", f"import {modules[0]}"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST, errors="replace", check=False)
    except subprocess.TimeoutExpired:
        return f"import {modules[0]} takes more than {_LONGEST:.0f} s"
    said = ended.stderr.strip().splitlines()
    return "" if ended.returncode == 0 else said[-1] if said else f"import {modules[0]} ends with {ended.returncode}"


def _devices() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = {"processor": f"{cores} cores ({platform.machine()}), {_told(_threads)}", "memory": _told(_memory)}
    for name in ("cuda", "mps"):
        found[name] = _told(_CARDS[name])
    return found


def _told(look: Callable[[], str]) -> str:
    """What a look gives, or how it failed."""
    try:
        return look()
    except Exception as error:  # whatever it is, it is what this page is to say
        return f"FAILED: {_said(error)}"


def _threads() -> str:
    import torch

    threads = torch.get_num_threads()
    return f"PyTorch takes {threads} thread{'s' * (threads != 1)}"


def _memory() -> str:
    import psutil

    from elr.devices import free_memory

    return f"{free_memory() / _GIB:.1f} of {psutil.virtual_memory().total / _GIB:.1f} GiB free"


def _cuda() -> str:
    import torch

    built = torch.version.cuda or torch.version.hip
    if built is None:
        return "none: this PyTorch is built for processors alone"
    if not torch.cuda.is_available():
        return f"none: PyTorch is built for {built}, and finds no GPU, or no driver for one"
    cards = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        cards.append(f"{torch.cuda.get_device_name(number)}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free")
    return f"{'; '.join(cards)} (PyTorch is built for {built})"


def _mps() -> str:
    import torch

    return "there" if torch.backends.mps.is_available() else "none"


_CARDS = {"cuda": _cuda, "mps": _mps}


def _accelerators() -> list[str]:
    """The device beside the processor that elr would train on, as PyTorch calls it, if there is one."""
    try:
        from elr.devices import default_device

        device = default_device().type
    except Exception:  # told by the devices and by the test on the processor
        return []
    return [] if device == "cpu" else [device]


def _places() -> dict[str, str]:
    """Where libraries keep what they download for elr; elr has no file of settings."""

    def torch_hub() -> str:
        return import_module("torch.hub").get_dir()

    def hugging_face() -> str:
        return import_module("huggingface_hub.constants").HF_HUB_CACHE

    found = {"weights of torchvision": _told(torch_hub)}
    if _version("huggingface_hub") is not None:
        found["models of the Hugging Face hub"] = _told(hugging_face)
    return {
        "settings": "none: elr has no file of settings",
        **{
            name: place if not Path(place).is_absolute() or Path(place).exists() else f"{place} (nothing there yet)"
            for name, place in found.items()
        },
    }


def _said(error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
