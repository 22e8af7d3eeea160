import json

import pytest

from elr.errors import ArgumentError, CheckpointError, OutputError
from elr.runs.bench.bench import BenchOptions, listed, run_bench
from elr.runs.bench.cell import DONE, read_result
from tiny_grids import KEYS, TINY, grid, written


def measures(out):
    return {path.stem: read_result(path).measures for path in sorted((out / "cells").glob("*.json"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    events = []
    outcome = run_bench(written(folder), out=folder / "out", on_event=events.append)
    return folder, outcome, events


def test_every_cell_leaves_a_file_with_all_that_it_was(finished):
    folder, outcome, events = finished
    assert outcome.is_well
    assert outcome.counts == {DONE: 8}
    assert [event.key for event in events if event.result] == KEYS  # seed after seed
    result = read_result(folder / "out" / "cells" / f"{KEYS[3]}.json")
    assert (result.cell.uses, result.cell.settings, result.plan["method"]["lam"]) == ("elr", {"lam": 7}, 7)
    assert result.threads >= 1
    assert result.seconds > 0
    assert result.versions["torch"]
    assert result.measures["noise_rate_realized"] == pytest.approx(0.4, abs=0.02)
    assert {"test_accuracy_last", "test_balanced_accuracy"} <= result.measures.keys()  # of one epoch there is no best
    assert (result.data["num_examples"], result.data["num_test"]) == (42, 18)
    assert not list((folder / "out" / "runs").iterdir())
    assert not list((folder / "out" / "claims").iterdir())


def test_noise_and_split_are_the_same_for_all_methods_of_a_seed(finished):
    folder, *_ = finished
    results = [read_result(folder / "out" / "cells" / f"{key}.json") for key in KEYS]
    prints = {}
    for result in results:
        prints.setdefault((result.cell.column, result.cell.seed), set()).add(result.data["sha256"])
    assert all(len(found) == 1 for found in prints.values())
    assert len(set.union(*prints.values())) == 4


def test_finished_cells_are_not_run_again(finished):
    folder, *_ = finished
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "out" / "cells").iterdir()}
    started = []
    outcome = run_bench(folder / "tiny.toml", out=folder / "out", on_start=lambda *counts: started.append(counts))
    assert started == [(8, 8)]
    assert outcome.counts == {DONE: 8}
    assert stamps == {path: path.stat().st_mtime_ns for path in (folder / "out" / "cells").iterdir()}


def test_several_processes_give_what_one_gives(finished, tmp_path):
    folder, *_ = finished
    run_bench(written(tmp_path), out=tmp_path / "out", options=BenchOptions(jobs=2, threads=2, only=["seed=1"]))
    found = measures(tmp_path / "out")
    assert found.keys() == set(KEYS[4:])
    alone = measures(folder / "out")
    assert found == {key: alone[key] for key in found}


def test_a_damaged_file_is_named_and_run_again_only_when_asked(tmp_path):
    path, out, options = written(tmp_path), tmp_path / "out", BenchOptions(only=["seed=0", "noise=none"])
    first = run_bench(path, out=out, options=options)
    file = out / "cells" / f"{KEYS[0]}.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    second = run_bench(path, out=out, options=options)
    assert second.counts == {DONE: 1, "damaged": 1}
    assert not second.is_well
    assert "it is not JSON" in second.problems[KEYS[0]]
    third = run_bench(path, out=out, options=BenchOptions(only=options.only, retry=True))
    assert third.counts == first.counts
    assert read_result(file).measures == json.loads(whole)["measures"]


def test_a_cell_that_fails_stops_no_other_and_is_tried_again_only_when_asked(tmp_path, monkeypatch):
    from elr.runs.bench import work

    path, out, options = written(tmp_path), tmp_path / "out", BenchOptions(only=["seed=0", "noise=none"])
    done = work._done

    def fails(cell, *arguments):
        if cell.method == "cross_entropy":
            raise RuntimeError("it burns")
        return done(cell, *arguments)

    monkeypatch.setattr(work, "_done", fails)
    outcome = run_bench(path, out=out, options=options)
    assert outcome.counts == {DONE: 1, "failed": 1}
    assert outcome.problems == {KEYS[0]: "RuntimeError: it burns"}
    monkeypatch.setattr(work, "_done", done)
    assert run_bench(path, out=out, options=options).counts == {DONE: 1, "failed": 1}
    assert run_bench(path, out=out, options=BenchOptions(only=options.only, retry=True)).counts == {DONE: 2}


def test_two_grids_in_one_folder_are_refused_and_added_cells_are_not(finished, tmp_path):
    folder, *_ = finished
    other = TINY.replace("lam = 7", "lam = 5")
    with pytest.raises(CheckpointError, match=r"of another grid: .*lam was 7, now 5"):
        run_bench(grid(folder, other), out=folder / "out")
    with pytest.raises(CheckpointError, match="4 cells that this grid has not"):
        run_bench(grid(folder, TINY.replace("seed = [0, 1]", "seed = 0")), out=folder / "out")
    more = TINY.replace("seed = [0, 1]", "seed = [0, 1, 2]")
    outcome = run_bench(grid(folder, more), out=folder / "out", options=BenchOptions(only=["noise=none"]))
    assert outcome.counts == {DONE: 6}
    assert "2]" in (folder / "out" / "grid.toml").read_text()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(OutputError, match="holds something else"):
        run_bench(grid(folder), out=tmp_path / "photos")


IMPOSSIBLE = {
    'noise = "symetric-0.4"': "did you mean symmetric",
    'noise = "symmetric-40"': "the rate 40.0: expected one in",
    'noise = "symmetric"': "no rate",
    'noise = "next-class-0.2"': "have no known order",
    'noise = "human-worse_label"': "there are no human labels of few",
    'noise = "asymmetric-cifar10-0.4"': "goes by the classes of cifar10",
    'method = "elr-plus"': "did you mean elr_plus",
    'method = "weak"': "no setting 'lamm'",
    'method = "wide"': "network 'resnet18' takes images",
    'method = "out"': "epochs is 0",
    'method = "retold"': "no recipe is of the pattern",
    'data = "many"': "many.csv",
    'data = "gone"': "no such file",
    'data = "cifar10"': "--data cifar10=PATH",
}
ODD = """
[methods.weak]
method = "elr"
lamm = 7
[methods.wide]
method = "elr"
network = "resnet18"
[methods.out]
method = "elr"
epochs = 0
[methods.retold]
method = "elr"
recipe = "cifar10-*-elr"
[data.gone]
path = "gone.csv"
[data.many]
path = "few.csv"
label = "kind"
test = "many.csv"
"""


@pytest.mark.parametrize("line", IMPOSSIBLE)
def test_a_grid_with_an_impossible_cell_is_refused_whole(tmp_path, line):
    part = {"data": '"few"', "method": '"cross_entropy"', "noise": '"symmetric-0.2"'}
    part |= dict([line.split(" = ")])
    cell = "\n".join(f"{name} = {value}" for name, value in part.items())
    with pytest.raises(ArgumentError) as caught:
        run_bench(grid(tmp_path, f"{TINY}\n{ODD}\n[[cells]]\n{cell}\n"), out=tmp_path / "out")
    words = str(caught.value)
    assert IMPOSSIBLE[line] in words
    assert "1 of 9 cells are impossible, and none was run" in words
    assert part["data"].strip('"') in words.splitlines()[-1]
    assert not list((tmp_path / "out").glob("*"))  # so that the folder takes the mended grid


def test_a_method_without_what_it_needs_is_refused_and_given_it_where_it_is_known(tmp_path, monkeypatch):
    from elr.methods.catalog import METHODS
    from elr.methods.config import NOISE_RATE

    monkeypatch.setattr(METHODS["kl_penalty"], "needs", {"lam": NOISE_RATE})
    text = TINY.replace('"strong"]', '"kl_penalty"]')
    with pytest.raises(
        ArgumentError, match=r"'kl_penalty' needs lam \(the share of wrong labels\), and the noise of few"
    ):
        run_bench(grid(tmp_path, text), out=tmp_path / "out")
    options = BenchOptions(only=["noise=symmetric-0.4", "seed=0", "method=kl_penalty"])
    assert run_bench(grid(tmp_path, text), out=tmp_path / "out", options=options).is_well
    result = read_result(tmp_path / "out" / "cells" / "few--symmetric-0.4--kl_penalty--0.json")
    assert result.filled == {"lam": "noise_rate"}
    assert result.plan["method"]["lam"] == result.measures["noise_rate_realized"] > 0.3


def test_cells_are_listed_and_places_of_other_data_refused(tmp_path):
    found = listed(grid(tmp_path), BenchOptions(only=["seed=1"], skip=["method=strong", "noise=none"]))
    assert found == [{"data": "few", "noise": "symmetric-0.4", "method": "cross_entropy", "seed": "1"}]
    with pytest.raises(ArgumentError, match="no cell of the grid has noise 'pair"):
        listed(grid(tmp_path), BenchOptions(skip=["noise=pair*"]))
    with pytest.raises(ArgumentError, match="expected PART=PATTERN"):
        listed(grid(tmp_path), BenchOptions(only=["rate=0.4"]))
    with pytest.raises(ArgumentError, match="a place is given for data 'pets'"):
        listed(grid(tmp_path), BenchOptions(places={"pets": tmp_path}))


def test_under_torchrun_a_bench_is_refused_before_anything_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr("elr.runs.bench.bench.number_of_processes", lambda: 2)
    with pytest.raises(ArgumentError, match=r"leave torchrun out; --jobs"):
        run_bench("digits", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
