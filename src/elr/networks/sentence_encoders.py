"""Sentence encoders: models of sentence-transformers that give embeddings of texts.

Nothing is imported or looked for before it is asked for, and nothing is downloaded that lies on the machine.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elr.devices import default_device
from elr.errors import ArgumentError, optional
from elr.networks.hub import offline_without_hub

_KNOWN = re.compile(r"sentence_transformers(\.\w+)+")
_PROBE = "Early learning comes first, memorization later."


def embed_texts(texts: Sequence[str], encoder: str) -> NDArray[np.float32]:
    """Sentence embeddings (M, D) of M texts.

    Args:
        texts: any.
        encoder: a model of sentence-transformers, by its name on the Hugging Face hub or as a local folder.

    Raises:
        ArgumentError: sentence-transformers is not installed, or the encoder cannot be had.
    """
    model = _sentence_encoder(encoder)
    return np.asarray(
        model.encode(list(texts), batch_size=64, show_progress_bar=False, convert_to_numpy=True), dtype=np.float32
    )


@cache
def _sentence_encoder(encoder: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        sentence_transformers = optional("sentence_transformers", "--encoder", extra="text")
        from transformers.utils import logging

        logging.disable_progress_bar()
        local = Path(encoder).exists()
        if local:
            _refuse_code(Path(encoder))
        try:
            with offline_without_hub():
                return sentence_transformers.SentenceTransformer(
                    encoder, device=str(default_device()), local_files_only=local
                )
        except Exception as error:  # the hub, its cache and damaged folders fail in many ways
            reason = " ".join(str(error).split())[:200]
            expected = (
                "expected a folder of sentence-transformers"
                if local
                else "there is no such folder, and the Hugging Face hub has no such model or cannot be reached"
            )
            raise ArgumentError(f"encoder {encoder!r} cannot be loaded: {expected} ({reason})") from error


def _refuse_code(folder: Path) -> None:
    """Refuse a folder whose modules are classes of its own: sentence-transformers before 6.0 executes their files."""
    path = folder / "modules.json"
    if not path.exists():
        return
    try:
        kinds = [each["type"] for each in json.loads(path.read_text(encoding="utf-8"))]
        own = [kind for kind in kinds if not _KNOWN.fullmatch(kind)]
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ArgumentError(f"encoder {str(folder)!r} cannot be loaded: {path} is damaged ({error!r})") from error
    if own:
        raise ArgumentError(
            f"encoder {str(folder)!r} cannot be loaded: it brings code of its own ({own[0][:80]!r}), which is never "
            "executed; expected modules of sentence_transformers alone: take another encoder"
        )


def encoder_probe(encoder: str) -> list[float]:
    """The embedding of one fixed sentence: two encoders that agree in it are taken for the same.

    Raises:
        ArgumentError: see `embed_texts`.
    """
    return embed_texts([_PROBE], encoder)[0].tolist()
