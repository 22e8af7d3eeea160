"""The options by which commands read data, said once: a command takes them as one argument."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from elr.cli.options import DATA

if TYPE_CHECKING:
    from elr.data.records import ReadOptions

MakeOptions = Callable[[], Any]
"""Gives the `elr.data.records.ReadOptions`, or raises what is wrong with them: called where errors are caught."""
_FILES = "How files are written (each is found by itself; these insist)"


def _flag(*names: str, help: str, panel: str = DATA) -> Any:
    return typer.Option(*names, help=help, show_default=False, rich_help_panel=panel)


Separator = Annotated[str | None, _flag(help="Between the cells of a line: , or ; or a tab.", panel=_FILES)]
Decimal = Annotated[str | None, _flag(help="Mark of decimals in numbers: . or ,", panel=_FILES)]
Quotes = Annotated[
    bool | None,
    _flag("--quotes/--no-quotes", help="Quotation marks enclose cells, or are plain characters.", panel=_FILES),
]
Encoding = Annotated[str | None, _flag(help="Of text files, such as latin-1.", panel=_FILES)]


def _flags(
    label: Annotated[str | None, _flag(help="Column (or array) of the given labels.")] = None,
    annotators: Annotated[
        list[str] | None, _flag(help="Column of the labels of one annotator (repeat it), in place of --label.")
    ] = None,
    annotations: Annotated[
        Path | None, _flag(help="Table with the columns row (or that of --id), annotator, label; same.")
    ] = None,
    clean_label: Annotated[
        str | None, _flag(help="Column of labels known to be right: measured against, never used.")
    ] = None,
    id: Annotated[str | None, _flag(help="Column that names each row.")] = None,
    ignore: Annotated[list[str] | None, _flag(help="Column not to learn from (may be repeated).")] = None,
    keep: Annotated[
        list[str] | None,
        _flag(help="Column to learn from whatever it looks like: a counter, the label renamed (repeat it)."),
    ] = None,
    classes: Annotated[
        list[str] | None, _flag("--class", help="Name of a class that looks like a missing label: nan (repeat it).")
    ] = None,
    no_label: Annotated[
        list[str] | None, _flag(help="Value that stands for a missing label or vote, such as -1 (repeat it).")
    ] = None,
    text: Annotated[str | None, _flag(help="Column of texts to learn from, and from nothing else.")] = None,
    embedding: Annotated[str | None, _flag(help="Column of lists of numbers to learn from.")] = None,
    image: Annotated[str | None, _flag(help="Column of names of image files to learn from.")] = None,
    encoder: Annotated[
        str | None,
        _flag(help="For --text: model of sentence-transformers, by name or folder. Default: TF-IDF of the words."),
    ] = None,
    backbone: Annotated[
        str | None,
        _flag(
            help="For images: pretrained model of timm, or none. Default: tf_efficientnet_lite0 above 64 pixels, where "
            "the extra images is installed."
        ),
    ] = None,
    weights: Annotated[Path | None, _flag(help="File with the weights of a pretrained network.")] = None,
    fine_tune: Annotated[
        bool | None,
        _flag(
            "--fine-tune/--frozen",
            help="Train the whole backbone, or a perceptron on its features. Default: the former on an accelerator.",
        ),
    ] = None,
    skip_unreadable: Annotated[bool, _flag("--skip-unreadable", help="Leave unreadable images out.")] = False,
    stream: Annotated[
        bool | None,
        _flag(
            "--stream/--no-stream",
            help="Leave images on disk and decode them batch by batch, or decode them once. Default: by their size.",
        ),
    ] = None,
    nested: Annotated[
        bool, _flag("--nested", help="The first subfolder is the class, whatever lies below it.")
    ] = False,
    image_size: Annotated[int | None, _flag(help="Side of the images in pixels. Default: theirs, up to 64.")] = None,
    separator: Separator = None,
    decimal: Decimal = None,
    quotes: Quotes = None,
    encoding: Encoding = None,
) -> None:
    """All options of reading, by the names that `elr.data.records.ReadOptions` gives them."""


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of reading, which it takes as one argument `options`.

    Args:
        command: with a parameter `options` of type `MakeOptions`, behind those without a default; the flags stand in
            its place, and are given by name.

    Example:
        >>> @reads_data
        ... def show(data: str, options: MakeOptions, top: int = 3) -> None:
        ...     print(data, options().label, options().ignore, top)
        >>> show("pets.csv", label="breed", ignore=["notes"])
        pets.csv breed ('notes',) 3
    """
    hints = inspect.get_annotations(command, eval_str=True)  # get_type_hints hides some on Python 3.10
    flags = inspect.signature(_flags, eval_str=True).parameters
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name == "options":
            parameters += flags.values()
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @functools.wraps(command)
    def taking(*args: Any, **values: Any) -> None:
        asked = {name: values.pop(name) for name in flags if name in values}

        def options() -> ReadOptions:
            from elr.data.records import ReadOptions

            return ReadOptions(**{name: _plain(value) for name, value in asked.items() if value is not None})

        command(*args, **{"options": options} | values)

    taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {each.name: each.annotation for each in parameters}
    return taking


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return tuple(value) if isinstance(value, list) else value
