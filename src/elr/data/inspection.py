"""What was read, shown before anything is trained: lines and rows, classes, each column and how it is used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from elr.data.records import LEARNED, ColumnReport, ReadOptions, Records
from elr.names import printable

MOST_LINES = 12
_MOST_CLASSES, _MOST_NOTES = 6, 3
_WIDTH, _EXAMPLE, _USE = 24, 20, 60
_APART = ("columns", "test", "annotations", "image_column", "spellings", "label_type")  # facts that are shown elsewhere
_USUAL = {
    "blank_lines": 0,
    "separator": ",",
    "quoted_line_breaks": 0,
    "lines_before_rows": 1,
    "quotes": True,
    "encoding": "utf-8",
}  # not worth a word


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was read from some data, as plain values.

    Args:
        source: where they are.
        kind: "table", "text", "images" or "features".
        num_examples: rows that are trained on.
        labels_from: what messages call the given labels.
        facts: what was found in the file, by name: lines, rows, blank lines, separator, encoding.
        classes: each with its name, count and share of the rows, the most frequent first.
        columns: each with name, kind, use ("learned from", or why not), missing and distinct cells and an example,
            these None where they were not looked at. Empty where there are no columns.
        test: source, num_examples and facts of the test data, None if there are none.
        remarks: what was read in an unusual way, left out or merged.
        warnings: what is likely to make results wrong.

    Example:
        >>> import pandas as pd
        >>> from elr.data.prepared_data import inspect
        >>> frame = pd.DataFrame({"x": [1.5, 2.5, 0.5, 3.5], "n": ["u"] * 4, "y": ["cat", "dog"] * 2})
        >>> print(inspect(frame, ReadOptions(label="y")))  # doctest: +NORMALIZE_WHITESPACE
        Read a data frame: table, 4 rows
        2 classes in label column 'y': cat 2 (50.0 %), dog 2 (50.0 %)
        Learned from 1 of 3 columns (1 numeric):
          column  kind                   missing  example  use
          n       nothing to learn from  0        u        left out: it says the same in every row
          y       label                  0        cat      label
          x       numeric                0        1.5      learned from
        note: column 'n' left out: it says the same in every row
    """

    source: str
    kind: str
    num_examples: int
    labels_from: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[Mapping[str, Any]] = ()
    columns: Sequence[Mapping[str, Any]] = ()
    test: Mapping[str, Any] | None = None
    remarks: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it, for run.json and `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self.lines(None))

    def lines(self, most: int | None = MOST_LINES) -> list[str]:
        """What to show people before training, in about so many lines (None: all that there is).

        Columns that are not learned from come first, then those with missing cells.
        """
        facts = _facts(self.facts) or [f"{self.num_examples:,} rows"]
        shown = [f"Read {printable(self.source)}: {self.kind}, {', '.join(facts)}", self._classes_line()]
        if self.test is not None:
            rows = f"{self.test['num_examples']:,} rows with labels"
            found = ", ".join([rows, *_facts(self.test["facts"])])
            shown.append(f"Test data {printable(self.test['source'])}: {found}")
        said = [f"warning: {each}" for each in self.warnings] + [f"note: {each}" for each in self.remarks]
        notes = said if most is None else said[: max(_MOST_NOTES, len(self.warnings))]
        left = len(said) - len(notes)
        more = [f"{left} more note{'s' * (left > 1)}: elr inspect says them all"] if left else []
        if self.columns:
            room = len(self.columns) if most is None else most - len(shown) - len(notes) - len(more) - 3
            shown += self._column_lines(max(3, room))
        return shown + notes + more

    def _classes_line(self) -> str:
        parts = [f"{each['name']} {each['count']:,} ({each['share']:.1%})" for each in self.classes[:_MOST_CLASSES]]
        more = len(self.classes) - _MOST_CLASSES
        rest = f", and {more} more down to {self.classes[-1]['count']:,} rows" if more > 0 else ""
        return f"{len(self.classes)} classes in {self.labels_from}: {', '.join(parts)}{rest}".replace("%)", " %)")

    def _column_lines(self, room: int) -> list[str]:
        used = [each for each in self.columns if each["use"] == LEARNED]
        others = [each for each in self.columns if each["use"] != LEARNED]
        with_gaps = sorted(used, key=lambda each: -(each["missing"] or 0))
        chosen = [*others[: max(1, room - min(len(used), room // 2))], *with_gaps][:room]
        heads = ("column", "kind", "missing", "example", "use")
        cells = [
            (
                _cut(each["name"], _WIDTH),
                each["kind"] or "-",
                "-" if each["missing"] is None else f"{each['missing']:,}",
                "-" if each["example"] is None else _cut(each["example"], _EXAMPLE),
                _cut(each["use"], _USE),
            )
            for each in chosen
        ]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        rows = [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (heads, *cells)
        ]
        left = len(self.columns) - len(chosen)
        more = [f"  and {left} more column{'s' * (left > 1)}"] if left else []
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(each["kind"] for each in used).most_common())
        learned = f"Learned from {len(used)} of {len(self.columns)} columns{f' ({kinds})' if kinds else ''}:"
        return [learned, *rows, *more]


def columns_shown(records: Records, reports: Sequence[ColumnReport], options: ReadOptions) -> list[dict[str, Any]]:
    """Every column of a table in its order, with what it is used for.

    Args:
        records: as read; `facts` has all columns that there are.
        reports: on those that may be learned from.
        options: how they were read.

    Example:
        >>> import numpy as np
        >>> facts = {"columns": {"y": {"missing": 0, "example": "cat"}}}
        >>> records = Records(kind="table", rows=np.arange(2), facts=facts)
        >>> columns_shown(records, [], ReadOptions(label="y"))
        [{'name': 'y', 'kind': 'label', 'use': 'label', 'distinct': None, 'missing': 0, 'example': 'cat'}]
    """
    known = {report.name: asdict(report) for report in reports}
    for report in known.values():
        report["use"] = report["use"] if report["use"] == LEARNED else f"left out: {report['use']}"
    found = []
    about = records.facts.get("columns", {})
    for name in about or known:
        if name in known:
            found.append(known[name])
        else:
            kind, use = _role(name, options)
            found.append({"name": name, "kind": kind, "use": use, "distinct": None} | dict(about[name]))
    return found


def facts_shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a file that are shown as they are: lines, rows and the like.

    Example:
        >>> facts_shown({"lines": 3, "columns": {"x": {}}})
        {'lines': 3}
    """
    return {name: value for name, value in facts.items() if name not in _APART}


def _role(name: str, options: ReadOptions) -> tuple[str, str]:
    """Kind and use of a column that is not one of those considered to learn from."""
    roles = {options.label: "label", options.clean_label: "clean label", options.id: "id", options.text: "text"}
    roles |= {options.embedding: "embedding", options.image: "names of images"}
    roles |= dict.fromkeys(options.annotators, "annotator")
    if name in (options.text, options.embedding, options.image):
        return roles[name], LEARNED
    if name in options.ignore:
        return "", "left out: --ignore"
    alone = (
        "--text alone is" if options.text else "--embedding alone is" if options.embedding else "the images alone are"
    )
    return (roles[name], roles[name]) if name in roles else ("", f"left out: {alone} learned from")


def said_of_file(facts: Mapping[str, Any]) -> str:
    """Lines, rows and what is unusual about a file, in a line; "" where nothing is known of it.

    Example:
        >>> said_of_file({"lines": 4, "rows": 2, "blank_lines": 1, "quotes": True, "separator": ";"})
        "4 lines, 2 rows, 1 blank lines, separator ';'"
    """
    return ", ".join(_facts(facts_shown(facts)))


def _facts(facts: Mapping[str, Any]) -> list[str]:
    return [_fact(name, value) for name, value in facts.items() if _USUAL.get(name) != value]


def _fact(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if isinstance(value, bool):
        return f"{words}: {'yes' if value else 'no'}"
    return f"{value:,} {words}" if isinstance(value, int) else f"{words} {value!r}"


def _cut(value: object, width: int) -> str:
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= width else f"{text[: width - 1]}…"
