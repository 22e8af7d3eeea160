"""What the machine gives, asked without changing it for others."""

import ctypes
import logging
import random
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch._inductor import config

from elr import devices
from elr.devices import (
    built_library,
    computes_bfloat16,
    forked_random_state,
    keep_freed_memory,
    processes_here,
    usable_library,
)
from elr.training.engine import leave_process_group, preserved_random_state


class Library:
    """A C library that writes down what it is told."""

    def __init__(self, *functions):
        self.told = []
        for name in functions:
            setattr(self, name, lambda *arguments: self.told.append(arguments))


def test_glibc_is_told_to_keep_what_is_freed(monkeypatch):
    library = Library("mallopt")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: library)
    keep_freed_memory()
    settings = dict(library.told)
    assert settings[-1] > 2**30  # M_TRIM_THRESHOLD
    assert settings[-4] == 0  # M_MMAP_MAX: nothing is mapped and unmapped any more
    assert all(value < 2**31 for value in settings.values())  # mallopt takes an int


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: Library())
    keep_freed_memory()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_another_system_is_not_even_asked(monkeypatch, platform):
    def asked(name):
        raise AssertionError(f"{name} was opened")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(devices.ctypes, "CDLL", asked)
    keep_freed_memory()


def test_memory_can_be_had_after_keeping_it_and_asking_twice_is_fine():
    keep_freed_memory()
    keep_freed_memory()
    for _ in range(3):
        assert torch.ones(2**20).sum() == 2**20
    assert ctypes.sizeof(ctypes.c_int) == 4


def test_processes_of_this_machine_are_counted_by_what_launched_them(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert processes_here() == 4
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert processes_here() == 1


def test_bfloat16_is_a_yes_or_no():
    assert computes_bfloat16(torch.device("cpu")) in (True, False)
    assert not computes_bfloat16(torch.device("meta"))


@pytest.mark.skipif("get_capabilities" not in dir(torch.cpu), reason="this torch does not tell what processors can do")
@pytest.mark.parametrize(
    ("found", "pays"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "AMD Zen 4", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False}, False),
        ({"bf16": True}, True),
    ],
)
def test_bfloat16_is_for_processors_that_gain_from_it(monkeypatch, found, pays):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert computes_bfloat16(torch.device("cpu")) == pays


def test_random_numbers_inside_are_not_seen_outside():
    before = torch.get_rng_state()
    with forked_random_state(torch.device("cpu")):
        torch.manual_seed(5)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_all_three_generators_come_back_even_after_an_error():
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    with suppress(KeyError), preserved_random_state():
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        raise KeyError
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_leaving_a_group_that_is_none():
    leave_process_group()


def test_threads_take_turns_at_the_random_state():
    """A process has one: of two that drew at once, each would get some numbers of the other."""
    found = []

    def draw():
        with forked_random_state(torch.device("cpu")):
            torch.manual_seed(3)
            numbers = []
            for _ in range(5):
                numbers.append(torch.rand(1).item())
                time.sleep(0.002)
            found.append(numbers)

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert all(numbers == found[0] for numbers in found)


def test_a_library_is_built_without_news_of_what_is_absent(capfd, caplog):
    log = logging.getLogger("torch.utils.cpp_extension")
    before = log.level, list(log.filters)
    try:
        library = built_library('extern "C" int three() { return 3; }')
    except Exception as error:
        pytest.skip(f"there is no compiler: {error}")
    assert library.three() == 3
    assert (log.level, log.filters) == before
    assert "CUDA" not in capfd.readouterr().err + caplog.text
    with pytest.raises(Exception, match="nothing of C"):
        built_library("this is nothing of C++")


def test_a_compiler_that_does_not_know_all_of_the_processor_is_asked_once_more(monkeypatch):
    asked = []

    def load(_):
        asked.append(config.cpp.vec_isa_ok)
        if len(asked) == 1:
            raise RuntimeError("unrecognized command-line option")
        return "a library"

    monkeypatch.setattr("torch._inductor.codecache.CppCodeCache.load", load)
    assert built_library("") == "a library"
    assert asked == [True, config.cpp.vec_isa_ok]


@pytest.fixture
def library(monkeypatch):
    """What is built, without a compiler."""
    made = SimpleNamespace(two=lambda: 2)
    monkeypatch.setattr(devices, "built_library", lambda _: made)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    return made


def usable(**instead):
    chosen = {"is_right": lambda it: it.two() == 2, "otherwise": "it is done by hand"} | instead
    return usable_library("", {"two": (ctypes.c_int, (ctypes.c_void_p,))}, **chosen)


def test_a_library_that_passes_its_test_is_given_with_the_types_of_its_functions(library, caplog):
    with caplog.at_level("INFO"):
        assert usable() is library
    assert (library.two.restype, library.two.argtypes) == (ctypes.c_int, [ctypes.c_void_p])
    assert not caplog.records


def test_a_library_that_is_wrong_is_not_given_and_a_warning_says_so(library, caplog):
    library.two = lambda: 3
    assert usable() is None
    assert [(each.levelname, each.message) for each in caplog.records] == [
        ("WARNING", "it is done by hand: what was built for it is wrong on a test")
    ]


def test_a_test_that_fails_itself_is_one_that_is_not_passed(library, caplog):
    with caplog.at_level("INFO"):
        assert usable(is_right=lambda it: it.three() == 3) is None
    assert "it is done by hand: " in caplog.text


@pytest.mark.parametrize("why", ["no compiler", "no function", "no Linux"])
def test_without_a_library_there_is_none_and_a_line_says_why(library, monkeypatch, caplog, why):
    def refuse(_):
        raise RuntimeError("no compiler here")

    if why == "no compiler":
        monkeypatch.setattr(devices, "built_library", refuse)
    elif why == "no function":
        del library.two
    else:
        monkeypatch.setattr(devices.sys, "platform", "darwin")
    with caplog.at_level("INFO"):
        assert usable() is None
    said = {"no compiler": "no compiler here", "no function": "no attribute 'two'", "no Linux": "on darwin"}[why]
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert record.message.startswith("it is done by hand: ")
    assert said in record.message
