"""Whether the Hugging Face hub, or another server, can be reached, and doing without it where it cannot."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies


def answers(endpoint: str) -> bool:
    """Whether a server can be reached within three seconds; behind a proxy it is taken to be.

    Example:
        >>> from unittest.mock import patch
        >>> with patch(f"{__name__}.getproxies", dict), socket.create_server(("127.0.0.1", 0)) as server:
        ...     answers(f"http://127.0.0.1:{server.getsockname()[1]}")
        True
    """
    if getproxies():
        return True  # it is the proxy that would answer, and it has its own rules
    address = urlsplit(endpoint)
    try:
        with socket.create_connection((address.hostname or "", address.port or 443), timeout=3.0):
            return True
    except OSError:
        return False


@contextmanager
def offline_without_hub() -> Iterator[None]:
    """Where the hub does not answer, only its cache is looked into: its library would try for a minute otherwise.

    Example:
        >>> import huggingface_hub.constants
        >>> from unittest.mock import patch
        >>> with patch(f"{__name__}.answers", lambda endpoint: False), offline_without_hub():
        ...     huggingface_hub.constants.HF_HUB_OFFLINE
        True
    """
    constants: Any = import_module("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not answers(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
