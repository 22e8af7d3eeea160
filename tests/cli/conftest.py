"""A finished run, for the tests of all commands."""

import pytest

from command_line import FIT, done, flowers


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "flowers.csv"
    flowers().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def run(table, tmp_path_factory):
    """A finished run on the table, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "run"
    test = table.with_name("test.csv")
    flowers(seed=1).drop(columns="truth").assign(kind=flowers(seed=1)["truth"]).to_csv(test, index=False)
    return out, done("fit", table, *FIT, "--test", test, "--out", out)
