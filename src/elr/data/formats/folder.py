"""A folder of images, in subfolders by class."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from elr.data.formats.format import Changes, FileFormat, refuse_columns
from elr.data.formats.images import Sources, read_images
from elr.data.pictures.class_folders import merged_subfolders, not_classes
from elr.data.pictures.image_index import index_at
from elr.data.pictures.image_store import FileImages
from elr.data.pictures.listing import image_names
from elr.data.records import ReadOptions, Records
from elr.errors import DataError
from elr.names import printable

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 1 << 16
_INSIST = "or pass --nested (nested=True) if the first folder is the class, whatever lies below it"


class ImageFolder(FileFormat):
    """A folder of images, those of each class in a subfolder that bears its name.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("cat/1.png", "dog/1.png"):
        ...         Path(root, "old", name).parent.mkdir(parents=True)
        ...         Path(root, "old", name).touch()
        ...     ImageFolder().write_corrected(Path(root, "old"), Path(root, "new"), ReadOptions(), {0: 1})
        ...     ImageFolder().ids(Path(root, "new"))
        ['dog/1-2.png', 'dog/1.png']
    """

    has_names = False

    def recognizes(self, data: object) -> bool:
        return isinstance(data, str | Path) and Path(data).is_dir()

    def read(
        self, data: str | Path, options: ReadOptions, *, training: bool, annotations: pd.DataFrame | None = None
    ) -> Records:
        del annotations
        root = Path(data)
        refuse_columns(options, printable(root))
        names, remarks = image_names(root)
        loose = [Path(name) for name in _texts(names) if "/" not in name]
        reason = None if loose or options.nested else not_classes(root, map(PurePath, _texts(names)))
        if reason and not training:
            remarks.append(f"labels were not taken from the names of folders: {reason}; {_INSIST}")
        elif not loose:
            remarks += merged_subfolders(map(PurePath, _texts(names)))
        if training:
            _check_folder(root, loose, options)
            if reason:
                raise DataError(f"{reason}; {_INSIST}")
            used = {name.partition("/")[0] for name in _texts(names)}
            empty = sorted(
                each.name for each in root.iterdir() if each.is_dir() and each.name[0] != "." and each.name not in used
            )
            remarks += [f"folder {printable(name)!r} left out: it has no images of its own" for name in empty]
        store, index = FileImages(root, names, anywhere=True), index_at(options.index)
        if index is not None:
            index.check_files(store)
        sources = file_sources(root, names)
        records, decoded = read_images(sources, len(names), options, store=store, index=index)
        kept = names if len(decoded.rows) == len(names) else names.take(pa.array(decoded.rows))
        return replace(
            records,
            labels=None if loose or reason else _classes(kept),
            ids=[printable(name) for name in _texts(kept)],
            remarks=remarks + records.remarks,
        )

    def labels(self, source: Path, options: ReadOptions, *, named: bool = False) -> list[str]:
        """The name of the subfolder that each image lies in."""
        del options, named
        return _classes(image_names(source)[0])

    def ids(self, source: Path) -> list[str]:
        return [printable(name) for name in _texts(image_names(source)[0])]

    def write_corrected(self, source: Path, target: Path, options: ReadOptions, changes: Changes) -> None:
        """The images go to the subfolders of their classes; all other files stay where they are."""
        del options
        paths = list_images(source)[0]
        _copy(source, target, {paths[row]: paths[right].parts[0] for row, right in changes.items()})

    def pictures(self, source: Path, options: ReadOptions, rows: Sequence[int], ids: Sequence[str]) -> list[str] | None:
        """Paths, as a Label Studio has them that serves local files from the root."""
        del options, rows
        astray = next((name for name in ids if Path(name).is_absolute() or ".." in Path(name).parts), None)
        if astray is not None:
            raise DataError(
                f"{astray[:200]!r} leads out of {printable(source)}: expected the names of images in it; the run is "
                "damaged, or of somebody who wants other files than these"
            )
        return [f"/data/local-files/?d={quote(str((source / name).resolve()).lstrip('/'))}" for name in ids]


def _check_folder(root: Path, loose: list[Path], options: ReadOptions) -> None:
    """Refuse a folder of images that cannot be trained on as it lies."""
    name = printable(root)
    if options.apart:
        raise DataError(
            f"{name} is a folder of images and has no columns such as {options.apart[0]!r}: its subfolders are the "
            "labels; leave out --label, --clean-label, --id and --ignore"
        )
    if loose:
        raise DataError(
            f"{name} has {len(loose)} images outside of any class folder, such as {printable(loose[0])}: "
            f"expected {name}/CLASS/IMAGE for every image"
        )


def list_images(root: Path) -> tuple[list[Path], list[str]]:
    """All image files below a folder, links followed, hidden files and folders left out.

    Returns:
        their paths relative to `root` in order of their names, and remarks on what else lies there.

    Raises:
        DataError: there are none, or a folder cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("2.png", "1.JPG", "notes.md"):
        ...         Path(folder, name).touch()
        ...     paths, remarks = list_images(Path(folder))
        >>> [str(path) for path in paths], len(remarks)
        (['1.JPG', '2.png'], 1)
    """
    names, remarks = image_names(root)
    return list(map(Path, _texts(names))), remarks


def _texts(names: Any) -> Iterator[str]:
    """Names from an Arrow array of bytes, some of them at a time."""
    for start in range(0, len(names), _AT_ONCE):
        yield from map(os.fsdecode, names.slice(start, _AT_ONCE).to_pylist())


def _classes(names: Any) -> list[str]:
    """The first folder of each name; one text for each class, however many images it has."""
    known: dict[str, str] = {}
    folders = (name.partition("/")[0] for name in _texts(names))
    return [known.setdefault(folder, printable(folder)) for folder in folders]


def file_sources(root: Path, names: Any) -> Sources:
    """The sources of files below a folder, for `elr.data.formats.images.decode_images`.

    Args:
        root: the folder.
        names: relative to it: paths, or an Arrow array of bytes.

    Example:
        >>> list(file_sources(Path("pets"), [Path("cat/1.png")])())
        [(PosixPath('pets/cat/1.png'), 'pets/cat/1.png')]
    """
    return lambda: (
        (root / name, printable(root / name)) for name in (_texts(names) if isinstance(names, pa.Array) else names)
    )


def _copy(source: Path, target: Path, moves: Mapping[Path, str]) -> None:
    """Copy a folder of images; some files go to the subfolder of another class.

    Links are followed and become files, so that nothing in the copy leads back to the original; those that lead
    nowhere stay links.

    Args:
        source: the folder.
        target: a folder that does not exist yet.
        moves: path relative to `source` -> name of the subfolder that the file belongs in.
    """
    entries = list(_entries(source, Path(), (os.path.realpath(source),)))
    taken = {path.as_posix() for path in (*entries, *moves)}
    places = {}
    for path, folder in moves.items():
        place = Path(folder, *path.parts[1:])
        number = 1
        while place.as_posix() in taken:
            number += 1
            place = Path(folder, *path.parts[1:]).with_name(f"{path.stem}-{number}{path.suffix}")
        taken.add(place.as_posix())
        places[path] = place
    target.mkdir(parents=True, exist_ok=True)
    for relative in entries:
        entry = source / relative
        if entry.is_dir():
            (target / relative).mkdir(parents=True, exist_ok=True)
        elif entry.is_file():
            place = target / places.get(relative, relative)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(entry, place)
        elif entry.is_symlink():
            (target / relative).symlink_to(entry.readlink())


def _entries(source: Path, below: Path, ancestors: tuple[str, ...]) -> Iterator[Path]:
    """All that lies in a folder, relative to it, a folder before what is in it; links are followed but not upwards."""
    for entry in sorted((source / below).iterdir()):
        relative = below / entry.name
        real = os.path.realpath(entry)
        if not entry.is_dir():
            yield relative
        elif real not in ancestors:
            yield relative
            yield from _entries(source, relative, (*ancestors, real))
