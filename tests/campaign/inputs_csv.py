"""Text files of tables as people bring them, malformed or strange."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from campaign.inputs import adder, csv, lines, text
from campaign.made import clusters

case = adder("inputs_csv")
PLAIN = clusters()
LINES = lines()
TEXT = "\n".join(LINES) + "\n"
ACCENTS = PLAIN.assign(label=PLAIN["label"].map({"neg": "né", "pos": "où"}))
ACCENTED = "\n".join(lines(ACCENTS)) + "\n"


def cells(frame: pd.DataFrame, write: object, *, mark: str = ";", names: bool = True) -> str:
    """A table with numbers as `write` writes them."""
    rows = [mark.join(frame.columns)] if names else []
    for row in frame.itertuples(index=False):
        rows.append(mark.join(write(value) if isinstance(value, float) else str(value) for value in row))  # type: ignore[operator]
    return "\n".join(rows) + "\n"


def spoiled(number: int, line: str) -> str:
    """The plain table with another line."""
    return "\n".join([*LINES[:number], line, *LINES[number + 1 :]]) + "\n"


def zipped(folder: Path, name: str = "d.zip") -> None:
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("d.csv", TEXT)


def workbook(folder: Path) -> None:
    with zipfile.ZipFile(folder / "d.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")


# Encodings and ends of lines

case("byte order mark", text(TEXT, encoding="utf-8-sig"), want=PLAIN, quick=True)
case("two byte order marks", text("\ufeff" + TEXT, encoding="utf-8-sig"), want=PLAIN)
case("utf 16", text(ACCENTED, encoding="utf-16"), want=ACCENTS, quick=True)
case("utf 16 without a mark", text(ACCENTED, encoding="utf-16-be"), want=ACCENTS, says=["utf-16"])
case("utf 32", text(ACCENTED, encoding="utf-32"), want=ACCENTS)
case("latin 1", text(ACCENTED, encoding="latin-1"), want=ACCENTS, says=["not UTF-8"])
case("latin 1 named utf 8", text(ACCENTED, encoding="latin-1"), options={"label": "label", "encoding": "utf-8"},
     refusal=["line 2", "utf-8", "--encoding"])  # fmt: skip
case("mac roman named", text(ACCENTED, encoding="mac_roman"), options={"label": "label", "encoding": "mac_roman"},
     want=ACCENTS)  # fmt: skip
case("an encoding that there is not", text(TEXT), options={"label": "label", "encoding": "utf-9"}, refusal=["utf-9"])
case("utf 7 is no text of ours", text(TEXT), options={"label": "label", "encoding": "base64"}, refusal=["base64"])
case("shift jis", text("\n".join(lines(PLAIN.assign(label=PLAIN["label"].map({"neg": "間違い", "pos": "正しい"})))),
     encoding="shift_jis"), want=PLAIN.assign(label=PLAIN["label"].map({"neg": "間違い",
     "pos": "正しい"})))  # fmt: skip
case("one line of another encoding", text(TEXT.encode() + "1,2,3,né\n1,2,3,né\n".encode("latin-1")), rows=122,
     says=["not UTF-8"])  # fmt: skip
case("carriage returns and line feeds", text("\r\n".join(LINES) + "\r\n"), want=PLAIN)
case("carriage returns alone", text("\r".join(LINES) + "\r"), want=PLAIN, quick=True)
case("mixed ends of lines", text("\r\n".join(LINES[:50]) + "\n" + "\n".join(LINES[50:])), want=PLAIN)
case("no end of the last line", text(TEXT.rstrip("\n")), want=PLAIN)
case("blank lines between", text("\n\n".join(LINES) + "\n\n\n"), want=PLAIN)
case("blank lines before", text("\n\n\n" + TEXT), want=PLAIN)
case("an end of file mark of DOS", text(TEXT + "\x1a"), refusal=["line 122"])
case("zero bytes at the end", text(TEXT.encode() + b"\0" * 512), refusal=["zero byte", "line 122"], quick=True)
case("a zero byte in a cell", text(spoiled(7, "1.0,2\0.0,3.0,neg")), refusal=["zero byte", "line 8"])
case("line separators of unicode in cells", text(TEXT.replace("neg", "ne\u2028g")),
     want=PLAIN.assign(label=PLAIN["label"].replace("neg", "ne\u2028g")))  # fmt: skip

# Separators, quotation marks, layout

case("semicolons", csv(sep=";"), want=PLAIN, says=["separated by ';'"], quick=True)
case("tabs called csv", csv(sep="\t"), want=PLAIN, says=["separated by"])
case("pipes", csv(sep="|"), want=PLAIN)
case("commas called tsv", csv(name="d.tsv"), data="d.tsv", want=PLAIN)
case("a separator of two characters", text(TEXT.replace(",", "||")), options={"label": "label", "separator": "||"},
     refusal=["||", "one character"])  # fmt: skip
case("spaces as separators", csv(sep=" "), options={"label": "label", "separator": " "}, want=PLAIN)
case("carets, named", csv(sep="^"), options={"label": "label", "separator": "^"}, want=PLAIN)
case("carets, not named", csv(sep="^"), refusal=["label"])
case("a line that says sep", text("sep=;\n" + TEXT.replace(",", ";")), want=PLAIN, quick=True)
case("a line that says another sep", text("sep=;\n" + TEXT), want=PLAIN)
case("a comment before", text("# made by hand\n" + TEXT), want=PLAIN)
case("a comment in the middle", text(spoiled(60, "# to be checked")), refusal=["line 61"])
case("a title before", text("Report of May\n\n" + TEXT), want=PLAIN, says=["line 3"])
case("a total at the end", text(TEXT + "Total,12,13,\n"), refusal=["label", "line 122"])
case("names again in the middle", text(spoiled(60, LINES[0])), refusal=["line 61", "names"], quick=True)
case("two lines of names", text("\n".join([LINES[0], "cm,kg,s,class", *LINES[1:]]) + "\n"), refusal=["class", "line 2"])
case("units below the names, twice a class", text("\n".join([LINES[0], "cm,kg,s,unit", "cm,kg,s,unit", *LINES[1:]])),
     says=["'cm'"], rows=122)  # fmt: skip
case("no line of names", text("\n".join(LINES[1:]) + "\n"), refusal=["label"])
case("names that are the first row", text("\n".join(LINES[1:]) + "\n"), options={"label": LINES[1].split(",")[3]},
     says=["looks like data"], rows=119)  # fmt: skip
case("commas at the ends of all lines", text(TEXT.replace("\n", ",\n")), want=PLAIN)
case("commas at the ends of rows", text(LINES[0] + "\n" + "".join(f"{each},\n" for each in LINES[1:])), want=PLAIN)
case("commas without end", text(TEXT.replace("\n", "," * 20 + "\n")), want=PLAIN)
case("one cell too many", text(spoiled(30, "1,2,3,neg,5")), refusal=["line 31", "5"], quick=True)
case("one cell too few", text(spoiled(30, "1,2,3")), refusal=["label", "line 31"])
case("one cell too few, at the end", text(TEXT + "1,2\n"), refusal=["line 122"])
case("a row that a line end breaks in two", text(spoiled(30, "1,2\n3,neg")), refusal=["line", "31"])
case("a quotation mark that is never closed", text(spoiled(30, '"1,2,3,neg')), rows=120, says=["line 31",
     "quotation", "'a'"],
     quick=True)  # fmt: skip
case("a lone mark in a label", text(spoiled(30, '1,2,3,"neg')), refusal=["31"])
case("all cells in marks", csv(quoting=1), want=PLAIN)
case("all cells in apostrophes", text("\n".join(",".join(f"'{cell}'" for cell in each.split(",")) for each in LINES)),
     options={"label": "'label'"}, refusal=["no column is left"])  # fmt: skip
case("marks escaped by backslashes", text(TEXT.replace("neg", '"the \\"bad\\" one"')),
     want=PLAIN.assign(label=PLAIN["label"].replace("neg", 'the "bad" one')))  # fmt: skip
case("ends of lines in labels", csv(PLAIN.assign(label=PLAIN["label"].replace("neg", "not\ngood"))),
     counts={"not\ngood": 52, "pos": 68}, rows=120)  # fmt: skip
case("ends of lines in names", csv(PLAIN.rename(columns={"a": "a\n(cm)"})), want=PLAIN.rename(columns={"a": "a\n(cm)"}))
case("spaces behind commas", text(TEXT.replace(",", ", ")), rows=120, counts={" pos": 68, " neg": 52},
     options={"label": " label"})  # fmt: skip
case("spaces behind commas, label without", text(TEXT.replace(",", ", ")), refusal=["' label'"])

# Names of columns

case("a name twice", text(TEXT.replace("a,b,c", "a,b,a")), refusal=["2 columns named 'a'"], quick=True)
case("the label twice", text("\n".join(["label," + LINES[0], *(f"x,{each}" for each in LINES[1:])])),
     refusal=["2 columns named 'label'"])  # fmt: skip
case("names that differ in case", csv(PLAIN.rename(columns={"b": "A"})), want=PLAIN.rename(columns={"b": "A"}))
case("an empty name", csv(PLAIN.rename(columns={"b": ""})), want=PLAIN.rename(columns={"b": "Unnamed: 1"}))
case("two empty names", csv(PLAIN.rename(columns={"b": "", "c": ""})),
     want=PLAIN.rename(columns={"b": "Unnamed: 1", "c": "Unnamed: 2"}))  # fmt: skip
case("names that are numbers", csv(PLAIN.rename(columns={"a": "0", "b": "1", "c": "2"})),
     want=PLAIN.rename(columns={"a": "0", "b": "1", "c": "2"}))  # fmt: skip
case("very long names", csv(PLAIN.rename(columns={"a": "a" * 10_000})), want=PLAIN.rename(columns={"a": "a" * 10_000}))
case("a name of a reserved kind", csv(PLAIN.rename(columns={"a": "__index_level_0__", "b": "row", "c": "index"})),
     want=PLAIN.rename(columns={"a": "__index_level_0__", "b": "row", "c": "index"}), fit=True)  # fmt: skip
case("a column called given_label", csv(PLAIN.rename(columns={"a": "given_label", "b": "predicted_label"})),
     want=PLAIN.rename(columns={"a": "given_label", "b": "predicted_label"}), fit=True)  # fmt: skip
case("names of emoji", csv(PLAIN.rename(columns={"a": "\U0001f600", "b": "\u202eb"})),
     want=PLAIN.rename(columns={"a": "\U0001f600", "b": "\u202eb"}))  # fmt: skip
case("a label in another case", csv(), options={"label": "Label"}, refusal=["'Label'", "did you mean 'label'"],
     quick=True)  # fmt: skip
case("a label with a space", csv(), options={"label": "label "}, refusal=["did you mean 'label'"])
case("a label by its place", csv(), options={"label": "3"}, refusal=["'3'", "'label'"])
case("ten thousand columns", csv(pd.DataFrame(np.eye(60, 10_000), columns=[f"x{k}" for k in range(10_000)]).assign(
     label=["u", "v"] * 30)), rows=60, counts={"u": 30, "v": 30})  # fmt: skip
case("the index of pandas", csv(index=True), want=PLAIN, says=["Unnamed: 0"], quick=True)
case("the index of pandas, shuffled", csv(PLAIN.sample(frac=1, random_state=0), index=True),
     want=PLAIN.sample(frac=1, random_state=0), says=["Unnamed: 0"])  # fmt: skip
case("an index without a name of its column", text("\n".join([LINES[0], *(f"{k},{each}" for k, each in
     enumerate(LINES[1:]))])), refusal=["more cells", "line 2"])  # fmt: skip

# Files that are something else

case("an empty file", text(""), refusal=["empty"], quick=True)
case("only blanks", text(" \n\n \n"), refusal=["empty"])
case("only a byte order mark", text(b"\xef\xbb\xbf"), refusal=["empty"])
case("only names", text(LINES[0] + "\n"), refusal=["no rows"], quick=True)
case("only names, no end of line", text(LINES[0]), refusal=["no rows"])
case("one row", text("\n".join(LINES[:2])), refusal=["label"])
case("compressed by gzip, called csv", text(gzip.compress(TEXT.encode())), want=PLAIN)
case("compressed by gzip", text(gzip.compress(TEXT.encode()), "d.csv.gz"), data="d.csv.gz", want=PLAIN, quick=True)
case("gzip cut off", text(gzip.compress(TEXT.encode())[:-40], "d.csv.gz"), data="d.csv.gz", refusal=["d.csv.gz"])
case("gzip damaged", text(gzip.compress(TEXT.encode())[:100] + b"\0" * 100, "d.csv.gz"), data="d.csv.gz",
     refusal=["d.csv.gz"])  # fmt: skip
case("plain, called gz", text(TEXT, "d.csv.gz"), data="d.csv.gz", want=PLAIN)
case("compressed by xz", text(lzma.compress(TEXT.encode()), "d.csv.xz"), data="d.csv.xz", refusal=["unpack"])
case("compressed by bz2", text(bz2.compress(TEXT.encode()), "d.csv.bz2"), data="d.csv.bz2", refusal=["unpack"])
case("compressed by xz, called csv", text(lzma.compress(TEXT.encode())), refusal=["d.csv", "compressed"])
case("compressed by bz2, called csv", text(bz2.compress(TEXT.encode())), refusal=["d.csv", "compressed"])
case("compressed by zstd, called csv", text(b"\x28\xb5\x2f\xfd" + bytes(range(64)) * 3), refusal=["d.csv"])
case("a zip", zipped, data="d.zip", refusal=["unpack"])
case("a zip called csv", lambda folder: zipped(folder, "d.csv"), refusal=["zip"])
case("a workbook called csv", workbook, refusal=["Excel"])
case("an old workbook called csv", text(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500)), refusal=["Excel"])
case("a workbook", text(b"PK\x03\x04", "d.xlsx"), data="d.xlsx", refusal=["xlsx", "CSV"], quick=True)
case("a page of HTML", text("<!DOCTYPE html>\n<html><body>Sign in</body></html>"), refusal=["HTML"], quick=True)
case("a page of HTML without a type", text("\n\n<head><title>404</title></head>\n<body>Not found</body>"),
     refusal=["d.csv"])  # fmt: skip
case("JSON called csv", text(json.dumps(PLAIN.to_dict("records"))), refusal=["JSON", ".json"])
case("JSON lines called csv", text(PLAIN.to_json(orient="records", lines=True)), refusal=["JSON"])
case("a Parquet file called csv", lambda folder: PLAIN.to_parquet(folder / "d.csv"), refusal=["Parquet"])
case("a picture called csv", text(b"\x89PNG\r\n\x1a\n" + bytes(range(256))), refusal=["d.csv"])
case("a PDF called csv", text(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n"), refusal=["PDF"])
case("random bytes", text(np.random.default_rng(0).bytes(4000)), refusal=["d.csv"])
case("a pickle called csv", lambda folder: PLAIN.to_pickle(folder / "d.csv"), refusal=["d.csv"])
case("a pointer of git lfs", text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 +
     "\nsize 12345\n"), refusal=["git lfs"])  # fmt: skip
case("a message of a server", text('{"error": "not authorized"}'), refusal=["JSON"])
case("a folder called csv", lambda folder: (folder / "d.csv").mkdir(), refusal=["d.csv"])
case("no such file", lambda folder: csv()(folder), data="e.csv", refusal=["no such file", "e.csv"])
case("a link to a table", lambda folder: (csv(name="real")(folder), (folder / "d.csv").symlink_to("real")), want=PLAIN)
case("a link to nowhere", lambda folder: (folder / "d.csv").symlink_to("gone.csv"), refusal=["d.csv"])
case("a link to itself", lambda folder: (folder / "d.csv").symlink_to("d.csv"), refusal=["d.csv"])
case("a file of another ending", text(TEXT, "d.dat"), data="d.dat", refusal=["'.dat'"])
case("a file without an ending", text(TEXT, "data"), data="data", refusal=["expected a table"])
case("an ending in capitals", csv(name="D.CSV"), data="D.CSV", want=PLAIN)


def a_fifo(folder: Path) -> None:
    import os

    os.mkfifo(folder / "d.csv")


case("a fifo", a_fifo, refusal=["d.csv"])
case("a very long line", text("a,b,label\n" + "".join(f"{k},{'x' * 3_000_000 if k == 5 else k % 7},{'uv'[k % 2]}\n"
     for k in range(60))), rows=60)  # fmt: skip
case("a table in one string buffer", lambda folder: (folder / "d.csv").write_bytes(io.BytesIO(TEXT.encode()).read()),
     want=PLAIN)  # fmt: skip
