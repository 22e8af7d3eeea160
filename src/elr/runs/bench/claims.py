"""Who runs which cell: claims in a folder that several processes and machines share."""

from __future__ import annotations

import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from elr.errors import ArgumentError
from elr.files import writing

EXPIRY = 300.0
"""Seconds without a sign of life after which a claim of another machine may be taken over, by default."""
LEAST_EXPIRY = 2.0
_BEATS = 5  # signs of life in the time in which a claim expires


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim of a cell, in a file KEY.GENERATION.

    The first owner makes generation 0. Whoever takes over makes the file of the next generation, which the file system
    lets only one of several takers do; the owner of the highest generation is the one that counts, and an owner that
    only seemed dead finds that it is no longer the one.

    Args:
        key: of the cell.
        generation: how often it has been taken over.
        owner: the process: host, machine, pid, started, token.

    Example:
        >>> Claim(key="digits_none_elr_0", generation=0, owner=this_process()).owner["pid"] == os.getpid()
        True
    """

    key: str
    generation: int
    owner: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.key}.{self.generation}"

    @property
    def holder(self) -> str:
        """Who holds it, for people."""
        return f"process {self.owner.get('pid')} on {self.owner.get('host')}"


def this_process() -> dict[str, Any]:
    """What a claim says of its owner.

    `machine` is what process numbers are unique in: the host since it was started, and the container.

    Example:
        >>> sorted(this_process())
        ['host', 'machine', 'pid', 'started', 'token']
    """
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
        "token": uuid.uuid4().hex,
    }


def _machine() -> str:
    parts = [socket.gethostname(), f"{psutil.boot_time():.0f}"]
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


class Claims:
    """The claims in a folder.

    Args:
        folder: made where it is not there.
        expiry: seconds without a sign of life after which a claim of another machine is taken over; signs of life
            come five times as often. Claims of this machine are taken over as soon as their process is gone.

    Raises:
        ArgumentError: an expiry below two seconds.
        OutputError: the folder cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     claims = Claims(Path(folder))
        ...     mine = claims.take("cell")
        ...     mine.generation, claims.take("cell") is None, claims.current("cell").holder == mine.holder
        (0, True, True)
    """

    def __init__(self, folder: Path, *, expiry: float = EXPIRY) -> None:
        if not expiry >= LEAST_EXPIRY:
            raise ArgumentError(f"expiry is {expiry:g} seconds: expected at least {LEAST_EXPIRY:g}")
        self.folder, self.expiry = folder, expiry
        self._tokens: set[str] = set()  # of the claims made here, noted before they are made
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def take(self, key: str) -> Claim | None:
        """Claim a cell; None where a living process has it."""
        last = self.current(key)
        if last is None:
            return self._make(key, 0)
        return self._make(key, last.generation + 1) if self.is_dead(last) else None

    def current(self, key: str) -> Claim | None:
        """The claim that counts, if there is one."""
        numbers = [self._generation(path, key) for path in self.folder.glob(f"{_escaped(key)}.*")]
        known = [number for number in numbers if number is not None]
        if not known:
            return None
        return Claim(key=key, generation=max(known), owner=self._owner(key, max(known)))

    def is_dead(self, claim: Claim) -> bool:
        """Whether the owner of a claim is gone: its process, on this machine; else its signs of life."""
        owner = claim.owner
        if owner.get("machine") == _machine():
            try:
                process = psutil.Process(int(owner["pid"]))
                alive = abs(process.create_time() - float(owner["started"])) < 1.0
                return not alive or process.status() == psutil.STATUS_ZOMBIE
            except psutil.NoSuchProcess:
                return True
            except psutil.AccessDenied:  # of another user: its signs of life tell
                pass
        try:
            silent = self._now() - (self.folder / claim.name).stat().st_mtime
        except FileNotFoundError:
            return False  # given back in this moment
        return silent > self.expiry

    def is_of(self, claim: Claim, pid: int) -> bool:
        """Whether a process of this machine made it; other machines have processes of the same number."""
        return claim.owner.get("pid") == pid and claim.owner.get("machine") == _machine()

    def holds(self, claim: Claim) -> bool:
        """Whether a claim still counts: nobody has taken it over."""
        last = self.current(claim.key)
        return last is not None and last.generation == claim.generation and last.owner == claim.owner

    def give_back(self, claim: Claim) -> None:
        """Remove a claim and those that came before it, the highest last, so that none of them counts again."""
        for generation in range(claim.generation + 1):
            with suppress(OSError):
                (self.folder / f"{claim.key}.{generation}").unlink(missing_ok=True)

    def give_back_all(self) -> None:
        """Remove every claim made by this object, also one that was being made as the process was interrupted."""
        for path in self.folder.iterdir():
            key, _, number = path.name.rpartition(".")
            if number.isdecimal() and (owner := self._owner(key, int(number))).get("token") in self._tokens:
                self.give_back(Claim(key=key, generation=int(number), owner=owner))

    @contextmanager
    def alive(self, claim: Claim) -> Iterator[Callable[[], bool]]:
        """Give signs of life for a claim; gives what says whether it still counts."""
        stop, lost = threading.Event(), threading.Event()

        def beat() -> None:
            while not stop.wait(self.expiry / _BEATS):
                with suppress(OSError):
                    if not self.holds(claim):
                        lost.set()
                    os.utime(self.folder / claim.name)

        thread = threading.Thread(target=beat, name=f"signs of life of {claim.name}", daemon=True)
        thread.start()
        try:
            yield lambda: not lost.is_set() and self.holds(claim)
        finally:
            stop.set()
            thread.join()

    def _make(self, key: str, generation: int) -> Claim | None:
        """The claim, if this process is the first to make it: its content is there as soon as its name is."""
        claim = Claim(key=key, generation=generation, owner=this_process())
        self._tokens.add(claim.owner["token"])
        path = self.folder / claim.name
        partial = self.folder / f".{claim.owner['token']}.partial"
        with writing(path):
            try:
                with partial.open("x", encoding="utf-8") as handle:
                    json.dump(claim.owner, handle)
                os.link(partial, path)
            except FileExistsError:
                return None
            except OSError:  # a file system without links
                return self._made_without_links(claim)
            finally:
                partial.unlink(missing_ok=True)
        return claim

    def _made_without_links(self, claim: Claim) -> Claim | None:
        try:
            with (self.folder / claim.name).open("x", encoding="utf-8") as handle:
                json.dump(claim.owner, handle)
        except FileExistsError:
            return None
        return claim

    def _owner(self, key: str, generation: int) -> dict[str, Any]:
        """What the file says; nothing where it is not written yet or damaged: such a claim expires."""
        try:
            content = json.loads((self.folder / f"{key}.{generation}").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _generation(self, path: Path, key: str) -> int | None:
        number = path.name.removeprefix(f"{key}.")
        return int(number) if number.isdecimal() else None

    def _now(self) -> float:
        """The time by the clock of the file system, which stamps the signs of life of all machines."""
        probe = self.folder / f".{uuid.uuid4().hex}.partial"
        with writing(probe):
            try:
                probe.touch()
                return probe.stat().st_mtime
            finally:
                probe.unlink(missing_ok=True)


def _escaped(key: str) -> str:
    import glob

    return glob.escape(key)
