"""The options of reading, given to a command in one argument."""

import inspect

import pytest

from elr.cli import train
from elr.cli.reading import MakeOptions, reads_data
from elr.data.records import ReadOptions
from elr.errors import ArgumentError


def asked(**flags):
    """What a command is given by its flags."""
    given = []

    @reads_data
    def command(options: MakeOptions) -> None:
        given.append(options)

    command(**flags)
    return given[0]


def test_flags_become_options_of_the_same_names():
    flags = {"label": "y", "ignore": ["a", "b"], "quotes": False, "decimal": ",", "classes": ["nan"], "no_label": None}
    expected = ReadOptions(label="y", ignore=("a", "b"), quotes=False, decimal=",", classes=("nan",))
    assert asked(**flags)() == expected


def test_without_flags_they_are_the_default():
    assert asked()() == ReadOptions()


def test_what_is_wrong_is_said_where_they_are_used():
    make = asked(label="y", ignore=["y"])
    with pytest.raises(ArgumentError, match="named as label and as"):
        make()


def test_every_flag_is_an_option_and_commands_show_all_of_them():
    flags = set(inspect.signature(reads_data(lambda options: None)).parameters)
    assert flags <= set(ReadOptions.__dataclass_fields__)
    assert flags <= set(inspect.signature(train.fit).parameters)
    assert "options" not in inspect.signature(train.fit).parameters
