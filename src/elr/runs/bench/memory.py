"""How much memory a stretch of work needed, where the system says it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

_REFERENCES, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
_PEAK = "5"  # what resets the peak, see proc(5)


class PeakMemory:
    """The most memory that this process holds from the making of this on.

    Linux says it, where a process may reset the peak that it keeps; other systems only know the peak of the whole
    process, which says nothing of a single cell.

    Example:
        >>> peak = PeakMemory()
        >>> found = peak.bytes()
        >>> found is None or found > 10_000_000
        True
    """

    def __init__(self) -> None:
        self._known = False
        with suppress(OSError):
            _REFERENCES.write_text(_PEAK)
            self._known = True
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()

    def bytes(self) -> int | None:
        """In memory of the host; None where the system does not say."""
        if not self._known:
            return None
        with suppress(OSError, ValueError, IndexError):
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None

    def device_bytes(self) -> int | None:
        """In memory of the first GPU, by torch; None where there is none."""
        return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else None
