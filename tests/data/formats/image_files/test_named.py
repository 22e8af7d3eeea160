"""Tables of the names of images; tests/data/formats/test_images.py and tests/test_streaming.py have more of them."""

import pandas as pd
import pytest
from PIL import Image

from elr.data.reading import read_data
from elr.data.records import ReadOptions
from elr.errors import DataError


@pytest.fixture
def table(tmp_path):
    for name in ("1.png", "2.png"):
        Image.new("RGB", (16, 16), "white").save(tmp_path / name)
    path = tmp_path / "list.csv"
    pd.DataFrame({"file": ["1.png", "2.png", "gone.png"], "y": ["a", "b", "a"]}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("stream", [False, True])
def test_names_of_files_that_are_not_there(table, stream):
    options = {"label": "y", "image": "file", "stream": stream}
    with pytest.raises(
        DataError, match=r"names 1 of 3 images that are not there, first in line 4 \(row 2\): 'gone.png'"
    ):
        read_data(table, ReadOptions(**options))
    records = read_data(table, ReadOptions(**options, skip_unreadable=True))
    assert records.ids == ["1.png", "2.png"]
    assert records.labels == ["a", "b"]


@pytest.mark.parametrize("stream", [False, True])
def test_names_may_lead_anywhere(table, tmp_path, stream):
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "list.csv"
    pd.DataFrame({"file": ["../1.png", str(tmp_path / "2.png")], "y": ["a", "b"]}).to_csv(path, index=False)
    records = read_data(path, ReadOptions(label="y", image="file", stream=stream))
    assert records.images[:].shape == (2, 3, 16, 16)
