"""`elr data` as its users call it, and the catalog behind it."""

import json
import re

import pytest
from typer.testing import CliRunner

import tiny_cifar
from elr.cli.main import app
from elr.datasets.catalog import LOADERS, make_loader
from elr.errors import ArgumentError
from tiny_clothing import write_clothing


def run(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_every_set_is_listed_with_its_classes_and_noise():
    found = run("list")
    assert found.exit_code == 0
    lines = {line.split()[0]: line for line in found.stdout.splitlines()}
    assert set(lines) == set(LOADERS)
    assert "14 classes; noise: 38.5 % wrong" in lines["clothing1m"]
    told = json.loads(run("list", "--json").stdout)
    assert set(told) == set(LOADERS)
    assert told["cifar100n"]["num_classes"] == 100


@pytest.mark.parametrize("name", LOADERS)
def test_every_set_says_what_it_is(name):
    about = make_loader(name).about
    told = run("about", name)
    assert told.exit_code == 0
    for text in (about.title, about.license, about.citation, about.source, about.noise):
        assert text in told.stdout
    assert all(file.what in told.stdout and file.places[0] in told.stdout for file in about.files)
    assert json.loads(run("about", name, "--json").stdout)["num_classes"] == about.num_classes


@pytest.mark.parametrize("name", LOADERS)
def test_an_empty_folder_is_no_data_set_and_what_is_missing_is_named(name, tmp_path):
    found = run("check", name, tmp_path)
    assert found.exit_code == 2
    about = make_loader(name).about
    assert any(file.source in found.stdout for file in about.files if file.needed)
    assert "PROBLEM " in found.stdout
    assert "not usable as it is" in found.stderr
    told = run("check", name, tmp_path, "--json")
    assert told.exit_code == 2
    assert json.loads(told.stdout)["usable"] is False
    assert run("check", name, tmp_path / "absent").exit_code == 2


def test_a_set_that_is_there_is_counted_and_opened(tmp_path):
    write_clothing(tmp_path)
    found = run("check", "clothing1m", tmp_path, "--sample", "3")
    assert found.exit_code == 0
    assert "train: 56 examples, published were 1,000,000" in found.stdout
    assert "train: 3 images opened, spread over all of them" in found.stdout
    assert re.search(r"both: \d+\.\d% of the given labels are not the clean ones", found.stdout)
    assert "ready: elr run takes it with --data" in found.stderr
    told = json.loads(run("check", "clothing1m", tmp_path, "--json").stdout)
    assert told["usable"] is True
    assert told["examples"]["train"] == 56


def test_human_labels_may_be_named(tmp_path):
    tiny_cifar.write_parquet(tmp_path / "images", 20, 10)
    file = tiny_cifar.write_human(tmp_path / "mine.pt", tiny_cifar.labels_of(20))
    assert run("check", "cifar10n-random1", tmp_path / "images").exit_code == 2
    assert run("check", "cifar10n-random1", tmp_path / "images", "--labels", file).exit_code == 0
    with pytest.raises(ArgumentError, match="clothing1m has none apart from its images: leave them out"):
        make_loader("clothing1m", labels=file)


def test_what_may_not_be_fetched_is_said_with_whom_to_ask(tmp_path):
    found = run("download", "clothing1m", tmp_path / "new")
    assert found.exit_code == 2
    assert "cannot be fetched by elr: get it from its authors: github.com/Cysu/noisy_label" in found.stderr
    assert not (tmp_path / "new").exists()


def test_an_unknown_name_is_answered_with_near_ones():
    found = run("about", "clothing1")
    assert found.exit_code == 2
    assert "no data set 'clothing1': did you mean clothing1m" in found.stderr
