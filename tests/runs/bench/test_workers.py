import json
import os
import signal
import subprocess
import sys
import time
from itertools import count

import pytest

from elr.runs.bench.bench import run_bench
from elr.runs.bench.cell import DONE, FAILED, read_result
from elr.runs.bench.claims import Claims
from elr.runs.bench.workers import LeftAlone, Work, _check_parent, died
from tiny_grids import TINY, grid, written

LONG = TINY.replace("epochs = 1,", "epochs = 40, batch_size = 4,").replace("seed = [0, 1]", "seed = 0")
RUN = """
import sys
from elr.runs.bench.bench import run_bench
ran = []
run_bench(sys.argv[1], out=sys.argv[2], on_event=lambda event: event.result and ran.append(event.key))
print("\\n".join(ran))
"""


def start(path, out):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, str(path), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(condition, seconds=120):
    for _ in range(seconds * 50):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("it did not come to that")


def test_a_killed_bench_goes_on_where_it_was_to_the_same_results(tmp_path):
    path, out = written(tmp_path, LONG), tmp_path / "out"
    process = start(path, out)
    wait_for(lambda: list((out / "cells").glob("*.json")) and list((out / "runs").glob("*/checkpoint*")))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    finished = {each.name: each.stat().st_mtime_ns for each in (out / "cells").glob("*.json")}
    assert 1 <= len(finished) < 4
    assert list((out / "claims").iterdir())  # it could not give back what it had
    outcome = run_bench(path, out=out)
    assert outcome.counts == {DONE: 4}
    assert {name: (out / "cells" / name).stat().st_mtime_ns for name in finished} == finished
    assert not list((out / "claims").iterdir())
    assert not list((out / "runs").iterdir())
    run_bench(path, out=tmp_path / "whole")
    for file in (out / "cells").iterdir():
        assert read_result(file).measures == read_result(tmp_path / "whole" / "cells" / file.name).measures


def test_two_processes_that_share_a_folder_run_no_cell_twice(tmp_path):
    path, out = written(tmp_path, LONG), tmp_path / "out"
    both = [start(path, out) for _ in range(2)]
    ran = [each.communicate(timeout=300)[0].split() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert sorted(ran[0] + ran[1]) == sorted(each.stem for each in (out / "cells").iterdir())
    assert len(ran[0] + ran[1]) == 4


def test_a_cell_that_another_process_has_is_waited_for(tmp_path):
    cells, out = grid(tmp_path).cells[:1], tmp_path / "out"
    claims = Claims(out / "claims")
    claim = claims.take(cells[0].key)
    work, waited = Work(path=out, cells=cells, poll=0.01), count()

    def sleep(seconds):
        if next(waited) == 3:
            claims.give_back(claim)

    told = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elr.runs.bench.workers.time.sleep", sleep)
        patch.setattr("elr.runs.bench.work.Places.source", lambda self, cell: 1 / 0)
        work.do(told.append)
    assert next(waited) >= 4
    assert [event.result.error for event in told] == ["ZeroDivisionError: division by zero"]


def test_a_cell_that_was_taken_over_leaves_no_result(tmp_path):
    cells, out = grid(tmp_path).cells[:1], tmp_path / "out"
    taken = []

    def slow(self, cell):
        if not taken:
            taken.append(cell)
            (out / "claims" / f"{cell.key}.1").write_text("{}")  # of a machine that thinks this one is dead
            raise RuntimeError("too late")
        raise AssertionError("it is run by another")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elr.runs.bench.work.Places.source", slow)
        patch.setattr("elr.runs.bench.workers.time.sleep", lambda seconds: os.utime(out / "claims", None) or 1 / 0)
        with pytest.raises(ZeroDivisionError):  # it waits for the other
            Work(path=out, cells=cells).do(lambda event: None)
    assert not (out / "cells").exists()
    assert [path.name for path in (out / "claims").iterdir()] == [f"{cells[0].key}.1"]


def test_a_worker_that_was_killed_leaves_a_failure(tmp_path):
    cells, out = grid(tmp_path).cells[:2], tmp_path / "out"
    claim = f"from elr.runs.bench.claims import Claims; import os, pathlib; \
Claims(pathlib.Path({str(out / 'claims')!r})).take({cells[1].key!r}); print(os.getpid())"
    pid = int(subprocess.run([sys.executable, "-c", claim], capture_output=True, text=True, check=True).stdout)
    result = died(Work(path=out, cells=cells), pid, -9)
    assert (result.cell.key, result.status) == (cells[1].key, FAILED)
    assert (
        "ended by signal 9: was there too little memory?" in read_result(out / "cells" / f"{cells[1].key}.json").error
    )
    assert not list((out / "claims").iterdir())


def test_a_process_of_the_same_number_on_another_machine_is_another_one(tmp_path):
    cells, out = grid(tmp_path).cells[:1], tmp_path / "out"
    (out / "claims").mkdir(parents=True)
    claim = out / "claims" / f"{cells[0].key}.0"
    claim.write_text(json.dumps({"machine": "elsewhere", "host": "elsewhere", "pid": 77, "started": 1.0}))
    os.utime(claim, (1, 1))  # silent for long, and so to be taken over
    assert died(Work(path=out, cells=cells), 77, -9) is None
    assert not (out / "cells").exists()


def test_a_worker_ends_when_nobody_waits_for_it(monkeypatch):
    class Gone:
        def is_alive(self):
            return False

    _check_parent()
    monkeypatch.setattr("elr.runs.bench.workers.multiprocessing.parent_process", Gone)
    with pytest.raises(LeftAlone):
        _check_parent()


def test_an_interruption_just_after_a_cell_was_taken_leaves_no_claim(tmp_path, monkeypatch):
    def take(self, key):
        taken.append(made(self, key))
        raise KeyboardInterrupt

    taken, made = [], Claims.take
    monkeypatch.setattr(Claims, "take", take)
    with pytest.raises(KeyboardInterrupt):
        Work(path=tmp_path / "out", cells=grid(tmp_path).cells[:1]).do(lambda event: None)
    assert taken[0] is not None
    assert list((tmp_path / "out" / "claims").iterdir()) == []


def test_what_killed_processes_left_of_cells_that_are_done_goes(tmp_path):
    path, out = written(tmp_path, TINY), tmp_path / "out"
    run_bench(path, out=out)
    done, other = sorted(each.stem for each in (out / "cells").glob("*.json"))[:2]
    code = f"from pathlib import Path; from elr.runs.bench.claims import Claims; Claims(Path({str(out / 'claims')!r}))"
    subprocess.run([sys.executable, "-c", f"{code}.take({done!r})"], check=True)
    (out / "runs" / done / "checkpoint.partial").mkdir(parents=True)
    mine = Claims(out / "claims").take(other)
    run_bench(path, out=out)
    assert [each.name for each in (out / "claims").iterdir()] == [mine.name]
    assert not (out / "runs" / done).exists()
