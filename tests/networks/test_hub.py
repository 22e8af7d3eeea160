"""Whether a server answers, asked of one on this machine; the hub's library without its hub."""

import socket
from contextlib import suppress

import pytest

from elr.networks import hub
from elr.networks.hub import answers, offline_without_hub


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setattr("elr.networks.hub.getproxies", dict)


def test_a_server_answers_or_does_not():
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/models"
        assert answers(endpoint)
    assert not answers(endpoint)


def test_a_proxy_is_taken_to_answer(monkeypatch):
    monkeypatch.setattr("elr.networks.hub.getproxies", lambda: {"https": "http://127.0.0.1:9"})
    assert answers("http://127.0.0.1:9")


@pytest.mark.parametrize("reached", [True, False])
def test_only_the_cache_is_looked_into_where_the_hub_does_not_answer(monkeypatch, reached):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "answers", lambda endpoint: reached)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with suppress(KeyError), offline_without_hub():
        assert constants.HF_HUB_OFFLINE is not reached
        raise KeyError
    assert constants.HF_HUB_OFFLINE is False
