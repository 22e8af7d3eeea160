import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from elr.errors import OutputError
from elr.runs.bench.crew import _environment, _interrupts_later, _threads, run_crew
from elr.runs.bench.work import Places
from elr.runs.bench.workers import Work
from tiny_grids import grid


def test_threads_are_set_and_set_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = torch.get_num_threads()
    with _threads(before + 1), _environment(3):
        assert torch.get_num_threads() == before + 1
        assert os.environ["OMP_NUM_THREADS"] == "3"
    assert torch.get_num_threads() == before
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_what_a_worker_cannot_write_ends_the_command(tmp_path):
    cells = grid(tmp_path).cells[:2]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cells").write_text("no folder")
    work = Work(path=tmp_path / "out", cells=cells, places=Places(root=tmp_path), threads=1)
    with pytest.raises(OutputError, match="cannot write"):
        run_crew(work, jobs=2, tell=lambda event: None)
    assert threading.active_count() >= 1
    assert not list((tmp_path / "out" / "claims").iterdir())


def test_no_cells_need_no_workers(tmp_path):
    told = []
    run_crew(Work(path=tmp_path, cells=[]), jobs=2, tell=told.append)
    assert told == []


def test_a_worker_that_is_being_started_hears_of_an_interrupt_later():
    """While it imports it would print a traceback."""
    asked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with _interrupts_later():
        said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "True"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
