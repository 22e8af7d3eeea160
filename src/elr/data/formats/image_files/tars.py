"""Images in tars as WebDataset has them: a file, or a folder of shards."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from elr.data.formats.format import Changes, FileFormat, refuse_columns
from elr.data.formats.images import read_images
from elr.data.pictures.decoding import IMAGE_SUFFIXES, data_uri
from elr.data.pictures.image_index import index_at
from elr.data.pictures.shards import TarImages, open_tars
from elr.data.pictures.tar_members import damaged, example_of, shown
from elr.data.records import ReadOptions, Records
from elr.errors import DataError
from elr.names import printable

if TYPE_CHECKING:
    import pandas as pd

_SUFFIX, _PACKED = ".tar", (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_CLASS, _LABEL = "cls", "label"


class TarShards(FileFormat):
    """Tars of images, each with its label beside it as .cls or in a .json; the key in that is `ReadOptions.label`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> picture = io.BytesIO()
        >>> Image.new("RGB", (8, 8), "white").save(picture, "PNG")
        >>> def write(path, members):
        ...     with tarfile.open(path, "w") as tar:
        ...         for name, content in members:
        ...             entry = tarfile.TarInfo(name)
        ...             entry.size = len(content)
        ...             tar.addfile(entry, io.BytesIO(content))
        >>> with tempfile.TemporaryDirectory() as root:
        ...     old, new = Path(root, "old.tar"), Path(root, "new.tar")
        ...     pairs = [(f"{n}.{kind}", each) for n, label in enumerate([b"cat", b"dog"])
        ...              for kind, each in (("png", picture.getvalue()), ("cls", label))]
        ...     write(old, pairs)
        ...     records = TarShards().read(old, ReadOptions(), training=True)
        ...     TarShards().write_corrected(old, new, ReadOptions(), {0: 1})
        ...     records.labels, TarShards().labels(new, ReadOptions())
        (['cat', 'dog'], ['dog', 'dog'])
    """

    has_names = False
    suffixes = (_SUFFIX,)
    file_or_folder: ClassVar[bool] = True

    def recognizes(self, data: object) -> bool:
        if not isinstance(data, str | Path):
            return False
        path = Path(data)
        if not path.is_dir():
            return path.suffix.lower() == _SUFFIX
        found = False
        for each in path.iterdir():
            if each.name.startswith((".", "_")):
                continue
            if each.is_dir() or each.suffix.lower() in IMAGE_SUFFIXES:  # a folder of images, with an archive beside it
                return False
            found = found or each.name.lower().endswith((_SUFFIX, *_PACKED))
        return found

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        del annotations
        path = Path(data)
        refuse_columns(options, printable(path))
        apart = options.clean_label or options.id or next(iter(options.ignore), None)
        if apart and training:
            raise DataError(
                f"{printable(path)} holds tars and has no column {apart!r}: leave out --clean-label, --id and "
                "--ignore; labels are the .cls of an image, or --label names the key in its .json"
            )
        shards, index = _shards(path), index_at(options.index)
        if index is None:
            store, labels, remarks = open_tars(shards, options.label, labeled=training)
        else:
            store, labels, remarks = TarImages.indexed(shards, index), index.labels, []
        records, decoded = read_images(lambda: _sources(store), len(store), options, store=store, index=index)
        kept = None if labels is None else [labels[row] for row in decoded.rows]
        if kept is not None and not all(type(label) is int for label in kept):
            kept = [str(label) for label in kept]
        return replace(
            records,
            labels=kept,
            ids=[store.name(row) for row in decoded.rows.tolist()],
            remarks=remarks + records.remarks,
        )

    def labels(self, source: Path, options: ReadOptions, *, named: bool = False) -> list[str]:
        """What the .cls or .json of each example says."""
        del named
        return [str(label) for label in open_tars(_shards(source), options.label)[1] or ()]

    def ids(self, source: Path) -> list[str]:
        store = open_tars(_shards(source), labeled=False)[0]
        return [store.name(row) for row in range(len(store))]

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """New tars with all members as they are, but for the .cls or .json of corrected labels."""
        key = options.label
        shards = _shards(source)
        store, labels, _ = open_tars(shards, key)
        assert labels is not None, "labels were asked for"
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        for number, shard in enumerate(shards):
            start = int(store.starts[number])
            new = {
                store.keys[row].as_py(): labels[right]
                for row, right in changes.items()
                if start <= row < int(store.starts[number + 1])
            }
            _write_shard(shard, target / shard.name if source.is_dir() else target, new, key)

    def pictures(self, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]) -> list[str] | None:
        """Data URIs of the images, as they are encoded in the tars."""
        del options, ids
        store = open_tars(_shards(source), labeled=False)[0]
        if max(rows, default=-1) >= len(store):
            raise DataError(f"{printable(source)} has fewer images than the run: name the data of this run with --data")
        return [data_uri(store.encoded(row)) for row in rows]


def _shards(path: Path) -> list[Path]:
    """The tars of a folder, in order of their names, or the one given."""
    if not path.is_dir():
        return [path]
    names = sorted(each for each in path.iterdir() if not each.name.startswith((".", "_")))
    packed = next((each for each in names if each.name.lower().endswith(_PACKED)), None)
    if packed is not None:
        raise damaged(packed, "it is compressed")
    return [each for each in names if each.suffix.lower() == _SUFFIX]


def _sources(store: TarImages) -> Any:
    return ((store.encoded(row), store.name(row)) for row in range(len(store)))


def _write_shard(source: Path, target: Path, new: dict[bytes, int | str], key: str | None) -> None:
    """A copy of a tar, in which some examples have other labels."""
    written = set()
    with tarfile.open(source, "r:") as old, tarfile.open(target, "w:", format=old.format) as out:
        members = old.getmembers()
        found_in = [example_of(member.name.encode("utf-8", "surrogateescape")) for member in members if member.isreg()]
        classed = {found[0] for found in found_in if found is not None and found[1] == _CLASS}
        for member in members:
            content = old.extractfile(member) if member.isreg() else None
            found = example_of(member.name.encode("utf-8", "surrogateescape")) if content is not None else None
            if found is not None and content is not None and found[0] in new:
                changed = _relabeled(content.read(), found[1], new[found[0]], key, classed=found[0] in classed)
                if changed is not None:
                    member.size = len(changed)
                    written.add(found[0])
                    out.addfile(member, io.BytesIO(changed))
                    continue
                content.seek(0)
            out.addfile(member, content)
    if written != new.keys():
        gone = sorted(new.keys() - written)[0]
        raise DataError(f"{printable(source)}, example {shown(gone)} has no label that could be changed: train again")


def _relabeled(content: bytes, suffix: str, label: int | str, key: str | None, *, classed: bool) -> bytes | None:
    """A .cls or .json with another label, where the label was read from it; None of other members."""
    if suffix == _CLASS and key in (None, _CLASS):
        return str(label).encode()
    if suffix == "json" and not (classed and key == _CLASS):
        about, key = json.loads(content), key or _LABEL
        if isinstance(about, dict) and key in about:
            return json.dumps(about | {key: label}, ensure_ascii=False).encode()
    return None
