import numpy as np
import pytest
from PIL import Image

import datasets
import elr
from elr import FitConfig, ReadOptions
from elr.data.formats.hub.dataset import HubDataset, named_frame
from elr.data.formats.parquet import Parquet
from elr.data.reading import read_data
from elr.errors import ArgumentError, DataError

NAMES = ["no", "yes"]


@pytest.fixture(autouse=True)
def _quiet():
    datasets.disable_progress_bars()


def made(count=40, *, labels=None):
    draw = np.random.default_rng(0)
    given = np.arange(count) % 2
    features = datasets.Features(
        vector=datasets.Sequence(datasets.Value("float32")),
        text=datasets.Value("string"),
        number=datasets.Value("float64"),
        label=datasets.ClassLabel(names=NAMES),
    )
    columns = {
        "vector": (given[:, None] + 0.2 * draw.normal(size=(count, 3))).tolist(),
        "text": [["a poor thing", "a fine thing"][k] for k in given],
        "number": (given + 0.2 * draw.normal(size=count)).tolist(),
        "label": given.tolist() if labels is None else labels,
    }
    return datasets.Dataset.from_dict(columns, features=features)


def pictures(count=24):
    draw, given = np.random.default_rng(0), np.arange(count) % 2
    shades = [Image.fromarray(draw.integers(100 * k, 100 + 100 * k, (20, 20, 3), dtype=np.uint8)) for k in given]
    features = datasets.Features(picture=datasets.Image(), label=datasets.ClassLabel(names=NAMES))
    return datasets.Dataset.from_dict({"picture": shades, "label": given.tolist()}, features=features)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"embedding": "vector", "ignore": ("text", "number")}, "features"),
        ({"text": "text", "ignore": ("vector", "number")}, "text"),
        ({"ignore": ("vector", "text")}, "table"),
    ],
)
def test_kinds_of_columns(options, kind):
    records = read_data(made(), ReadOptions(label="label", **options))
    assert records.kind == kind
    assert records.labels == [NAMES[row % 2] for row in range(40)]


def test_rows_are_those_of_the_data_set_as_it_stands():
    data = made().shuffle(seed=3).select(range(5, 20)).filter(lambda row: row["number"] > -1)
    records = read_data(data, ReadOptions(label="label", text="text"))
    assert records.labels == [NAMES[label] for label in data["label"]]
    formatted = data.with_format("torch").with_transform(lambda batch: {"nothing": [0] * len(batch["label"])})
    assert read_data(formatted, ReadOptions(label="label", text="text")).labels == records.labels


def test_no_label_and_numbers_that_are_no_class():
    data = made(4, labels=[0, 1, -1, None])
    assert named_frame(data, ["label"], training=True)["label"].tolist() == ["no", "yes", None, None]
    with pytest.raises(DataError, match="is missing in 2 of 4 rows"):
        read_data(data, ReadOptions(label="label", text="text"))
    later = read_data(data, ReadOptions(label="label", text="text"), training=False)
    assert later.labels == ["no", "yes", None, None]


def test_images():
    data = pictures()
    records = read_data(data, ReadOptions(label="label"))
    assert (records.kind, records.labels[:2]) == ("images", NAMES)
    turned = read_data(data.select(range(23, -1, -1)), ReadOptions(label="label"))
    assert turned.labels == records.labels[::-1]
    assert np.array_equal(turned.images[0], records.images[23])


def test_images_in_files_and_damaged_ones(tmp_path):
    for row in range(4):
        Image.new("RGB", (20, 20), (60 * row, 0, 0)).save(tmp_path / f"{row}.png")
    paths = [str(tmp_path / f"{row}.png") for row in range(4)]
    data = datasets.Dataset.from_dict({"picture": paths, "y": [0, 1, 0, 1]}).cast_column("picture", datasets.Image())
    assert read_data(data, ReadOptions(label="y")).images.shape == (4, 3, 20, 20)
    broken = datasets.Dataset.from_dict(
        {"picture": [{"bytes": b"no image", "path": None}] * 4, "y": [0, 1, 0, 1]},
        features=datasets.Features(picture=datasets.Image(), y=datasets.Value("int64")),
    )
    with pytest.raises(DataError) as caught:
        read_data(broken, ReadOptions(label="y"))
    assert "data.parquet" not in str(caught.value)


def test_what_has_no_rows_is_refused():
    with pytest.raises(ArgumentError, match=r"splits \(train, test\).*data\['train'\]"):
        elr.inspect(datasets.DatasetDict(train=made(), test=made()))
    with pytest.raises(ArgumentError, match="a stream without rows"):
        elr.inspect(made().to_iterable_dataset())
    with pytest.raises(DataError, match="needs a label column"):
        elr.inspect(made())


def test_fit_inspect_and_predict(tmp_path):
    options = ReadOptions(label="label", embedding="vector", ignore=("text", "number"))
    data = made()
    assert [each["name"] for each in elr.inspect(data, options).classes] == NAMES
    outcome = elr.fit(data, out=tmp_path / "run", options=options, config=FitConfig(epochs=4))
    assert outcome.fitted.run["data"]["source"] == "a data set"
    found = elr.predict(tmp_path / "run", data.remove_columns("label"))
    assert (found["predicted_label"] == [NAMES[row % 2] for row in range(40)]).mean() > 0.9


def test_its_name():
    form = HubDataset(Parquet())
    assert form.source(made()) == "a data set"
    assert not form.recognizes([1])
