"""What stands in the cells of tables: numbers as countries and programs write them, labels as people do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from campaign.inputs import adder, csv, lines, text
from campaign.made import clusters

case = adder("inputs_cells")
PLAIN = clusters()
LINES = lines()
COUNT = len(PLAIN)
SOME = np.arange(COUNT)


def written(write: object, *, sep: str = ";", columns: str = "abc", frame: pd.DataFrame = PLAIN) -> object:
    """The table with numbers as `write` writes them."""
    return csv(frame.assign(**{name: frame[name].map(write) for name in columns}), sep=sep)  # type: ignore[call-overload]


def with_cells(column: str, cells: dict[int, object]) -> object:
    """The table with other cells in some rows of a column."""
    frame = PLAIN.astype(object)
    for row, cell in cells.items():
        frame.loc[row, column] = cell
    return csv(frame)


def with_labels(labels: object) -> object:
    return csv(PLAIN.assign(label=labels))


def without(column: str, rows: list[int]) -> pd.DataFrame:
    """What must be read where cells are taken for missing."""
    frame = PLAIN.copy()
    frame.loc[rows, column] = np.nan
    return frame


def renamed(**names: str) -> pd.DataFrame:
    return PLAIN.assign(label=PLAIN["label"].map(names))


BIG = PLAIN.assign(**{name: (PLAIN[name] * 1e6).round(2) for name in "abc"})
WHOLE = PLAIN.assign(**{name: (PLAIN[name] * 1e6).round(0) for name in "abc"})

# Numbers

case("decimal commas", csv(sep=";", decimal=","), want=PLAIN, says=["commas"], quick=True, fit=True)
case("decimal commas in quotation marks", csv(decimal=",", quoting=1), want=PLAIN)
case("thousands by points", written(lambda v: f"{v:,.2f}".translate(str.maketrans(",.", ".,")), frame=BIG), want=BIG,
     quick=True)  # fmt: skip
case("thousands by commas", written(lambda v: f"{v:,.2f}", frame=BIG), want=BIG)
case("thousands by spaces", written(lambda v: f"{v:,.2f}".replace(",", "\u202f"), frame=BIG), want=BIG)
case("thousands by apostrophes", written(lambda v: f"{v:,.2f}".replace(",", "'"), frame=BIG), want=BIG)
case("thousands by commas, whole numbers", written(lambda v: f"{v:,.0f}", frame=WHOLE), want=WHOLE)
case("three decimals behind a comma, nothing else", written(lambda v: f"{abs(v) + 1:.3f}".replace(".", ",")),
     refusal=["--decimal"])  # fmt: skip
case("three decimals behind a comma, said", written(lambda v: f"{v:.3f}".replace(".", ",")),
     options={"label": "label", "decimal": ","},
     want=PLAIN.assign(**{name: [float(f"{each:.3f}") for each in PLAIN[name]] for name in "abc"}))  # fmt: skip
case(
    "points in one column, commas in another", written(lambda v: f"{v:.4f}".replace(".", ","), columns="a"), want=PLAIN
)
case("both marks in one column", written(lambda v: f"{v:.4f}".replace(".", "," if v > 1 else "."), columns="a"),
     rows=COUNT, says=["column 'a'"])  # fmt: skip
case("percent", written(lambda v: f"{v:.4f} %"), want=PLAIN)
case("percent in some cells", written(lambda v: f"{v:.4f}%" if v > 0 else f"{v:.4f}", columns="a"), rows=COUNT,
     says=["column 'a' left out"])  # fmt: skip
case("currency before", written(lambda v: f"-${-v:.4f}" if v < 0 else f"${v:.4f}"), want=PLAIN)
case("currency behind", written(lambda v: f"{v:.4f} €"), want=PLAIN)
case("two currencies", written(lambda v: f"{abs(v):.4f} €" if v > 0 else f"{abs(v):.4f} $", columns="a"), rows=COUNT,
     says=["column 'a'"])  # fmt: skip
case("negative in brackets", written(lambda v: f"({-v:.4f})" if v < 0 else f"{v:.4f}"), want=PLAIN)
case("minus behind", written(lambda v: f"{-v:.4f}-" if v < 0 else f"{v:.4f}", columns="a"), rows=COUNT,
     says=["column 'a'"])  # fmt: skip
case("minus of unicode", written(lambda v: f"{v:.4f}".replace("-", "\u2212")), want=PLAIN)
case("scientific", written(lambda v: f"{v:.4e}"), want=PLAIN, quick=True)
case("scientific of Fortran", written(lambda v: f"{v:.4e}".replace("e", "D"), columns="a"), rows=COUNT)
case("digits of Arabic", written(lambda v: f"{v:.4f}".translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
     columns="a"),
     want=PLAIN)  # fmt: skip
case("hexadecimal", written(lambda v: hex(int(abs(v) * 1000)), columns="a"), rows=COUNT)
case("underscores", written(lambda v: f"{v:_.0f}", frame=WHOLE, columns="a"), rows=COUNT)
case("spaces around", written(lambda v: f"  {v:.4f} "), want=PLAIN)
case("hard spaces around", written(lambda v: f"\u00a0{v:.4f}\u00a0"), want=PLAIN)
case("apostrophes before, as in Excel", written(lambda v: f"'{v:.4f}", columns="a"), rows=COUNT, says=["'a'"])
case("formulas of Excel", written(lambda v: f'="{v:.4f}"', columns="a"), rows=COUNT, says=["'a'"])
case("infinite", with_cells("a", {5: "inf", 9: "-inf"}), refusal=["column 'a'", "infinite", "line 7"], quick=True)
case("infinite in words", with_cells("a", {5: "Infinity"}), refusal=["column 'a'", "infinite"])
case(
    "one number too many digits", with_cells("a", {5: "1e300"}), refusal=["column 'a'", "1e+300", "line 7"], quick=True
)
case("one number beyond floats", with_cells("a", {5: "1e999"}), refusal=["column 'a'", "line 7"])
case("numbers beyond whole ones", with_cells("a", {5: str(2**70)}), rows=COUNT)
case("tiny numbers", written(lambda v: f"{v}e-300", columns="a"), rows=COUNT)
case("all numbers great", written(lambda v: f"{v + 10:.4f}e+30"), want=PLAIN.assign(
     **{name: (PLAIN[name] + 10).round(4) * 1e30 for name in "abc"}), fit=True)  # fmt: skip
case("words for missing", with_cells("a", {3: "NA", 4: "", 5: "n/a", 6: "null", 7: "?", 8: "-"}),
     want=without("a", [3, 4, 5, 6, 7, 8]))  # fmt: skip
case("errors of Excel", with_cells("a", {3: "#DIV/0!", 4: "#N/A", 5: "#REF!"}), want=without("a", [3, 4, 5]),
     says=["column 'a'"])  # fmt: skip
case("a word in a column of numbers", with_cells("a", {3: "oops"}), want=without("a", [3]), says=["oops", "line 5"])
case("many words in a column of numbers", with_cells("a", dict.fromkeys(range(0, 40), "low")), rows=COUNT,
     says=["'a'"])  # fmt: skip
case("minus nine hundred ninety nine", with_cells("a", {3: "-999", 4: "-999"}), rows=COUNT, says=["-999"])
case("a column of one value", csv(PLAIN.assign(d=1.0)), want=PLAIN, says=["'d'", "same in every row"])
case("an empty column", csv(PLAIN.assign(d="")), want=PLAIN, says=["'d'", "empty"])
case("nothing but columns of one value", csv(PLAIN[["label"]].assign(d=1, e="x")), refusal=["no column is left"])
case("no column but the label", csv(PLAIN[["label"]]), refusal=["column"])
case("a column of one value and a gap", csv(PLAIN.assign(d=[1.0] * 119 + [np.nan])), want=PLAIN.assign(
     d=[1.0] * 119 + [np.nan]))  # fmt: skip
case("leading zeros", csv(PLAIN.assign(code=[f"{k % 4:03d}" for k in range(COUNT)])),
     want=PLAIN.assign(code=[f"{k % 4:03d}" for k in range(COUNT)]))  # fmt: skip
case("leading zeros as names", csv(PLAIN.assign(key=[f"{k:05d}" for k in range(COUNT)])),
     options={"label": "label", "id": "key"}, want=PLAIN)  # fmt: skip
case("names that are there twice", csv(PLAIN.assign(key=[f"{k // 2:05d}" for k in range(COUNT)])),
     options={"label": "label", "id": "key"}, refusal=["id column 'key'", "00000"])  # fmt: skip
case("a counter", csv(PLAIN.assign(Id=range(1, COUNT + 1))), want=PLAIN, says=["'Id'"])
case("keys of the database", csv(PLAIN.assign(key=[f"{k:032x}" for k in range(COUNT)])), want=PLAIN, says=["'key'"])
case("the label in other words", csv(PLAIN.assign(said=PLAIN["label"].map({"neg": "bad", "pos": "good"}))), want=PLAIN,
     says=["'said'"])  # fmt: skip
case("booleans in words", csv(PLAIN.assign(d=SOME % 3 == 0)),
     want=PLAIN.assign(d=[str(each) for each in SOME % 3 == 0]))  # fmt: skip
case("booleans in many words", csv(PLAIN.assign(d=np.array(["yes", "Y", "no", "N"])[SOME % 4])), rows=COUNT,
     says=["'d'", "one category"])  # fmt: skip
case("categories in two cases", csv(PLAIN.assign(d=np.array(["Male", "male", "Female"])[SOME % 3])), rows=COUNT,
     says=["'d'", "one category"])  # fmt: skip

# Dates

DAYS = pd.date_range("2024-01-01", periods=COUNT)[np.random.default_rng(0).integers(0, COUNT, COUNT)]
DATED = PLAIN.assign(day=(DAYS - pd.Timestamp("1970-01-01")).days.astype(float))
case("dates", csv(PLAIN.assign(day=DAYS)), want=DATED)
case("dates of Germany", csv(PLAIN.assign(day=DAYS.strftime("%d.%m.%Y"))), want=DATED, says=["'day'"])
case("dates of America", csv(PLAIN.assign(day=DAYS.strftime("%m/%d/%Y"))), want=DATED, says=["'day'"])
case("dates of which nobody knows day and month", csv(PLAIN.assign(day=[f"0{1 + k % 9}/0{1 + k % 7}/2024" for k in
     range(COUNT)])), rows=COUNT, says=["'day'"])  # fmt: skip
case("dates with zones", csv(PLAIN.assign(day=DAYS.strftime("%Y-%m-%dT00:00:00Z"))), want=DATED)
case("dates of Excel, as numbers", csv(PLAIN.assign(day=DATED["day"] + 25569)), want=PLAIN.assign(day=DATED["day"] +
     25569))  # fmt: skip
case("dates that there are not", csv(PLAIN.assign(day=["2024-02-30", *map(str, DAYS.date[1:])])),
     want=PLAIN.assign(day=[np.nan, *DATED["day"][1:]]), says=["'day'", "'2024-02-30'", "line 2"])  # fmt: skip
case("dates before and after what pandas knows", csv(PLAIN.assign(day=["0001-01-01", "9999-12-31",
     *map(str, DAYS.date[2:])])), rows=COUNT)  # fmt: skip

# Labels

case("labels NA", with_labels(PLAIN["label"].replace("neg", "NA")), refusal=["52 of 120", "--class NA"], quick=True)
case("labels NA, said to be a class", with_labels(PLAIN["label"].replace("neg", "NA")),
     options={"label": "label", "classes": ["NA"]}, want=renamed(neg="NA", pos="pos"), fit=True)  # fmt: skip
case("labels None, said to be a class", with_labels(PLAIN["label"].replace("neg", "None")),
     options={"label": "label", "classes": ["None"]}, want=renamed(neg="None", pos="pos"))  # fmt: skip
case("labels of many spellings", with_labels([["1", "1.0", "1.", "+1", " 1 ", "01"][k % 6] if name == "neg" else "2"
     for k, name in enumerate(PLAIN["label"])]), rows=COUNT, says=["several spellings"])  # fmt: skip
case("labels 1 and 1.0 and text", with_labels([["1", "1.0"][k % 2] if name == "neg" else "two" for k, name in
     enumerate(PLAIN["label"])]), counts={"1": 52, "two": 68}, rows=COUNT, says=["1.0"], quick=True)  # fmt: skip
case("labels true and false", with_labels(PLAIN["label"] == "pos"), counts={"True": 68, "False": 52}, rows=COUNT)
case("labels TRUE and 1", with_labels([["TRUE", "1"][k % 2] if name == "pos" else "0" for k, name in
     enumerate(PLAIN["label"])]), counts={"1": 68, "0": 52}, rows=COUNT, says=["TRUE"])  # fmt: skip
case("labels yes and no", with_labels(PLAIN["label"].map({"neg": "no", "pos": "yes"})), want=renamed(neg="no",
     pos="yes"))  # fmt: skip
case("labels with spaces", with_labels([f" {name}" if k % 3 else f"{name}\u00a0" for k, name in
     enumerate(PLAIN["label"])]), rows=COUNT, says=["several spellings"])  # fmt: skip
case("labels in two cases", with_labels([name.upper() if k % 9 == 0 else name for k, name in
     enumerate(PLAIN["label"])]), rows=COUNT, says=["NEG"])  # fmt: skip
case("labels with what cannot be seen", with_labels([f"{name}\u200b" if k % 3 else name for k, name in
     enumerate(PLAIN["label"])]), counts={"neg\u200b": 52, "pos\u200b": 68}, rows=COUNT,
     says=["several spellings"])  # fmt: skip
case("labels missing", with_cells("label", {3: "", 4: ""}), refusal=["2 of 120", "line 5"], quick=True)
case("labels of blanks", with_cells("label", {3: "  "}), refusal=["1 of 120", "line 5"])
case("labels of question marks", with_cells("label", {3: "?"}), refusal=["1 of 120", "--no-label"])
case("labels of question marks, said to be none", with_cells("label", {3: "?"}),
     options={"label": "label", "no_label": ["?"]}, rows=119, says=["left out"])  # fmt: skip
case("labels minus one beside classes", with_labels([-1 if k % 10 == 0 else k % 3 for k in range(COUNT)]),
     refusal=["-1", "--no-label"])  # fmt: skip
case("labels minus one and one", with_labels(PLAIN["label"].map({"neg": -1, "pos": 1})), want=renamed(neg="-1",
     pos="1"))  # fmt: skip
case("one row a class", with_labels([f"c{k}" for k in range(COUNT)]), refusal=["different in each"], quick=True)
case("a class of one row", with_cells("label", {3: "other"}), refusal=["one example only", "line 5", "'other'"],
     quick=True)  # fmt: skip
case("one class", with_labels("neg"), refusal=["class"], quick=True)
case("five thousand classes", csv(pd.DataFrame({"a": np.arange(10_000) % 97, "b": np.arange(10_000) % 89 * 0.5,
     "label": [f"class {k % 5000}" for k in range(10_000)]})), rows=10_000,
     counts={f"class {k}": 2 for k in range(5000)})  # fmt: skip
case("labels that are measurements", with_labels(np.random.default_rng(0).normal(size=COUNT)), refusal=["measurement"])
case("labels of few fractions", with_labels(np.array([0.5, 1.5, 2.5])[SOME % 3]), counts={"0.5": 40, "1.5": 40,
     "2.5": 40}, rows=COUNT)  # fmt: skip
case(
    "labels with leading zeros", with_labels(np.array(["007", "7"])[SOME % 2]), counts={"007": 60, "7": 60}, rows=COUNT
)
case("labels of great numbers", with_labels(np.array([2**63, 2**63 + 1], dtype=object)[SOME % 2]),
     counts={str(2**63): 60, str(2**63 + 1): 60}, rows=COUNT)  # fmt: skip
case("labels of dates", with_labels(np.array(["2024-01-01", "2024-01-02"])[SOME % 2]), counts={"2024-01-01": 60,
     "2024-01-02": 60}, rows=COUNT)  # fmt: skip
case("labels of several classes in one cell", with_labels([f"{name}|pos" if k % 5 == 0 else name for k, name in
     enumerate(PLAIN["label"])]), rows=COUNT, says=["several classes in one cell"])  # fmt: skip
case("labels of a thousand letters", with_labels(PLAIN["label"] * 1000), want=PLAIN.assign(label=PLAIN["label"] * 1000),
     fit=True)  # fmt: skip
case("labels of emoji and turned letters", with_labels(PLAIN["label"].map({"neg": "\U0001f44e", "pos": "\u202esop"})),
     want=renamed(neg="\U0001f44e", pos="\u202esop"), fit=True)  # fmt: skip
case("labels of formulas", with_labels(PLAIN["label"].map({"neg": "=1+1", "pos": "@pos"})), want=renamed(neg="=1+1",
     pos="@pos"), fit=True)  # fmt: skip
case("labels in order", csv(PLAIN.sort_values("label")), rows=COUNT, counts={"neg": 52, "pos": 68})
case("all rows alike", csv(PLAIN.assign(a=1.0, b=2.0, c=3.0)), refusal=["no column is left"])
case("rows there twice", csv(pd.concat([PLAIN, PLAIN])), rows=240)
case("no rows with values", text("\n".join([LINES[0], *(",,," for _ in range(9))])), refusal=["label"])
