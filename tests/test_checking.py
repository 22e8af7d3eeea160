"""What annotations say is held to, and what NumPy has becomes plain."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from elr.checking import check_types, checked, checked_array, checked_value, refuse_unlike
from elr.errors import ArgumentError


@pytest.mark.parametrize(
    ("value", "annotation", "plain"),
    [
        (np.int64(3), "int", 3),
        (np.float32(0.5), "float | None", 0.5),
        (3, "float", 3),
        (np.bool_(True), "bool", True),
        (Path("a") / "b", "str | None", "a/b"),
        (64, "tuple[int, ...] | None", (64,)),
        (np.array([3, 4]), "tuple[int, ...]", (3, 4)),
        (["a"], "tuple[str, ...]", ("a",)),
        (("symmetric", 0.4), "tuple[str, float] | None", ("symmetric", 0.4)),
        (None, "int | None", None),
        ("anything", "ArrayLike", "anything"),
    ],
)
def test_what_is_plainly_meant_becomes_plain(value, annotation, plain):
    found = checked_value("it", value, annotation, {})
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, "int"),
        (1, "bool"),
        (3.0, "int"),
        (None, "str"),
        ("a", "tuple[str, ...]"),
        ({1}, "tuple[int, ...]"),
        ((1, "x"), "tuple[int, ...]"),
        ([], "tuple[str, float]"),
        (3, "Path | None"),
    ],
)
def test_the_rest_is_refused(value, annotation):
    with pytest.raises(ArgumentError, match=r"^it is .*: expected "):
        checked_value("it", value, annotation, {"Path": Path})


def test_functions_and_dataclasses_are_held_to_their_annotations():
    @checked
    def twice(count: "int", *, by: "float" = 2.0) -> "float":
        return count * by

    @dataclass(frozen=True)
    class Dose:
        amount: float

        __post_init__ = check_types

    assert twice(np.int32(2), by=np.float64(3.0)) == 6.0
    with pytest.raises(ArgumentError, match="by is 'x': expected a number"):
        twice(2, by="x")
    assert type(Dose(np.float64(1.0)).amount) is float
    with pytest.raises(ArgumentError, match="dtype <U1; expected numbers"):
        checked_array(["x"], "features", "iuf")


def test_masked_values_are_refused_with_the_first_row():
    with pytest.raises(ArgumentError, match="labels has 2 masked values, first in row 1"):
        checked_array(np.ma.array([1, 2, 3], mask=[False, True, True]), "labels", "iu")
    assert checked_array(np.ma.array([1, 2]), "labels", "iu").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("present", "stored", "said"),
    [
        ({"a": 1}, {"b": 1}, "part has a, b on one side only"),
        ({"a": [1, 2]}, {"a": [1, "x"]}, "part.a.1 is str, expected int"),
        ({"a": 0}, {"a": False}, "part.a is bool, expected int"),
        (torch.zeros(3), torch.zeros(2), r"part is torch.float32 \(2,\), expected torch.float32 \(3,\)"),
        (torch.zeros(3), torch.zeros(3) > 0, "expected torch.float32"),
    ],
)
def test_a_state_of_other_types_is_refused(present, stored, said):
    refuse_unlike(present, present, "part")
    with pytest.raises(ValueError, match=said):
        refuse_unlike(present, stored, "part")


def test_numbers_of_a_state_may_have_another_width():
    wide, narrow = torch.arange(3), torch.arange(3, dtype=torch.int16)
    refuse_unlike({"rows": narrow}, {"rows": wide}, "part")
    refuse_unlike({"rows": wide}, {"rows": narrow}, "part")
    with pytest.raises(ValueError, match=r"part.rows is torch.float16 \(3,\), expected torch.int16 \(3,\)"):
        refuse_unlike({"rows": narrow}, {"rows": narrow.half()}, "part")
    with pytest.raises(ValueError, match=r"part.rows is torch.int64 \(2,\), expected torch.int16 \(3,\)"):
        refuse_unlike({"rows": narrow}, {"rows": wide[:2]}, "part")
    refuse_unlike({"sums": torch.zeros(3)}, {"sums": torch.zeros(3, dtype=torch.float64)}, "part")
    with pytest.raises(ValueError, match=r"part.sums is torch.float16"):
        refuse_unlike({"sums": torch.zeros(3)}, {"sums": torch.zeros(3).half()}, "part")
    with pytest.raises(ValueError, match=r"part.rows is torch.uint8 \(3,\)"):
        refuse_unlike({"rows": narrow}, {"rows": wide.byte()}, "part")
