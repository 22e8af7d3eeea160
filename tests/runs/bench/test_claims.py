import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from elr.errors import ArgumentError
from elr.runs.bench.claims import Claims, this_process


def dead(folder, key="cell", generation=0, **owner):
    """A claim of a process that is gone."""
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    content = this_process() | {"pid": int(process.stdout), "started": 1.0} | owner
    (folder / f"{key}.{generation}").write_text(json.dumps(content))


def test_one_of_many_takes_a_cell(tmp_path):
    claims = [Claims(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = [each for each in pool.map(lambda own: own.take("cell"), claims) if each is not None]
    assert len(taken) == 1
    assert claims[0].holds(taken[0])
    assert [path.name for path in tmp_path.iterdir()] == ["cell.0"]
    claims[0].give_back(taken[0])
    assert claims[1].take("cell") is not None


def test_keys_that_begin_alike_are_different_cells(tmp_path):
    claims = Claims(tmp_path)
    assert claims.take("digits--symmetric-0.4--elr--1") is not None
    assert claims.take("digits--symmetric-0.4--elr--10") is not None
    assert claims.take("digits--symmetric-0.4--elr") is not None


def test_the_claim_of_a_dead_process_of_this_machine_is_taken_over_at_once_and_by_one(tmp_path):
    dead(tmp_path)
    claims = [Claims(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        taken = [each for each in pool.map(lambda own: own.take("cell"), claims) if each is not None]
    assert [each.generation for each in taken] == [1]


def test_the_claim_of_another_machine_is_taken_over_when_it_has_been_silent_for_long(tmp_path):
    claims = Claims(tmp_path, expiry=100)
    dead(tmp_path, machine="elsewhere", pid=os.getpid())
    assert claims.take("cell") is None
    long_ago = time.time() - 101
    os.utime(tmp_path / "cell.0", (long_ago, long_ago))
    taken = claims.take("cell")
    assert taken is not None
    assert taken.generation == 1
    assert claims.take("cell") is None
    claims.give_back(taken)
    assert list(tmp_path.iterdir()) == []


def test_signs_of_life_keep_a_claim_and_its_loss_is_noticed(tmp_path):
    claims = Claims(tmp_path, expiry=2)
    taken = claims.take("cell")
    long_ago = time.time() - 100
    os.utime(tmp_path / "cell.0", (long_ago, long_ago))
    with claims.alive(taken) as counts:
        time.sleep(0.7)
        assert (tmp_path / "cell.0").stat().st_mtime > long_ago + 50
        assert counts()
        (tmp_path / "cell.1").write_text("{}")
        assert not counts()


def test_a_process_that_may_not_be_looked_at_goes_by_its_signs_of_life(tmp_path, monkeypatch):
    def denied(pid):
        raise psutil.AccessDenied(pid)

    claims = Claims(tmp_path, expiry=100)
    dead(tmp_path)
    monkeypatch.setattr("elr.runs.bench.claims.psutil.Process", denied)
    assert not claims.is_dead(claims.current("cell"))
    os.utime(tmp_path / "cell.0", (1, 1))
    assert claims.is_dead(claims.current("cell"))


@pytest.mark.parametrize("content", ["", "[1]", "{half"])
def test_a_damaged_claim_expires(tmp_path, content):
    claims, file = Claims(tmp_path, expiry=10), tmp_path / "cell.0"
    file.write_text(content)
    assert claims.take("cell") is None
    os.utime(file, (1, 1))
    assert claims.take("cell").generation == 1


def test_a_short_expiry_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="expiry is 1 seconds: expected at least 2"):
        Claims(tmp_path, expiry=1)
