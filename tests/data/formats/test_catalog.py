"""The dict of formats: what it lists is recognized, each file by one of them only."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elr.data.formats.catalog import FORMATS
from elr.data.formats.format import FileFormat
from elr.data.reading import format_of

FILES = {name: form for name, form in FORMATS.items() if isinstance(form, FileFormat)}


@pytest.mark.parametrize("name", [name for name, form in FILES.items() if form.suffixes])
def test_a_file_is_read_by_the_format_of_its_suffix(name, tmp_path):
    for suffix in FORMATS[name].suffixes:
        for path in (tmp_path / f"data{suffix}", tmp_path / f"DATA{suffix.upper()}"):
            path.write_bytes(b"")
            assert format_of(path) is FORMATS[name]


def test_no_suffix_belongs_to_two_formats():
    suffixes = [suffix for form in FILES.values() for suffix in form.suffixes]
    assert len(suffixes) == len(set(suffixes)) > 5


def test_a_folder_is_a_folder_whatever_it_is_called(tmp_path):
    (tmp_path / "photos.csv").mkdir()
    assert format_of(tmp_path / "photos.csv") is FORMATS["folder"]


@pytest.mark.parametrize(
    ("data", "name"), [(pd.DataFrame({"x": [1]}), "frame"), ((np.eye(2), [0, 1]), "pair"), ((np.eye(2), None), "pair")]
)
def test_what_lies_in_memory_is_recognized(data, name):
    assert format_of(data) is FORMATS[name]


def test_every_way_in_which_files_lie_is_listed():
    assert set(FILES) == {"parts", "folder", "csv", "tsv", "parquet", "feather", "json_lines", "npz", "npy", "tars"}
    assert Path("a.jsonl").suffix in FORMATS["json_lines"].suffixes
