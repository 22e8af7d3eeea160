"""The index of images that are streamed from disk: which row is which file, or which place in which shard."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from elr.errors import ArtifactError, CheckpointError
from elr.files import write_file
from elr.names import plain_name, printable

if TYPE_CHECKING:
    from elr.data.pictures.image_store import FileImages, ImageStore

_ABOUT = b"elr"
_ADVICE = (
    "a run goes on with the very files that it began with; put them back as they were (cp -p and rsync -a keep the "
    "times of files), or begin anew with another --out"
)

_COLUMNS = {"FileImages": ("name", "size", "mtime"), "TarImages": ("name", "offset", "size")}
"""What the index of a kind of store has beside the shards."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageIndex:
    """Rows of streamed images, fixed when a run begins and checked when it goes on.

    Args:
        table: a line for each image that was listed: `used` (whether it is learned from: unreadable ones may be left
            out), `label` as given, `size` in bytes where it is known, and `name` and `mtime` (nanoseconds) of a file,
            or `shard`, `name` and `offset` in a tar, or `shard` and `name` in a Parquet file.
        shards: name, size and mtime of each shard; nothing for single files.
        settings: what decides on the order in which images are read, see `ParquetImages`.

    Example:
        >>> import tempfile
        >>> from elr.data.pictures.image_store import FileImages
        >>> with tempfile.TemporaryDirectory() as root:
        ...     Path(root, "1.png").write_bytes(b"pixels")
        ...     index = ImageIndex.of(FileImages(Path(root), ["1.png"]), ["cat"])
        ...     index.table.select(["name", "size", "label"]).to_pylist()
        6
        [{'name': b'1.png', 'size': 6, 'label': 'cat'}]
    """

    table: pa.Table
    shards: Sequence[dict[str, Any]] = ()
    settings: dict[str, Any]

    @classmethod
    def of(cls, store: ImageStore, labels: Sequence[Any] | None) -> ImageIndex:
        """The index of some images.

        Args:
            store: the images, of which some may have been taken.
            labels: of those taken.

        Raises:
            CheckpointError: a file or shard that is gone.
        """
        whole = store.whole()
        used = np.ones(len(whole), dtype=bool)
        if store.rows is not None:
            used[:] = False
            used[store.rows] = True
        columns, shards, settings = whole.places()
        columns = {"used": pa.array(used), "label": _labels(labels, used)} | columns
        return cls(table=pa.table(columns), shards=shards, settings={"kind": type(whole).__name__} | settings)

    def write(self, path: Path) -> None:
        """Write it whole or not at all.

        Raises:
            OutputError: no room, or nothing can be written there.
        """
        about = {"shards": list(self.shards), "settings": self.settings}
        table = self.table.replace_schema_metadata({_ABOUT: json.dumps(about).encode()})
        write_file(path, lambda partial: pq.write_table(table, partial, compression="zstd", write_page_checksum=True))

    @classmethod
    def read(cls, path: Path) -> ImageIndex:
        """What `write` wrote.

        Raises:
            ArtifactError: damaged, or something else.
        """
        try:
            with plain_name(path) as named:
                table = pq.ParquetFile(named, page_checksum_verification=True).read()
            about = json.loads((table.schema.metadata or {})[_ABOUT])
            found = cls(table=table, shards=about["shards"], settings=about["settings"])
            found._check()
            return found
        except (OSError, KeyError, TypeError, ValueError, RecursionError, pa.ArrowException) as error:
            reason = " ".join(str(error).split())[:200]
            raise ArtifactError(
                f"{printable(path)} cannot be read ({reason}): the run is damaged; begin anew with another --out"
            ) from error

    def _check(self) -> None:
        """Refuse columns and shards of other types than `of` gives."""
        if not isinstance(self.settings, dict) or not isinstance(self.shards, list):
            raise TypeError("its settings or shards are none")
        kinds = {"used": pa.types.is_boolean, "label": _is_label}
        kinds |= {"shard": pa.types.is_integer} if self.shards else {"name": _is_name}
        more = dict.fromkeys(("offset", "size", "mtime"), pa.types.is_integer) | {"name": _is_name}
        needed = _COLUMNS.get(str(self.settings.get("kind")), ())
        kinds |= {name: fits for name, fits in more.items() if name in (*needed, *self.table.column_names)}
        for name, fits in kinds.items():
            kind, gaps = self.table.schema.field(name).type, self.table.column(name).null_count
            if not fits(kind) or (gaps and name != "label"):
                raise ValueError(f"column {name} holds {kind}{' with gaps' if gaps else ''}")
        for shard in self.shards:
            if (type(shard["name"]), type(shard["size"]), type(shard["mtime"])) != (str, int, int):
                raise TypeError("a shard has no name, size and time of change")

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """The rows that are learned from; None for all of them."""
        used = self.table.column("used").to_numpy()
        return None if used.all() else np.flatnonzero(used)

    @property
    def labels(self) -> list[Any]:
        """The labels of all that was listed, None where one was left out."""
        return self.table.column("label").to_pylist()

    def column(self, name: str) -> Any:
        """A column as one array of Arrow."""
        found = self.table.column(name).combine_chunks()
        return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found

    def check_files(self, store: FileImages) -> None:
        """Refuse files that are not those with which the run began.

        Args:
            store: the files that are there now.

        Raises:
            CheckpointError: one is missing, new or changed; it is named.
        """
        self.check_kind(store)
        known, found = self.column("name"), store.names
        if not known.equals(found):
            gone, new = _apart(known, found)
            what = f"{_some(gone)} of the run are missing" if len(gone) else f"{_some(new)} are new"
            raise CheckpointError(f"the images in {printable(store.root)} have changed: {what}; {_ADVICE}")
        sizes, times = store.states()
        changed = (sizes != self.table.column("size").to_numpy()) | (times != self.table.column("mtime").to_numpy())
        if changed.any():
            first = int(changed.argmax())
            raise CheckpointError(
                f"image {store.name(first)} is not the file with which the run began (one of {int(changed.sum())} that "
                f"changed in size or time): {_ADVICE}"
            )

    def check_shards(self, shards: Sequence[Path]) -> None:
        """Refuse shards that are not those with which the run began.

        Args:
            shards: those that are there now, in their order.

        Raises:
            CheckpointError: one is missing, new, cut short or changed; it is named.
        """
        known, found = {each["name"]: each for each in self.shards}, {shard.name: shard for shard in shards}
        folder = printable(shards[0].parent) if shards else "the folder"
        gone, new = [name for name in known if name not in found], [name for name in found if name not in known]
        if gone or new:
            what = f"shard {printable(gone[0])} of the run is missing" if gone else f"shard {printable(new[0])} is new"
            raise CheckpointError(f"the shards in {folder} have changed: {what}; {_ADVICE}")
        for name, shard in found.items():
            was, now = known[name], file_state(os.fsencode(shard))
            if now["size"] != was["size"]:
                raise CheckpointError(
                    f"shard {printable(shard)} has {now['size']:,} bytes, {was['size']:,} when the run began: it was "
                    f"cut short or written anew; {_ADVICE}"
                )
            if now["mtime"] != was["mtime"]:
                raise CheckpointError(f"shard {printable(shard)} was written since the run began: {_ADVICE}")

    def check_kind(self, store: ImageStore) -> None:
        """Refuse images that lie in another way than when the run began.

        Raises:
            CheckpointError: they do.
        """
        if self.settings.get("kind") != type(store).__name__:
            raise CheckpointError(f"the run began with images in other files than these: {_ADVICE}")


def index_at(path: str | None) -> ImageIndex | None:
    """The index of a run that goes on; None where it has none.

    Args:
        path: where it would be.

    Raises:
        ArtifactError: it is damaged.

    Example:
        >>> index_at("no-such-run/index.parquet") is None
        True
    """
    return ImageIndex.read(Path(path)) if path is not None and Path(path).exists() else None


def _is_label(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_int64(kind)


def _is_name(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_string(kind)


def _labels(labels: Sequence[Any] | None, used: NDArray[np.bool_]) -> Any:
    """Labels of all that was listed: whole numbers where all are, else text."""
    whole = labels is not None and all(type(label) is int for label in labels)
    told = iter(() if labels is None else labels)
    values = [next(told, None) if each else None for each in used.tolist()]
    kind = pa.int64() if whole else pa.string()
    return pa.array([value if whole or value is None else str(value) for value in values], kind)


def file_state(path: bytes) -> dict[str, int]:
    """Size in bytes and time of change in nanoseconds of a shard.

    Raises:
        CheckpointError: it is gone.

    Example:
        >>> file_state(os.fsencode(__file__))["size"] > 0
        True
    """
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise CheckpointError(f"shard {printable(os.fsdecode(path))} is gone ({error.strerror}): {_ADVICE}") from error
    return {"size": found.st_size, "mtime": found.st_mtime_ns}


def _apart(known: Any, found: Any) -> tuple[list[bytes], list[bytes]]:
    before, now = set(known.to_pylist()), set(found.to_pylist())
    return sorted(before - now), sorted(now - before)


def _some(names: Sequence[bytes]) -> str:
    shown = ", ".join(printable(os.fsdecode(name)) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
