"""`elr bench --show`: the table of a bench in one of four formats, and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elr.errors import ArgumentError, optional
from elr.files import check_new, write_text
from elr.runs.bench.show.formats import SIGNS, as_latex, as_markdown, as_text
from elr.runs.bench.show.layout import lay_out
from elr.runs.bench.show.long_form import as_csv
from elr.runs.bench.show.remarks import remarks
from elr.runs.bench.show.results import Results
from elr.runs.bench.show.summary import summarize

FORMATS = {"text": ".txt", "markdown": ".md", "csv": ".csv", "latex": ".tex"}
"""What the table can be written as, and how the names of such files end."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The table of a bench, ready to print.

    Args:
        text: with the remarks below; CSV without, so that programs can read it.
        remarks: what a reader has to know: what is missing, damaged, not comparable.
        pictures: files that were written.

    Example:
        >>> Shown(text="data,noise", remarks=["Seconds are not comparable."]).pictures
        ()
    """

    text: str
    remarks: list[str]
    pictures: tuple[Path, ...] = ()


def show_bench(
    found: Results,
    *,
    format: str = "text",
    against: str | None = None,
    measure: str = "test_accuracy_last",
    out: str | Path | None = None,
    pictures: str | Path | None = None,
) -> Shown:
    """The table of a bench; nothing is trained.

    Args:
        found: what is in its folder, see `read_results`.
        format: a key of `FORMATS`.
        against: a method of the bench, for paired differences to it.
        measure: what methods are compared by.
        out: a new file to write the text into. Default: none.
        pictures: a folder to draw accuracy against noise rate and against seconds into; pictures of the same names are
            replaced. Default: none are drawn.

    Raises:
        ArgumentError: no such format, method or measure.
        OutputError: `out` exists, has another ending than its format, or something cannot be written.

    Example:
        >>> from elr.runs.bench.cell import DONE, Cell, CellResult
        >>> results = [
        ...     CellResult(cell=Cell(data="digits", noise="symmetric", rate=0.4, method=name, uses=name, seed=seed),
        ...         status=DONE, measures={"test_accuracy_last": score + seed / 100}, seconds=3.0)
        ...     for name, score in (("elr", 0.75), ("mae", 0.5)) for seed in (0, 1)]
        >>> found = Results(cells=[result.cell for result in results], results=results)
        >>> print(show_bench(found).text)
        digits: test accuracy, last epoch
              symmetric 0.4
        elr  *0.7550 ± 0.0071
        mae   0.5050 ± 0.0071
        <BLANKLINE>
        digits: seconds of training, peak memory
             symmetric 0.4
        elr  3.0 ± 0.0 s
        mae  3.0 ± 0.0 s
        <BLANKLINE>
        *: best mean of its column among methods with all seeds.
    """
    if format not in FORMATS:
        raise ArgumentError(f"format is {format!r}: expected one of {', '.join(FORMATS)}")
    if out is not None:
        check_new(Path(out), FORMATS[format], instead="--out")
    if pictures is not None:
        optional("matplotlib", "a picture", extra="figures")
    summary = summarize(found, measure=measure, against=against)
    said = remarks(found, summary, signs=SIGNS[format])
    if format == "csv":
        text = as_csv(summary)
    else:
        render = {"text": as_text, "markdown": as_markdown, "latex": as_latex}[format]
        text = render(lay_out(summary), said)
    if out is not None:
        write_text(Path(out), text + "\n")
    drawn: tuple[Path, ...] = ()
    if pictures is not None:
        from elr.runs.bench.show.pictures import draw  # matplotlib is slow to load

        drawn = draw(found, summary, Path(pictures))
    return Shown(text=text, remarks=said, pictures=drawn)
