import mmap

import pytest

from elr.runs.bench import memory
from elr.runs.bench.memory import PeakMemory


def test_a_peak_is_seen_after_it_is_over_and_not_by_the_next():
    peak = PeakMemory()
    before = peak.bytes()
    if before is None:
        pytest.skip("this system does not say")
    with mmap.mmap(-1, 200_000_000) as block:  # the system has it back at once, whatever the allocator keeps
        for _ in range(200):
            block.write(bytes(1_000_000))
    assert peak.bytes() > before + 150_000_000
    assert PeakMemory().bytes() < before + 100_000_000


def test_what_is_not_known_is_not_said(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_REFERENCES", tmp_path / "none" / "clear_refs")
    assert PeakMemory().bytes() is None
