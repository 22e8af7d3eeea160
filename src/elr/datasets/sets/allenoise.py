"""AlleNoise: titles of offers with the category that the seller chose and the one that people found right."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from numpy.typing import NDArray

from elr.datasets.base import TRAIN, About, File, Loader, Part, PublishedSet, located
from elr.datasets.readers.lazy_texts import LazyTexts
from elr.datasets.readers.text_lists import content
from elr.errors import DataError
from elr.names import printable

_REPOSITORY = "https://github.com/allegro/AlleNoise"
_TEXT, _CLEAN, _GIVEN = "text", "clean_category_id", "noisy_category_id"
_ID, _NAME = "category_label", "category_name"
_POINTER = b"version https://git-lfs"
_BLOCK = 1 << 24  # bytes read at a time: a row must fit


class AlleNoise(Loader):
    r"""502,310 English titles of offers on Allegro in 5,692 categories, of which about 15 % are given wrongly.

    Given labels are the sellers' categories, clean ones those that people confirmed or corrected. There is no published
    split: all rows are "train". Texts stay in one Arrow array, about their own size in bytes.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     _ = (Path(root) / "category_mapping.csv").write_text(
        ...         "category_label\tcategory_name\n11\tUmbrellas\n12\tDVDs\n"
        ...     )
        ...     _ = (Path(root) / "full_dataset.csv").write_text(
        ...         "text\tclean_category_id\tnoisy_category_id\nRed umbrella\t11\t12\n"
        ...     )
        ...     opened = AlleNoise().open(Path(root))
        >>> train = opened.parts["train"]
        >>> train.texts[0], opened.class_names[train.labels[0]], opened.class_names[train.clean_labels[0]]
        ('Red umbrella', 'DVDs', 'Umbrellas')

    Source: Rączkowska et al., AISTATS 2025.
    """

    packable = False
    about = About(
        name="allenoise",
        title="AlleNoise",
        examples={TRAIN: 502_310},
        num_classes=5692,
        noise="about 15 % of the titles stood in a wrong category: mistakes of sellers, depending on the offer",
        license="data: CC BY-NC-ND 4.0, says metadata.json; code of its repository: MIT",
        citation="Rączkowska, Osowska-Kurczab, Szczerbiński, Jasinska-Kobus, Nazarko: AlleNoise - large-scale text "
        "classification benchmark dataset with real-world label noise, AISTATS 2025, PMLR 258:5113-5121",
        source=_REPOSITORY,
        files=(
            File(
                role="titles",
                places=("full_dataset.csv", "allenoise/full_dataset.csv"),
                what="titles with both categories, separated by tabs",
                source=f"{_REPOSITORY} by git lfs",
            ),
            File(
                role="categories",
                places=("category_mapping.csv", "allenoise/category_mapping.csv"),
                what="names of the categories, separated by tabs",
                source=_REPOSITORY,
            ),
            File(
                role="metadata",
                places=("metadata.json", "allenoise/metadata.json"),
                what="checksums of the other files",
                source=_REPOSITORY,
                needed=False,
            ),
        ),
        oddities=(
            "There is no published split: the authors' prepare_dataset.py draws folds without a seed and tests on the "
            "clean labels of the one left out.",
            "Files called .csv are separated by tabs.",
        ),
    )

    def open(self, root: Path) -> PublishedSet:
        """See `Loader.open`; row i is row i of full_dataset.csv, class c row c of category_mapping.csv."""
        found = located(self.about, root)
        mapping = _table(found["categories"], {_ID: pa.int64(), _NAME: pa.string()})
        ids, names = mapping[_ID], mapping[_NAME].to_pylist()
        different = pc.count_distinct(ids).as_py()
        if different < len(ids):
            raise DataError(
                f"{printable(found['categories'])} has {len(ids):,} rows, but {different:,} different values of {_ID}: "
                f"expected one row for each category; get it again from {_REPOSITORY}"
            )
        table = _table(found["titles"], {_TEXT: pa.string(), _CLEAN: pa.int64(), _GIVEN: pa.int64()})
        given, clean = (_classes(table[column], ids, column, found["titles"]) for column in (_GIVEN, _CLEAN))
        train = Part(labels=given, clean_labels=clean, texts=Titles(table[_TEXT]))
        return PublishedSet(
            about=self.about,
            class_names=_distinct(names, ids.to_pylist()),
            parts={TRAIN: train},
            remarks=_other_versions(found),
        )


class Titles(LazyTexts):
    """Texts in an Arrow array, each made when it is asked for.

    Example:
        >>> Titles(pa.chunked_array([["lamp", "desk"]]))[-1]
        'desk'
    """

    def __init__(self, texts: pa.ChunkedArray) -> None:
        self._texts: Any = texts.combine_chunks()

    def __len__(self) -> int:
        return len(self._texts)

    def _text(self, row: int) -> str:
        return self._texts[row].as_py()


def _table(path: Path, columns: dict[str, Any]) -> pa.Table:
    """Some columns of a file whose cells are separated by tabs and may be quoted, newlines in them included."""
    start = content(path, 200)
    if start.startswith(_POINTER):
        raise DataError(
            f"{printable(path)} is a pointer of git lfs, not the data: expected text separated by tabs; run `git lfs "
            "pull` in the clone, or download the file itself"
        )
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(block_size=_BLOCK),
            parse_options=csv.ParseOptions(delimiter="\t", newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                include_columns=list(columns), column_types=columns, strings_can_be_null=False
            ),
        )
    except KeyError as error:
        first = printable(start.partition(b"\n")[0].decode("utf-8", "surrogateescape"))
        raise DataError(
            f"{printable(path)} begins with {first!r}: expected the names of columns, {', '.join(columns)} among them, "
            f"separated by tabs; get it again from {_REPOSITORY}"
        ) from error
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(
            f"{printable(path)} cannot be read as a table ({reason}): expected UTF-8 text separated by tabs, "
            f"categories as whole numbers; it may be incomplete: get it again from {_REPOSITORY}"
        ) from error
    if not table.num_rows:
        raise DataError(f"{printable(path)} has no rows: expected one below the names; get it again from {_REPOSITORY}")
    return table


def _classes(numbers: pa.ChunkedArray, ids: pa.ChunkedArray, column: str, path: Path) -> NDArray[np.int64]:
    """The places of categories among all."""
    places = pc.index_in(numbers, value_set=ids.combine_chunks())
    if places.null_count:
        rows = np.flatnonzero(places.is_null().to_numpy())
        raise DataError(
            f"{printable(path)} has {column} {numbers[int(rows[0])].as_py()} in row {rows[0]} (counted from 0; one of "
            f"{len(rows):,} such rows): expected a {_ID} of category_mapping.csv; get both again from {_REPOSITORY}"
        )
    return places.to_numpy().astype(np.int64)


def _distinct(names: list[str], ids: list[int]) -> tuple[str, ...]:
    """Names of categories, those that several have with their numbers."""
    often = Counter(names)
    return tuple(name if often[name] == 1 else f"{name} [{number}]" for name, number in zip(names, ids, strict=True))


def _other_versions(found: dict[str, Path]) -> list[str]:
    """Remarks on files whose checksums are not those that metadata.json says."""
    if "metadata" not in found:
        return []
    try:
        listed = json.loads(content(found["metadata"]))["distribution"]
        expected = {entry["name"]: entry["sha256"] for entry in listed}
    except (ValueError, LookupError, TypeError, RecursionError):
        return [f"{printable(found['metadata'])} cannot be read: checksums were not compared"]
    remarks = []
    for path in (found["titles"], found["categories"]):
        checksum = hashlib.sha256(content(path)).hexdigest()
        if checksum != expected.get(path.name, checksum):
            remarks.append(
                f"{printable(path)} is not the file that metadata.json describes: another version, or damaged"
            )
    return remarks
