import time
from pathlib import Path
from threading import Thread

import pytest

from elr.errors import OutputError
from elr.runs.run_folder import alone_in, contents, is_tuning, remove_unfinished, something_else


def test_what_a_killed_run_had_not_finished_is_left_out(tmp_path):
    for name in ("run.json", ".model.safetensors.partial", "tuning.sqlite"):
        (tmp_path / name).write_text("")
    (tmp_path / "checkpoint.partial").mkdir()
    assert contents(tmp_path) == ["run.json", "tuning.sqlite"]
    assert contents(tmp_path / "absent") == []
    with pytest.raises(OutputError, match="is not a folder: choose another --out"):
        contents(tmp_path / "run.json")


def test_names_of_a_search_and_of_something_else():
    assert is_tuning("tuning.sqlite")
    assert not is_tuning("issues.csv")
    assert "(a, b, c)" in str(something_else(Path("x"), ["a", "b", "c", "d"]))


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoint.partial", "checkpoint-000001"])
def test_links_in_a_folder_of_a_run_are_refused_but_it_may_be_one_itself(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    assert contents(tmp_path / "link") == []
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=f"{name} is a link: expected files of a run; remove it"):
        contents(tmp_path / "run")


def test_what_was_left_by_a_run_killed_as_it_began_goes(tmp_path):
    for name in (f".{'0a' * 16}.partial", ".model.safetensors.partial", "run.json"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".model.safetensors.partial", "run.json"]


def test_a_folder_that_another_process_is_at_work_in_is_refused(tmp_path):
    said = r"another process is at work in .*: wait until it has ended, or choose"
    with alone_in(tmp_path), pytest.raises(OutputError, match=said), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass
    with pytest.raises(OutputError, match=r"cannot write .*gone: "), alone_in(tmp_path / "gone"):
        pass


def test_what_takes_a_moment_waits_for_it(tmp_path):
    order = []

    def second():
        with alone_in(tmp_path, wait=True):
            order.append("second")

    with alone_in(tmp_path):
        thread = Thread(target=second)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
