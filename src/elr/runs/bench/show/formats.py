"""Tables as text for the terminal, as Markdown and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len

from elr.runs.bench.show.layout import Item, Table
from elr.runs.bench.show.summary import BEST, CLOSE

WIDTH = 120  # columns of a terminal
_LATEX_WIDTH = 110  # letters of a row, about a page on its side
_GAP = "  "
_SIGNS = {BEST: "*", CLOSE: "~", "": " "}
SIGNS = {
    "text": {BEST: "*", CLOSE: "~"},
    "markdown": {BEST: "bold", CLOSE: "italic"},
    "latex": {BEST: "bold", CLOSE: "underlined"},
    "csv": {},
}
"""How each format shows the marks, in words."""
_LATEX = {
    "\\": r"\textbackslash{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
}


def as_text(tables: Sequence[Table], remarks: Sequence[str], *, width: int = WIDTH) -> str:
    """Tables for the terminal, those that are too wide in several parts.

    Args:
        tables: what to show.
        remarks: said below.
        width: in characters; a single column that is wider stays whole.

    Example:
        >>> table = Table("accuracy", ["noise 0.2"], {"elr": [Item("0.91", "best")], "mae": [Item("0.85")]})
        >>> print(as_text([table], ["*: best."]))
        accuracy
              noise 0.2
        elr  *0.91
        mae   0.85
        <BLANKLINE>
        *: best.
    """
    lines = []
    for table in tables:
        for part in table.parts(lambda widths: sum(widths) + (len(_GAP) + 1) * len(widths) <= width, width=cell_len):
            lines += [_visible(part.title), *_aligned(part), ""]
    return "\n".join([*lines, *(line for remark in remarks for line in _wrapped(_visible(remark), width))]).rstrip()


def _aligned(table: Table) -> list[str]:
    marked = any(item.mark for items in table.body.values() for item in items)
    rows = [["", *((" " if marked else "") + name for name in table.head)]]
    for method, items in table.body.items():
        rows.append([method, *((_SIGNS[item.mark] if marked else "") + item.text for item in items)])
    rows = [[_visible(text) for text in row] for row in rows]
    widths = [max(map(cell_len, texts)) for texts in zip(*rows, strict=True)]
    return [
        _GAP.join(text + " " * (wide - cell_len(text)) for text, wide in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _visible(text: str) -> str:
    """Names come from people's files; what would steer a terminal or break a row becomes visible."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _wrapped(text: str, width: int) -> list[str]:
    """In lines, broken at spaces alone; the further lines are indented."""
    lines, line = [], ""
    for word in text.split(" "):
        if line.strip() and cell_len(line) + 1 + cell_len(word) > width:
            lines.append(line)
            line = f"  {word}"
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def as_markdown(tables: Sequence[Table], remarks: Sequence[str]) -> str:
    """Tables in the Markdown of GitHub.

    Args:
        tables: what to show.
        remarks: a list below.

    Example:
        >>> table = Table("accuracy", ["noise 0.2"], {"elr": [Item("0.91", "best")], "mae": [Item("0.85")]})
        >>> print(as_markdown([table], ["bold: best."]))
        **accuracy**
        <BLANKLINE>
        | method | noise 0.2 |
        |---|---|
        | elr | **0.91** |
        | mae | 0.85 |
        <BLANKLINE>
        - bold: best.
    """
    lines = []
    for table in tables:
        lines += [f"**{_in_markdown(table.title)}**", ""]
        lines += [f"| method | {' | '.join(map(_in_markdown, table.head))} |", "|---" * (len(table.head) + 1) + "|"]
        for method, items in table.body.items():
            lines.append(f"| {_in_markdown(method)} | {' | '.join(map(_marked_in_markdown, items))} |")
        lines.append("")
    return "\n".join([*lines, *(f"- {_in_markdown(remark)}" for remark in remarks)]).rstrip()


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\|*<>`]|(?<!\w)_|_(?!\w)|~(?=~)|(?<=\])\()", r"\\\1", _visible(text))


def _marked_in_markdown(item: Item) -> str:
    around = {BEST: "**", CLOSE: "*", "": ""}[item.mark]
    return f"{around}{_in_markdown(item.text)}{around}"


def as_latex(tables: Sequence[Table], remarks: Sequence[str]) -> str:
    r"""Tables in LaTeX with the lines of booktabs, those that are too wide in several parts.

    Args:
        tables: what to show.
        remarks: a paragraph each, below.

    Example:
        >>> table = Table("accuracy", ["noise 0.2"], {"elr_plus": [Item("0.91", "best")]})
        >>> print(as_latex([table], []))
        % \usepackage{booktabs}
        \begin{table}
        \centering
        \caption{accuracy}
        \begin{tabular}{ll}
        \toprule
        method & noise 0.2 \\
        \midrule
        elr\_plus & \textbf{0.91} \\
        \bottomrule
        \end{tabular}
        \end{table}
    """
    lines = [r"% \usepackage{booktabs}"]
    for table in tables:
        for part in table.parts(lambda widths: sum(widths) <= _LATEX_WIDTH, width=cell_len):
            lines += [r"\begin{table}", r"\centering", rf"\caption{{{_in_latex(part.title)}}}"]
            lines += [rf"\begin{{tabular}}{{{'l' * (len(part.head) + 1)}}}", r"\toprule"]
            lines += [" & ".join(["method", *map(_in_latex, part.head)]) + r" \\", r"\midrule"]
            for method, items in part.body.items():
                lines.append(" & ".join([_in_latex(method), *map(_marked_in_latex, items)]) + r" \\")
            lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join([*lines, *(f"\\noindent {_in_latex(remark)}\\par" for remark in remarks)]).rstrip()


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(char, char) for char in _visible(text))


def _marked_in_latex(item: Item) -> str:
    text = _in_latex(item.text)
    if not item.mark:
        return f"{{}}{text}" if text.startswith("[") else text  # after \\ a bracket would be its argument
    return rf"\textbf{{{text}}}" if item.mark == BEST else rf"\underline{{{text}}}"
