"""Sentence encoders: models of sentence-transformers that give embeddings of texts.

Nothing is imported or looked for before it is asked for, and nothing is downloaded that lies on the machine.
"""

from __future__ import annotations

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


def encoder_probe(encoder: str) -> list[float]:
    """The embedding of one fixed sentence: two encoders that agree in it are taken for the same.

    Raises:
        ArgumentError: see `embed_texts`.
    """
    return embed_texts([_PROBE], encoder)[0].tolist()
