import errno
import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from elr import files
from elr.errors import ArtifactError, OutputError
from elr.names import plain_name, printable


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def fail(partial):
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot write .*file\.txt: the disk is full; make room"):
        files.write_file(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("said", ["basic_ios::clear: iostream error", "[enforce fail] . unexpected pos 640 vs 598"])
def test_what_torch_could_not_write_is_told_by_the_room_that_is_left(tmp_path, monkeypatch, said):
    def fail(_):
        raise RuntimeError(said)

    with pytest.raises(OutputError, match=rf"cannot write .*a\.pt: {re.escape(said)}; make room"):
        files.write_file(tmp_path / "a.pt", fail)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0))
    with pytest.raises(OutputError, match=r"cannot write .*a\.pt: the disk is full; make room"):
        files.write_file(tmp_path / "a.pt", fail)


def test_no_folder_no_file(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        files.write_text(tmp_path / "absent" / "file.txt", "text")


def test_json_has_no_nan(tmp_path):
    content = {"a": float("nan"), "b": [1.0, math.inf], "c": {"d": "ü"}}
    files.write_json(tmp_path / "x.json", content)
    assert files.read_json(tmp_path / "x.json") == {"a": None, "b": [1.0, None], "c": {"d": "ü"}}


def test_tensors_and_their_damage(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {"a": torch.arange(6).view(2, 3).T, "b": torch.ones(2, dtype=torch.bfloat16)}
    files.write_tensors(path, tensors)
    again = files.read_tensors(path)
    assert torch.equal(again["a"], tensors["a"])
    assert torch.equal(again["b"], tensors["b"])
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ArtifactError, match="incomplete or damaged"):
        files.read_tensors(path)


def test_new_files_have_the_mode_that_the_umask_says(tmp_path):
    files.write_tensors(tmp_path / "t.safetensors", {"a": torch.ones(1)})
    (tmp_path / "plain").write_text("x")
    assert (tmp_path / "t.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(ArtifactError, match="not a folder"):
        files.read_run(tmp_path / "absent")
    with pytest.raises(ArtifactError, match="expected the folder of a run"):
        files.read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        files.read_run(tmp_path)
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="expected a JSON object, found list"):
        files.read_run(tmp_path)
    files.write_json(tmp_path / "run.json", {"status": "running", "command": "elr fit x"})
    with pytest.raises(ArtifactError, match=r"not complete: finish it with --resume; its command was: elr fit x"):
        files.read_run(tmp_path)


def test_differences_name_what_is_new_and_what_is_gone():
    assert files.differences({"a": 1, "b": 2}, {"a": 1, "c": None, "d": [3]}) == [
        "b was 2, now None",
        "d was None, now [3]",
    ]
    assert files.differences({}, {}, of="data") == []


def test_a_new_file_is_one_of_a_known_kind_that_is_not_there(tmp_path):
    files.check_new(tmp_path / "a.CSV", ".csv", ".parquet")
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(OutputError, match=r"a\.csv exists already: choose another --out, or remove it"):
        files.check_new(tmp_path / "a.csv", ".csv", instead="--out")
    with pytest.raises(OutputError, match=r"ends in '\.txt': expected \.csv or \.parquet"):
        files.check_new(tmp_path / "a.txt", ".csv", ".parquet")


def test_of_many_that_write_first_one_does(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: files.write_first(tmp_path / "a.json", {"by": number}), range(8)))
    assert sum(won) == 1
    assert files.read_json(tmp_path / "a.json") == {"by": won.index(True)}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_taken_once(tmp_path):
    (tmp_path / "pets").symlink_to(tmp_path / "nowhere")  # a name that is taken as well
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: files.take_folder(tmp_path / "pets").name, range(8)))
    assert sorted(found) == [f"pets-{number}" for number in range(2, 10)]


def test_where_no_folder_can_be_made_it_is_said(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*pets: "):
        files.take_folder(tmp_path / "absent" / "pets")


def test_what_a_link_leads_to_is_not_written(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for name in ("report.html", ".report.html.partial"):
        (tmp_path / name).symlink_to("mine")
    files.write_text(tmp_path / "report.html", "page")
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "report.html").read_text() == "page"
    assert not (tmp_path / "report.html").is_symlink()


@pytest.mark.parametrize("source", ["3", "null", "[]", '{"a": 1}'])
def test_a_run_that_does_not_say_where_its_data_were(tmp_path, source):
    (tmp_path / "run.json").write_text(f'{{"status": "complete", "data": {{"source": {source}}}}}')
    with pytest.raises(
        ArtifactError, match=r"run\.json is damaged: data\.source is .*, expected text; run `elr fit` again"
    ):
        files.read_run(tmp_path)


def test_json_of_absurd_depth_is_no_json(tmp_path):
    (tmp_path / "run.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ArtifactError, match=r"run\.json is damaged: it is not JSON"):
        files.read_json(tmp_path / "run.json")


def test_room_on_disk_has_no_name_and_a_full_disk_is_said(tmp_path):
    room = files.on_disk((3, 2), "float32", str(tmp_path / "run" / "to" / "be"))  # in the folder above that is there
    room[2, 1] = 5
    assert room.tolist() == [[0, 0], [0, 0], [0, 5]]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OutputError, match="cannot write"):
        files.on_disk((1 << 40, 1 << 10), "float32", str(tmp_path))


def test_a_name_that_is_not_utf8_is_written_and_read(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    files.write_tensors(folder / "a.safetensors", {"weight": torch.ones(2)})
    assert files.read_tensors(folder / "a.safetensors")["weight"].tolist() == [1.0, 1.0]
    files.write_file(folder / "a.parquet", lambda partial: pd.DataFrame({"x": [1]}).to_parquet(partial))
    with plain_name(folder / "a.parquet") as named:
        assert len(pd.read_parquet(named)) == 1
        assert printable(named) == str(named)
    names = ["a.parquet", "a.safetensors"]
    assert sorted(each.name for each in folder.iterdir()) == names
    other = folder / os.fsdecode(b"\xe9.safetensors")
    files.write_tensors(other, {"weight": torch.ones(2)})
    assert files.read_tensors(other)["weight"].tolist() == [1.0, 1.0]
    assert sorted(each.name for each in folder.iterdir()) == sorted([*names, other.name])


def test_the_file_that_cannot_be_written_first_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write \S*gone/run\.json: "):
        files.write_first(tmp_path / "gone" / "run.json", {})


def test_where_there_are_no_links_one_writes_first_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert [files.write_first(tmp_path / "run.json", {"by": number}) for number in (1, 2)] == [True, False]
    assert files.read_json(tmp_path / "run.json") == {"by": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["run.json"]
