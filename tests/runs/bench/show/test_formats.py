from rich.cells import cell_len

from elr.runs.bench.show.formats import as_latex, as_markdown, as_text
from elr.runs.bench.show.layout import Item, Table
from elr.runs.bench.show.summary import BEST, CLOSE

TABLE = Table(
    "digits: accuracy",
    ["symmetric 0.2", "no noise"],
    {
        "elr": [Item("0.9000 ± 0.0100", BEST), Item("0.9500 ± 0.0100")],
        "elr_plus": [Item("0.8900 ± 0.0100", CLOSE), Item("0/3")],
    },
)


def test_text():
    assert as_text([TABLE], ["*: best."]).splitlines() == [
        "digits: accuracy",
        "           symmetric 0.2     no noise",
        "elr       *0.9000 ± 0.0100   0.9500 ± 0.0100",
        "elr_plus  ~0.8900 ± 0.0100   0/3",
        "",
        "*: best.",
    ]


def test_text_fits_the_terminal():
    table = Table("t", [f"noise {n}" for n in range(20)], {"elr": [Item("0.9000 ± 0.0100 (0.9100) 3/5", BEST)] * 20})
    text = as_text([table], ["word " * 100, "w" * 150])
    assert max(cell_len(line) for line in text.splitlines() if "www" not in line) <= 120
    assert sum(f"noise {n}" in text for n in range(20)) == 20
    assert text.count("3/5") == 20
    assert max(map(len, as_text([table], [], width=40).splitlines())) <= 40


def test_wide_letters_and_controls():
    table = Table("t\x1b[2J", ["a", "b"], {"方法": [Item("1"), Item("2")], "x\ny": [Item("3"), Item("4")]})
    lines = as_text([table], []).splitlines()
    assert lines == ["t\N{REPLACEMENT CHARACTER}[2J", "      a  b", "方法  1  2", "x\N{REPLACEMENT CHARACTER}y   3  4"]


def test_markdown():
    assert as_markdown([TABLE], ["bold: best."]).splitlines() == [
        "**digits: accuracy**",
        "",
        "| method | symmetric 0.2 | no noise |",
        "|---|---|---|",
        "| elr | **0.9000 ± 0.0100** | 0.9500 ± 0.0100 |",
        "| elr_plus | *0.8900 ± 0.0100* | 0/3 |",
        "",
        "- bold: best.",
    ]


def test_markdown_names_are_escaped():
    text = as_markdown([Table("t", ["a|b"], {"*x* <b> _y_": [Item("1")]})], [])
    assert r"| method | a\|b |" in text
    assert r"| \*x\* \<b\> \_y\_ | 1 |" in text


def test_latex():
    assert as_latex([TABLE], ["bold: best, 95 %."]).splitlines() == [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        r"\caption{digits: accuracy}",
        r"\begin{tabular}{lll}",
        r"\toprule",
        r"method & symmetric 0.2 & no noise \\",
        r"\midrule",
        r"elr & \textbf{0.9000 $\pm$ 0.0100} & 0.9500 $\pm$ 0.0100 \\",
        r"elr\_plus & \underline{0.8900 $\pm$ 0.0100} & 0/3 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
        "",
        r"\noindent bold: best, 95 \%.\par",
    ]


def test_latex_names_are_escaped():
    text = as_latex([Table("50 % & #1 $x$ {a} ~ ^ \\", ["<b>"], {"a_b": [Item("[+1, \N{MINUS SIGN}1]")]})], [])
    assert r"\caption{50 \% \& \#1 \$x\$ \{a\} \textasciitilde{} \textasciicircum{} \textbackslash{}}" in text
    assert r"method & \textless{}b\textgreater{} \\" in text
    assert r"a\_b & {}[+1, $-$1] \\" in text


def test_wide_latex_comes_in_parts():
    table = Table("t", [f"noise {n}" for n in range(7)], {"elr": [Item("0.9000 ± 0.0100 (0.9100)")] * 7})
    text = as_latex([table], [])
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
