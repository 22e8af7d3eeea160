"""NoisyNER: words of Estonian news with the entity tags that lists of names gave them, and those that people gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elr.datasets.base import TEST, TRAIN, VALIDATION, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.lazy_texts import LazyTexts
from elr.datasets.readers.text_lists import content
from elr.errors import ArgumentError, DataError
from elr.names import printable

LABEL_SETS = (1, 2, 3, 4, 5, 6, 7)
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
_NUMBERS = {tag: number for number, tag in enumerate(TAGS)}
_REPOSITORY = "https://github.com/uds-lsv/NoisyNER"
_CORPUS = "https://doi.org/10.15155/1-00-0000-0000-0000-00073L"
_COPY = "https://huggingface.co/datasets/phucdev/noisyner"
_FILES = {TRAIN: "train", VALIDATION: "dev", TEST: "test"}
_LINES = {TRAIN: 185_708, VALIDATION: 23_214}  # words and ends of sentences, as prepare_data.py cuts them
_END = ("", "--")  # of a sentence; of a document, in the files of the clean labels only


class NoisyNER(Loader):
    r"""Every word of 572 news articles is an example, shown in its sentence: "left [word] right"; 7 classes.

    Given labels are those of one of seven sets, made from lists of names and differing in their rules and corrections.
    The words of the test part have the clean tags as given ones, those of the other parts have them beside. Words are
    kept once, texts are made when they are asked for.

    Args:
        label_set: 1 to 7. Default 1.

    Raises:
        ArgumentError: another number.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for part in ("train", "dev", "test"):
        ...         for file, tag in (("NoisyNER_labelset1", "O"), ("estner_clean", "B-LOC")):
        ...             _ = (Path(root) / f"{file}_{part}.tsv").write_text(f"Tallinn\t{tag}\nkasvab\tO\n")
        ...     opened = NoisyNER().open(Path(root))
        >>> train = opened.parts["train"]
        >>> train.texts[0], opened.class_names[train.labels[0]], opened.class_names[train.clean_labels[0]]
        ('[Tallinn] kasvab', 'O', 'B-LOC')

    Source: Hedderich, Zhu and Klakow, AAAI 2021; Tkachenko, Petmanson and Laur, BSNLP 2013 (words and clean tags).
    """

    packable = False

    def __init__(self, *, label_set: int = 1) -> None:
        if label_set not in LABEL_SETS:
            raise ArgumentError(f"label_set is {label_set!r}: expected 1 to 7")
        self.label_set = int(label_set)
        self.about = _about(self.label_set)

    def open(self, root: Path) -> PublishedSet:
        """See `Loader.open`; row i is the i-th word of the part."""
        found = located(self.about, root)
        parts, remarks = {}, []
        for name in _FILES:
            paths = found[_role("clean", name)], found[_role("given", name)]
            clean, given = (_read(path) for path in paths)
            _agree(clean, given, *paths)
            if clean.num_lines != _LINES.get(name, clean.num_lines):
                remarks.append(f"{printable(paths[0])} has {clean.num_lines:,} lines, published were {_LINES[name]:,}")
            known = name == TEST
            parts[name] = Part(
                labels=clean.labels if known else given.labels,
                clean_labels=None if known else clean.labels,
                texts=WordsInSentences(clean.words, clean.starts),
            )
        return PublishedSet(about=self.about, class_names=TAGS, parts=parts, remarks=remarks)


class WordsInSentences(LazyTexts):
    """Each word in its sentence, marked by brackets; made when it is asked for.

    Args:
        words: N words, sentence after sentence.
        starts: of the sentences, increasing positions of their first words, the first one 0.

    Example:
        >>> texts = WordsInSentences(["Tallinn", "kasvab", ".", "Jah"], [0, 3])
        >>> texts[1], texts[3]
        ('Tallinn [kasvab] .', '[Jah]')
    """

    def __init__(self, words: Sequence[str], starts: Sequence[int]) -> None:
        self._words = words
        self._starts = np.asarray(starts, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._words)

    def _text(self, row: int) -> str:
        sentence = int(np.searchsorted(self._starts, row, side="right"))
        start = int(self._starts[sentence - 1])
        end = int(self._starts[sentence]) if sentence < len(self._starts) else len(self)
        left, right = self._words[start:row], self._words[row + 1 : end]
        return " ".join([*left, f"[{self._words[row]}]", *right])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tagged:
    """Words of a file, where their sentences start, their labels, and the number of all lines."""

    words: list[str]
    starts: list[int]
    labels: NDArray[np.int64]
    num_lines: int


def _read(path: Path) -> _Tagged:
    """A file of a line for each word, columns separated by tabs: the word first, its tag last."""
    try:
        lines = content(path).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{printable(path)} is not UTF-8 text ({error.reason} at byte {error.start:,}): get it again, see "
            f"{_REPOSITORY}"
        ) from error
    if not lines[-1]:
        lines.pop()
    words: list[str] = []
    starts: list[int] = []
    labels: list[int] = []
    ended = True
    for number, line in enumerate(lines, start=1):
        cells = line.rstrip("\r").split("\t")
        if len(cells) == 1 and cells[0].strip() in _END:
            ended = True
            continue
        tag = cells[-1].strip().upper()
        if len(cells) < 2 or tag not in _NUMBERS:
            raise DataError(
                f"{printable(path)} has {printable(line[:80])!r} in line {number}: expected a word, a tab, features "
                f"and as last column one of {', '.join(TAGS)}; get it again, see {_REPOSITORY}"
            )
        if ended:
            starts.append(len(words))
            ended = False
        words.append(cells[0])
        labels.append(_NUMBERS[tag])
    if not words:
        raise DataError(f"{printable(path)} has no words: expected a line for each; get it again, see {_REPOSITORY}")
    return _Tagged(words=words, starts=starts, labels=np.array(labels, dtype=np.int64), num_lines=len(lines))


def _agree(clean: _Tagged, given: _Tagged, clean_path: Path, given_path: Path) -> None:
    """See to it that two files have the same words."""
    if clean.words == given.words:
        return
    both = min(len(clean.words), len(given.words))
    row = next((row for row in range(both) if clean.words[row] != given.words[row]), both)
    found, expected = (f"{words[row]!r}" if row < len(words) else "no word" for words in (given.words, clean.words))
    raise DataError(
        f"{printable(given_path)} has {len(given.words):,} words, {printable(clean_path)} has {len(clean.words):,}; "
        f"word {row + 1:,} is {found} there and {expected} here: expected the same words in the same order; make both "
        f"anew by prepare_data.py of {_REPOSITORY}"
    )


def _role(kind: str, part: str) -> str:
    return f"{kind} {part}"


def _about(label_set: int) -> About:
    files = []
    for part, name in _FILES.items():
        for kind, stem, what in (
            ("given", f"NoisyNER_labelset{label_set}", f"label set {label_set} of the {part} part"),
            ("clean", "estner_clean", f"the clean labels of the {part} part"),
        ):
            file = f"{stem}_{name}.tsv"
            files.append(
                File(
                    role=_role(kind, part),
                    places=(file, f"data/{file}"),
                    what=what,
                    source=f"{_REPOSITORY}, whose prepare_data.py writes it from estner.cnll of {_CORPUS}, or "
                    f"from {_COPY}",
                )
            )
    return About(
        name="noisyner",
        title=f"NoisyNER, label set {label_set}",
        examples={},  # words of the parts: no count was published, but one of lines
        num_classes=len(TAGS),
        noise="tags given by lists of names from Wikidata and rules; the seven label sets differ in both",
        license="noisy labels: CC BY 4.0; words and clean labels: CC BY-NC",
        citation="Hedderich, Zhu, Klakow: Analysing the Noise Model Error for Realistic Noisy Label Data, AAAI 2021, "
        "35(9):7675-7684; Tkachenko, Petmanson, Laur: Named Entity Recognition in Estonian, BSNLP 2013, 78-83",
        source=_REPOSITORY,
        files=tuple(files),
        oddities=(
            "Most words are no entity: the share of wrong labels among all words says little of the entities.",
            "Parts are cut by lines, so a sentence may begin in one part and end in the next.",
            "The authors' experiments leave B- and I- away; here they are classes.",
            "Documents end by '--' in the files of the clean labels and by an empty line in the others.",
        ),
    )
