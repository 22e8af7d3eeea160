import subprocess
import sys

import pytest

from elr.errors import ArgumentError, OutputError
from elr.runs.bench.show.results import read_results
from elr.runs.bench.show.show import FORMATS, show_bench
from tiny_bench import bench

FOUND = bench({"elr": (0.5, 0.75), "mae": (0.5, 0.5), "gce": (0.25, 0.5)}, missing=[("gce", 1)])


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_written_as_it_is_shown(tmp_path, form):
    out = tmp_path / f"table{FORMATS[form]}"
    shown = show_bench(FOUND, format=form, against="mae", out=out)
    assert out.read_text(encoding="utf-8") == shown.text + "\n"
    assert "elr" in shown.text
    assert any(line.startswith("NOT FINISHED: 1 of 6") for line in shown.remarks)
    assert ("NOT FINISHED" in shown.text) == (form != "csv")
    assert shown.pictures == ()


def test_pictures_are_drawn_where_asked(tmp_path):
    shown = show_bench(FOUND, pictures=tmp_path / "pictures")
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == sorted(
        path.name for path in shown.pictures
    )
    assert len(shown.pictures) == 4


def test_wrong_wishes_are_refused_before_anything_is_written(tmp_path):
    out = tmp_path / "table.txt"
    with pytest.raises(ArgumentError, match="format is 'html': expected one of text, markdown, csv, latex"):
        show_bench(FOUND, format="html", out=out)
    with pytest.raises(ArgumentError, match=r"no method 'mea'.*did you mean mae"):
        show_bench(FOUND, against="mea", out=out, pictures=tmp_path / "pictures")
    with pytest.raises(OutputError, match=r"ends in '.txt': expected .md"):
        show_bench(FOUND, format="markdown", out=out)
    assert list(tmp_path.iterdir()) == []
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already: choose another --out"):
        show_bench(FOUND, out=out)
    assert out.read_text() == "mine"


def test_from_the_folder_to_the_table(tmp_path):
    for each in FOUND.results:
        each.write(tmp_path)
    shown = show_bench(read_results(tmp_path, FOUND.cells))
    assert shown == show_bench(FOUND)


def test_the_table_does_not_load_matplotlib():
    code = "import sys, elr.runs.bench.show.show; print('matplotlib' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "False"


def test_without_matplotlib_pictures_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ArgumentError, match=r"a picture needs matplotlib, .*: pip install 'elr\[figures\]'"):
        show_bench(FOUND, out=tmp_path / "table.txt", pictures=tmp_path / "pictures")
    assert list(tmp_path.iterdir()) == []
