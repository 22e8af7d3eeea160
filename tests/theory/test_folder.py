import json
import sys

import pandas as pd
import pytest
from PIL import Image

from elr.errors import ArgumentError, OutputError
from elr.theory.descent import MEASURES
from elr.theory.folder import exhibit, table

SMALL = {"p": 80, "n": 100, "steps": 300}


def test_the_folder_has_numbers_trajectory_and_figure(tmp_path):
    examination = exhibit(tmp_path / "deep" / "out", **SMALL, lam=3.0)
    folder = tmp_path / "deep" / "out"
    assert {each.name for each in folder.iterdir()} == {"theory.json", "path.csv", "theory.png"}
    assert json.loads((folder / "theory.json").read_text())["theorem"] == examination.theorem
    path = pd.read_csv(folder / "path.csv")
    assert list(path.columns) == ["step", *MEASURES]
    assert path["step"].iloc[[0, -1]].tolist() == [0, 300]
    assert path["accuracy_wrong"].iloc[-1] == pytest.approx(examination.trajectory.accuracy_wrong[-1])
    with Image.open(folder / "theory.png") as figure:
        assert figure.width > 1000
        assert figure.height > 600  # two rows: cross entropy beside ELR


def test_the_same_settings_may_be_repeated_others_may_not(tmp_path):
    exhibit(tmp_path, **SMALL)
    before = (tmp_path / "theory.json").read_bytes()
    exhibit(tmp_path, **SMALL)
    assert (tmp_path / "theory.json").read_bytes() == before
    with pytest.raises(OutputError, match="holds the results of other settings"):
        exhibit(tmp_path, **SMALL, seed=1)
    assert (tmp_path / "theory.json").read_bytes() == before


def test_bad_settings_leave_nothing(tmp_path):
    with pytest.raises(ArgumentError):
        exhibit(tmp_path / "out", p=1)
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_is_kept(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="is a file"):
        exhibit(tmp_path / "out", **SMALL)
    assert (tmp_path / "out").read_text() == "mine"


def test_table_has_a_line_for_each_number_and_part(tmp_path):
    examination = exhibit(tmp_path, **SMALL, noise_rate=0.0)
    text = table(examination)
    assert "final_accuracy_on_wrong  -" in text
    assert "separable                yes" in text
    for part in examination.theorem:
        assert f"\n{part} " in text


def test_without_matplotlib_it_says_what_to_install_before_anything_is_computed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ArgumentError, match=r"a figure needs matplotlib, .*: pip install 'elr\[figures\]'"):
        exhibit(tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()
