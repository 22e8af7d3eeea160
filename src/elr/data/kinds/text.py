"""Rows of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from elr.data.formats.format import FileFormat
from elr.data.kinds.kind import Contents, Kind, column_cells, table_rows
from elr.data.label_coding import LabelCoding
from elr.data.preprocessing import Preprocessing
from elr.data.records import TEXT, Finding, ReadOptions, Records
from elr.data.text import MOST_TEXTS, blocks_of, fit_text, one_scale, text_blocks, without_known_words
from elr.errors import DataError
from elr.names import printable
from elr.networks.sentence_encoders import encoder_probe

_WORDS_RATE, _EMBEDDING_RATE = 0.005, 0.003  # docs/benchmarks/defaults.md
_LOUD = 0.1  # of the texts have no known word, more than in training


@dataclass(frozen=True, kw_only=True)
class WordsPreprocessing(Preprocessing):
    """Texts as TF-IDF of their words, and as numbers by latent semantic analysis of these: see `elr.data.text`.

    Inputs are sparse, of the blocks "terms" and "dense", up to `elr.data.text.MOST_TEXTS` texts to train on; above,
    they are the numbers alone.

    Args:
        unknown: share of the texts of training that have none of the words, such as empty ones.

    Example:
        >>> import pandas as pd
        >>> texts = ["a red mug", "a blue mug", "a red hat", "a blue hat"]
        >>> records = Records(kind="text", rows=np.arange(4), table=pd.DataFrame({"title": texts}))
        >>> coding = LabelCoding(class_names=("cat", "dog"))
        >>> fitted = WordsPreprocessing.fit(records, ReadOptions(text="title"), coding=coding)
        >>> fitted.columns, fitted.feature_blocks
        ({'title': 'text'}, {'terms': (0, 8), 'dense': (8, 11)})
    """

    kind, learns_from = TEXT, f"features of {TEXT}"
    unknown: float = 0.0

    @classmethod
    def wrote(cls, settings: Mapping[str, Any]) -> bool:
        return "probe" not in settings

    @classmethod
    def suits(cls, records: Records, options: ReadOptions) -> bool:
        return not SentencesPreprocessing.suits(records, options)

    @classmethod
    def fit(cls, records: Records, options: ReadOptions, *, coding: LabelCoding) -> WordsPreprocessing:
        del options
        assert records.table is not None, "texts are in a table"
        (name,) = records.table.columns
        texts = records.table[name].tolist()
        fitted = fit_text(texts, name=f"text column {name!r}")
        blocks = blocks_of(fitted) if len(records) <= MOST_TEXTS else {}
        unknown = float(without_known_words(fitted, texts).mean())
        return cls(coding=coding, transformer=fitted, columns={name: TEXT}, feature_blocks=blocks, unknown=unknown)

    def _inputs(self, records: Records, name: str) -> Any:
        del name
        assert records.table is not None, "texts are in a table"
        texts = records.table.iloc[:, 0].tolist()
        return text_blocks(self.transformer, texts) if self.feature_blocks else self.transformer.transform(texts)

    def findings(self, records: Records, *, name: str) -> list[Finding]:
        assert records.table is not None, "texts are in a table"
        texts = records.table.iloc[:, 0].tolist()
        if not texts:
            return []
        empty = np.array([not text.strip() for text in texts])
        unknown = without_known_words(self.transformer, texts)
        said = [f"{int(empty.sum())} of {len(texts)} texts of {name} are empty"] if empty.any() else []
        strange = unknown & ~empty
        if strange.any():
            row = int(strange.argmax())
            said.append(
                f"{int(strange.sum())} of {len(texts)} texts of {name} ({strange.mean():.1%}) have no word that "
                f"training knew, first in {records.place_of(row)} ({texts[row].strip()[:40]!r})"
            )
        loud = float(unknown.mean()) - self.unknown > _LOUD
        return [Finding(text="; ".join(said), loud=loud)] if said else []

    def silent(self, records: Records) -> NDArray[np.bool_]:
        assert records.table is not None, "texts are in a table"
        return without_known_words(self.transformer, records.table.iloc[:, 0].tolist())

    def feature_rate(self, num_features: int) -> float | None:
        del num_features
        return _WORDS_RATE

    def to_json(self) -> dict[str, Any]:
        blocks = {name: list(span) for name, span in self.feature_blocks.items()}
        return super().to_json() | {"feature_blocks": blocks, "unknown": self.unknown}

    @classmethod
    def _restored(cls, transformer: Any, settings: Mapping[str, Any], coding: LabelCoding) -> WordsPreprocessing | None:
        columns, blocks = settings["columns"], {name: tuple(span) for name, span in settings["feature_blocks"].items()}
        fits = isinstance(transformer, Pipeline) and len(columns) == 1 and blocks in ({}, blocks_of(transformer))
        if not fits:
            return None
        unknown = settings["unknown"]
        return cls(coding=coding, transformer=transformer, columns=columns, feature_blocks=blocks, unknown=unknown)


@dataclass(frozen=True, kw_only=True)
class SentencesPreprocessing(Preprocessing):
    """Texts as the numbers that a sentence encoder makes of them, on one scale.

    Args:
        probe: what the encoder makes of a fixed sentence.

    Example:
        >>> coding = LabelCoding(class_names=("cat", "dog"))
        >>> SentencesPreprocessing(coding=coding, columns={"title": "text"}, probe=(0.5,)).to_json()["probe"]
        [0.5]
    """

    kind, learns_from = TEXT, f"features of {TEXT}"
    probe: tuple[float, ...]

    @classmethod
    def wrote(cls, settings: Mapping[str, Any]) -> bool:
        return "probe" in settings

    @classmethod
    def suits(cls, records: Records, options: ReadOptions) -> bool:
        return records.features is not None and bool(options.encoder)

    @classmethod
    def fit(cls, records: Records, options: ReadOptions, *, coding: LabelCoding) -> SentencesPreprocessing:
        assert records.table is not None, "texts are in a table"
        assert records.features is not None, "an encoder gives features"
        (name,) = records.table.columns
        scale, probe = one_scale(records.features), tuple(encoder_probe(str(options.encoder)))
        return cls(coding=coding, transformer=scale, columns={name: TEXT}, probe=probe)

    def _inputs(self, records: Records, name: str) -> NDArray[np.float32]:
        return self._scaled(records, name)

    def silent(self, records: Records) -> NDArray[np.bool_]:
        assert records.table is not None, "texts are in a table"
        return np.array([not text.strip() for text in records.table.iloc[:, 0].tolist()], dtype=bool)

    def feature_rate(self, num_features: int) -> float | None:
        del num_features
        return _EMBEDDING_RATE

    def reading(self, options: ReadOptions, *, folder: Path, encoder: str | None) -> ReadOptions:
        del folder
        options = replace(options, encoder=encoder or options.encoder)
        found = encoder_probe(str(options.encoder))
        if len(found) != len(self.probe) or not np.allclose(found, self.probe, atol=1e-2):
            raise DataError(
                f"encoder {options.encoder!r} is not the one of training, it gives other numbers for the same "
                "sentence: name that one with --encoder"
            )
        return options

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"probe": list(self.probe)}

    @classmethod
    def _restored(
        cls, transformer: Any, settings: Mapping[str, Any], coding: LabelCoding
    ) -> SentencesPreprocessing | None:
        columns, probe = settings["columns"], tuple(settings["probe"])
        fits = isinstance(transformer, StandardScaler) and len(columns) == 1
        return cls(coding=coding, transformer=transformer, columns=columns, probe=probe) if fits else None


class Text(Kind):
    """One column of texts.

    Example:
        >>> records = Records(kind="text", rows=np.arange(1), table=pd.DataFrame({"title": ["a mug"]}))
        >>> Text().cells(records, np.array([0]), ["title"])
        {'title': ['a mug']}
    """

    preprocessings = (WordsPreprocessing, SentencesPreprocessing)

    def contents(
        self, form: FileFormat, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]
    ) -> Contents:
        del ids
        frame = table_rows(form, source, options, rows)
        if options.text not in frame:
            raise DataError(
                f"{printable(source)} has no text column {options.text!r}: name the data of the run with --data"
            )
        return "Text", [{"text": "" if pd.isna(text) else str(text)} for text in frame[options.text].tolist()]

    def cells(self, records: Records, rows: np.ndarray, columns: Sequence[str]) -> Mapping[str, list[Any]]:
        return column_cells(records, rows, columns)
