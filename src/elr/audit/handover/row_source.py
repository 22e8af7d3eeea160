"""Where the rows of a run are, and what can be shown of them: text, or the image as it lies on disk or in a file."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from elr.audit.evidence import Evidence
from elr.audit.label_quality import Audit
from elr.audit.suspects import UNPRINTABLE
from elr.data.kinds.catalog import KINDS
from elr.data.kinds.kind import Contents, Kind, numbers
from elr.data.reading import file_format
from elr.data.records import IMAGES, ReadOptions
from elr.errors import ArgumentError, ArtifactError, DataError
from elr.names import printable

_LOCAL = "/data/local-files/?d="


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The image of a row, as it is encoded in its file.

    Args:
        name: a relative path, different for each row.
        path: the file; None where the image lies inside of another.
        content: the image then.

    Example:
        >>> Picture(name="row-00000007.png", content=b"GIF8").read()
        b'GIF8'
    """

    name: str
    path: Path | None = None
    content: bytes = b""

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            DataError: the file cannot be read.
        """
        if self.path is None:
            return self.content
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise DataError(f"{printable(self.path)} cannot be read ({error.strerror}): mend the data") from error


@dataclass(frozen=True, kw_only=True)
class RowSource:
    """The data of a run, for showing its rows to people.

    Args:
        kind: of the rows.
        source: where they are now.
        trained_on: where they were in training.
        options: how they were read.

    Example:
        >>> run = {"data": {"options": {}, "source": "arrays"}, "preprocessing": {"kind": "features"}}
        >>> RowSource.of(run).source
        PosixPath('arrays')
    """

    kind: Kind
    source: Path
    trained_on: Path
    options: ReadOptions

    @classmethod
    def of(cls, run: Mapping[str, Any], data: str | Path | None = None) -> RowSource:
        """The data that a run.json names, or `data` where they have moved.

        Raises:
            ArtifactError: a damaged run.json.
        """
        try:
            trained_on, options = Path(run["data"]["source"]), ReadOptions(**run["data"]["options"])
            kind = KINDS[run["preprocessing"]["kind"]]
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the run.json of this run is damaged ({error!r}): run `elr fit` again") from error
        return cls(kind=kind, source=Path(data or trained_on), trained_on=trained_on, options=options)

    def contents(self, evidence: Evidence, positions: Sequence[int]) -> Contents:
        """The tag of Label Studio that shows such data, and the data of some rows.

        Raises:
            DataError: data that are not there any more, have fewer rows, or are of another kind.
        """
        rows = evidence.rows[list(positions)].tolist()
        form, own = file_format(self.source), file_format(self.trained_on)
        if not (self.kind.shows_rows and (own is None or own.shows_rows)):
            return numbers(rows)
        if not self.source.exists():
            raise DataError(f"the data of the run are not at {printable(self.source)} any more: name them with --data")
        if form is None or not form.shows_rows:
            raise DataError(f"{printable(self.source)} is no table: name the data of the run with --data")
        ids = [] if evidence.ids is None else [evidence.ids[position] for position in positions]
        return self.kind.contents(form, self.source, self.options, rows, ids)

    def pictures(self, evidence: Evidence, positions: Sequence[int], *, tool: str) -> Iterator[Picture]:
        """The images of some rows.

        Args:
            evidence: of the run.
            positions: of the rows in it.
            tool: who asks, for messages.

        Raises:
            ArgumentError: the run is not on images.
            DataError: the data are not there any more, or hold no image files.
        """
        if self.kind is not KINDS[IMAGES]:
            kind = next(name for name, each in KINDS.items() if each is self.kind)
            raise ArgumentError(
                f"{tool} shows images, and the run was trained on {kind}: use --export-label-studio, or --export for a "
                "table of all rows"
            )
        shown, contents = self.contents(evidence, positions)
        if shown != "Image":
            raise DataError(
                f"{printable(self.trained_on)} holds no files of images that {tool} could be given: train on a folder, "
                "a Parquet file or a table that names image files"
            )
        rows = evidence.rows[list(positions)].tolist()
        urls = [content["image"] for content in contents]
        places = [Path("/" + unquote(url.removeprefix(_LOCAL))) if url.startswith(_LOCAL) else None for url in urls]
        names = _names([place for place in places if place is not None])
        for row, url, place in zip(rows, urls, places, strict=True):
            if place is None:
                about, _, encoded = url.partition(",")
                suffix = about.removeprefix("data:image/").removesuffix(";base64")
                yield Picture(name=f"row-{row:08}.{suffix}", content=base64.b64decode(encoded))
            elif place.is_file():
                yield Picture(name=names[place], path=place)
            else:
                raise DataError(f"{printable(place)} is not there any more: name the data of the run with --data")


def issues_of(audit: Audit) -> list[int]:
    """The positions of the label issues, the worst first.

    Example:
        >>> import numpy as np
        >>> from elr.audit.label_quality import audit_labels
        >>> probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]], dtype="float32")
        >>> issues_of(audit_labels(np.array([0, 0, 1]), probs))
        [1]
    """
    return [position for position in audit.ranking.tolist() if audit.is_label_issue[position]]


def without_controls(value: object) -> str:
    r"""A value as text that XML can hold: characters that it forbids, and other controls, become U+FFFD.

    Example:
        >>> without_controls("a\x00<b>")
        'a\ufffd<b>'
    """
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value))


def _names(places: Sequence[Path]) -> dict[Path, str]:
    """Each file's path from the folder that all of them lie in."""
    if not places:
        return {}
    parents = [place.parent.parts for place in places]
    depth = next(
        (number for number, parts in enumerate(zip(*parents, strict=False)) if len(set(parts)) > 1),
        min(map(len, parents)),
    )
    return {place: "/".join(place.parts[depth:]) for place in places}
