import json
import time
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

import elr
from elr.data.records import ReadOptions
from elr.errors import ArtifactError, CheckpointError, OutputError
from elr.runs.run_folder import alone_in, contents, is_tuning, read_begun, remove_unfinished, something_else


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


def damaged(run, *path, value):
    """A copy of a run.json in which one value is another."""
    copy = json.loads(json.dumps(run))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    elr.fit((np.tile(np.eye(2), (20, 1)), np.tile([0, 1], 20)), out=out, config=elr.FitConfig(epochs=1, members=1))
    return json.loads((out / "run.json").read_text())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["config"], [[]]),
        (["augmentation"], ""),
        (["augmentation", "cutout"], {}),
        (["whiten"], 0),
        (["method", "refine_labels"], 0),
        (["training", "cuda_graphs"], ["x"] * 50),
        (["network", "hidden"], [[]]),
        (["preprocessing", "kind"], {"a": 1}),
        (["preprocessing", "class_names"], ["x"] * 50),
        (["data", "options", "label"], [None]),
        (["data", "num_examples"], 41),
        (["targets", "dtype"], []),
        (["targets", "top_k"], -1),
        (["data", "streamed"], 7),
        (["data", "reading", "classes"], [{"a": 1}]),
        (["data", "reading", "classes"], {}),
        (["data", "reading", "facts"], ""),
        (["data", "remarks"], None),
        (["status"], 0),
        (["versions"], 0),
        (["results", "num_classes"], "2"),
        (["results", "early_learning"], "<script>"),
        (["results", "noise_rate_interval"], [None, "x"]),
        (["results", "noise_rate_interval", 1], None),
        (["results", "noise_rate"], 2**40),
        (["results", "num_label_issues"], 41),
        (["results", "seconds"], float("nan")),
    ],
)
def test_a_run_json_that_no_run_wrote_is_refused_with_what_is_odd(finished, tmp_path, path, value):
    (tmp_path / "run.json").write_text(json.dumps(damaged(finished, *path, value=value)))
    with pytest.raises(ArtifactError, match=r"run\.json is damaged: .*(; choose another --out|not JSON)") as refused:
        read_begun(tmp_path)
    said = str(refused.value)
    assert any(word in said for each in path for word in str(each).split("_")) or "NaN is no number" in said


def test_a_run_json_is_read_as_it_was_written(finished, tmp_path):
    for run in (finished, damaged(finished, "status", value="running")):
        (tmp_path / "run.json").write_text(json.dumps(run))
        assert read_begun(tmp_path) == run


def test_only_the_options_that_differ_are_told_in_the_words_of_the_command(tmp_path):
    """Not what follows from them: the settings of all networks of an ensemble took three kilobytes."""
    data = tmp_path / "t.csv"
    data.write_text("x,k,y\n" + "".join(f"{row},{row % 7},{'ab'[row % 2]}\n" for row in range(80)))
    config = elr.FitConfig(epochs=1)
    plain = {"out": tmp_path / "run", "options": ReadOptions(label="y"), "config": config}
    elr.fit(data, **plain, command="elr fit t.csv --label y --epochs 1 --out run")
    for changes, told in (
        (
            {"config": elr.FitConfig(epochs=1, lam=7.0, align=False)},
            "--lam was not given, now 7.0; --align was on, now off",
        ),
        ({"config": elr.FitConfig(epochs=1, settings={"beta": 0.9})}, "--beta was not given, now 0.9"),
        ({"options": ReadOptions(label="y", ignore=("k",))}, "--ignore was not given, now k"),
        ({"test": data}, f"--test was not given, now {data}"),
    ):
        with pytest.raises(CheckpointError, match="holds a run of another configuration") as caught:
            elr.fit(data, **(plain | changes), resume=True)
        message = str(caught.value)
        assert f"of another configuration: {told}; repeat its own command (elr fit t.csv" in message
        assert len(message) < 600 + 4 * len(str(tmp_path))
