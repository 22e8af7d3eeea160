"""Files of tables with types: Parquet, Feather, JSON; and folders of their parts."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather, ipc

from campaign.inputs import Make, adder, text
from campaign.made import clusters

case = adder("inputs_parquet")
PLAIN = clusters()
COUNT = len(PLAIN)
LABELS = PLAIN["label"].tolist()
SOME = np.arange(COUNT)


def parquet(table: pa.Table | pd.DataFrame, name: str = "d.parquet", **settings: Any) -> Make:
    """A table as a Parquet file."""
    made = pa.Table.from_pandas(table, preserve_index=False) if isinstance(table, pd.DataFrame) else table
    return lambda folder: pq.write_table(made, folder / name, **settings)


def arrow(**columns: Any) -> pa.Table:
    """The plain table with other columns, or more."""
    table = pa.Table.from_pandas(PLAIN, preserve_index=False)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, values) if place >= 0 else table.append_column(name, values)
    return table


def typed(name: str, make: Make, *, quick: bool = False, **settings: Any) -> None:
    case(name, make, quick=quick, **({"data": "d.parquet"} | settings))


def broken(change: Callable[[bytes], bytes]) -> Make:
    def make(folder: Path) -> None:
        parquet(PLAIN)(folder)
        path = folder / "d.parquet"
        path.write_bytes(change(path.read_bytes()))

    return make


def parts(*tables: pa.Table | pd.DataFrame | str, suffix: str = "parquet") -> Make:
    def make(folder: Path) -> None:
        (folder / "d").mkdir()
        for number, table in enumerate(tables):
            if isinstance(table, str):
                (folder / "d" / f"part-{number}.{suffix}").write_text(table)
            else:
                parquet(table, f"d/part-{number}.{suffix}")(folder)

    return make


def in_json(records: list[Any] | str, name: str = "d.jsonl") -> Make:
    return text(records if isinstance(records, str) else "".join(json.dumps(each) + "\n" for each in records), name)


FLOATS = [PLAIN[name].to_numpy() for name in "abc"]
CATEGORIES = pa.array(LABELS).dictionary_encode()

# Types of columns

typed("plain", parquet(PLAIN), want=PLAIN, quick=True, fit=True)
typed("labels of a dictionary", parquet(arrow(label=CATEGORIES)), want=PLAIN)
typed("labels of a dictionary with a class that no row has", parquet(arrow(label=pa.DictionaryArray.from_arrays(
      CATEGORIES.indices, pa.array([*CATEGORIES.dictionary.to_pylist(), "never"])))), want=PLAIN)  # fmt: skip
typed("labels of a dictionary in numbers", parquet(arrow(label=pa.DictionaryArray.from_arrays(CATEGORIES.indices,
      pa.array([5, 3], pa.int16())))), want=PLAIN.assign(label=PLAIN["label"].map(dict(zip(
      CATEGORIES.dictionary.to_pylist(), ["5", "3"], strict=True)))))  # fmt: skip
typed("labels of large strings", parquet(arrow(label=pa.array(LABELS, pa.large_string()))), want=PLAIN)
typed("labels of string views", parquet(arrow(label=pa.array(LABELS, pa.string_view()))), want=PLAIN)
typed("labels of bytes", parquet(arrow(label=pa.array([each.encode() for each in LABELS]))), want=PLAIN, quick=True)
typed("labels of bytes that are no text", parquet(arrow(label=pa.array([b"\xff" + each.encode() for each in LABELS]))),
      counts={"\\xffneg": 52, "\\xffpos": 68}, rows=COUNT)  # fmt: skip
typed("labels of bytes of one length", parquet(arrow(label=pa.array([each.encode() for each in LABELS], pa.binary(3)))),
      want=PLAIN)  # fmt: skip
typed("labels of null", parquet(arrow(label=pa.nulls(COUNT))), refusal=["120 of 120"])
typed("labels of which some are null", parquet(arrow(label=pa.array([None, None, *LABELS[2:]]))),
      refusal=["2 of 120", "row 0"], quick=True)  # fmt: skip
typed("labels of lists", parquet(arrow(label=pa.array([[each] for each in LABELS]))), refusal=["lists"])
typed("labels of records", parquet(arrow(label=pa.array([{"name": each} for each in LABELS]))), refusal=["records"])
typed("labels of booleans", parquet(arrow(label=pa.array([each == "pos" for each in LABELS]))),
      counts={"true": 68, "false": 52}, rows=COUNT)  # fmt: skip
typed("labels of uint64 beyond int64", parquet(arrow(label=pa.array([2**64 - 1 if each == "pos" else 2**64 - 2
      for each in LABELS], pa.uint64()))), counts={str(2**64 - 1): 68, str(2**64 - 2): 52}, rows=COUNT)  # fmt: skip
typed("labels of floats", parquet(arrow(label=pa.array([float(each == "pos") for each in LABELS]))),
      counts={"1": 68, "0": 52}, rows=COUNT)  # fmt: skip
typed("labels of floats with nan", parquet(arrow(label=pa.array([float("nan"), *(float(each == "pos") for each in
      LABELS[1:])]))), refusal=["1 of 120"])  # fmt: skip
typed("labels of float16", parquet(arrow(label=pa.array([np.float16(each == "pos") for each in LABELS]))),
      counts={"1": 68, "0": 52}, rows=COUNT)  # fmt: skip
typed("labels of decimals", parquet(arrow(label=pa.array([decimal.Decimal("1.00") if each == "pos" else
      decimal.Decimal("2.50") for each in LABELS]))), counts={"1.00": 68, "2.50": 52}, rows=COUNT)  # fmt: skip
typed("labels of dates", parquet(arrow(label=pa.array([datetime.date(2024, 1, 1 + (each == "pos")) for each in
      LABELS]))), counts={"2024-01-02": 68, "2024-01-01": 52}, rows=COUNT)  # fmt: skip
typed("labels of nullable whole numbers, some null", parquet(arrow(label=pa.array([None, *(int(each == "pos") for each
      in LABELS[1:])]))), refusal=["1 of 120", "row 0"])  # fmt: skip
typed("columns of decimals",
      parquet(arrow(a=pa.array([decimal.Decimal(str(each)) for each in PLAIN["a"]]))), want=PLAIN,
      quick=True)  # fmt: skip
typed("columns of decimals with null", parquet(arrow(a=pa.array([None, *(decimal.Decimal(str(each)) for each in
      PLAIN["a"][1:])]))), want=PLAIN.assign(a=[np.nan, *PLAIN["a"][1:]]))  # fmt: skip
typed("columns of float16", parquet(arrow(a=pa.array(FLOATS[0].astype(np.float16)))),
      want=PLAIN.assign(a=FLOATS[0].astype(np.float16).astype(float)))  # fmt: skip
typed("columns of uint64 beyond int64", parquet(arrow(a=pa.array([2**64 - 1 - int(each * 1e15) for each in
      PLAIN["a"].abs()], pa.uint64()))), want=PLAIN.assign(a=[float(2**64 - 1 - int(each * 1e15)) for each in
      PLAIN["a"].abs()]))  # fmt: skip
typed("columns of whole numbers with null", parquet(arrow(a=pa.array([None, *range(7, 7 + 119)])), ),
      rows=COUNT)  # fmt: skip
typed("columns of booleans with null", parquet(arrow(d=pa.array([None if k % 7 == 0 else k % 2 == 0 for k in
      range(COUNT)]))), rows=COUNT, counts={"neg": 52, "pos": 68})  # fmt: skip
typed("columns of infinite numbers", parquet(arrow(a=pa.array([np.inf, *FLOATS[0][1:]]))),
      refusal=["column 'a'", "infinite", "row 0"])  # fmt: skip
typed("columns beyond float32", parquet(arrow(a=pa.array([1e300, *FLOATS[0][1:]]))), refusal=["column 'a'", "1e+300"])
typed("columns of nan and null", parquet(arrow(a=pa.array([None, np.nan, *FLOATS[0][2:]]))),
      want=PLAIN.assign(a=[np.nan, np.nan, *FLOATS[0][2:]]))  # fmt: skip
typed("columns of times with zones", parquet(arrow(d=pa.array([datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(
      datetime.timedelta(hours=2))) + datetime.timedelta(hours=int(k)) for k in SOME * 37 % 90]))),
      want=PLAIN.assign(d=19722 + 22 / 24 + (SOME * 37 % 90) / 24))  # fmt: skip
typed("columns of times beyond nanoseconds", parquet(arrow(d=pa.array([datetime.datetime(1, 1, 1) if k % 3 else
      datetime.datetime(9999, 1, 1) for k in range(COUNT)]))), rows=COUNT)  # fmt: skip
typed("columns of dates", parquet(arrow(d=pa.array([datetime.date(2024, 1, 1) + datetime.timedelta(days=int(k)) for k in
      SOME * 37 % 90]))), want=PLAIN.assign(d=19723.0 + SOME * 37 % 90))  # fmt: skip
typed("columns of times of day", parquet(arrow(d=pa.array([datetime.time(k % 24) for k in range(COUNT)]))), rows=COUNT)
typed("columns of durations", parquet(arrow(d=pa.array([datetime.timedelta(seconds=k % 60) for k in range(COUNT)]))),
      want=PLAIN.assign(d=(SOME % 60).astype(float)))  # fmt: skip
typed(
    "columns of lists", parquet(arrow(d=pa.array([[1.0, k] for k in range(COUNT)]))), want=PLAIN, says=["'d'", "list"]
)
typed("columns of records", parquet(arrow(d=pa.array([{"u": k, "v": {"w": [k]}} for k in range(COUNT)]))), want=PLAIN,
      says=["'d'", "records"])  # fmt: skip
typed("columns of maps", parquet(arrow(d=pa.array([[("k", k)] for k in range(COUNT)], pa.map_(pa.string(),
      pa.int64())))), want=PLAIN, says=["'d'"])  # fmt: skip
typed("columns of null", parquet(arrow(d=pa.nulls(COUNT))), want=PLAIN, says=["'d'", "empty"])
typed("columns of bytes", parquet(arrow(d=pa.array([bytes([k]) for k in range(COUNT)]))), want=PLAIN, says=["'d'"])
typed("columns of categories", parquet(arrow(d=pa.array([f"k{k % 4}" for k in range(COUNT)]).dictionary_encode())),
      want=PLAIN.assign(d=[f"k{k % 4}" for k in range(COUNT)]))  # fmt: skip
typed("columns of text that holds numbers", parquet(arrow(a=pa.array(list(map(str, PLAIN["a"]))))), want=PLAIN)
typed("embeddings", parquet(arrow(d=pa.array([list(each) for each in zip(*FLOATS, strict=True)]))), rows=COUNT,
      options={"label": "label", "embedding": "d"}, counts={"neg": 52, "pos": 68}, fit=False)  # fmt: skip
typed("embeddings of one length", parquet(arrow(d=pa.FixedSizeListArray.from_arrays(pa.array(np.column_stack(
      FLOATS).ravel()), 3))), rows=COUNT, options={"label": "label", "embedding": "d"})  # fmt: skip
typed("embeddings of several lengths", parquet(arrow(d=pa.array([[1.0] * (2 + (k == 9)) for k in range(COUNT)]))),
      options={"label": "label", "embedding": "d"}, refusal=["'d'", "row 9", "3 numbers"])  # fmt: skip
typed("embeddings with null", parquet(arrow(d=pa.array([None if k == 9 else [1.0, k] for k in range(COUNT)]))),
      options={"label": "label", "embedding": "d"}, refusal=["'d'", "row 9"])  # fmt: skip
typed("embeddings with null inside", parquet(arrow(d=pa.array([[1.0, None if k == 9 else k] for k in range(COUNT)]))),
      options={"label": "label", "embedding": "d"}, refusal=["'d'", "row 9"])  # fmt: skip
typed("embeddings of text", parquet(arrow(d=pa.array([["x", "y"] for _ in range(COUNT)]))),
      options={"label": "label", "embedding": "d"}, refusal=["'d'", "numbers"])  # fmt: skip

# The file as a whole

typed("many row groups", parquet(PLAIN, row_group_size=3), want=PLAIN)
typed("every compression", parquet(PLAIN, compression={"a": "zstd", "b": "gzip", "c": "brotli", "label": "lz4"}),
      want=PLAIN)  # fmt: skip
typed("an old version", parquet(PLAIN, version="1.0", data_page_version="1.0", use_dictionary=False), want=PLAIN)
typed("an index with a name", lambda folder: PLAIN.set_index(pd.Index(PLAIN["a"] * 2, name="key")).to_parquet(
      folder / "d.parquet"), want=PLAIN.assign(key=PLAIN["a"] * 2))  # fmt: skip
typed("an index without a name", lambda folder: PLAIN.set_index(np.arange(COUNT)[::-1]).to_parquet(folder /
      "d.parquet"), want=PLAIN)  # fmt: skip
typed("labels as the index", lambda folder: PLAIN.set_index("label").to_parquet(folder / "d.parquet"), want=PLAIN)
typed("columns of two levels", lambda folder: PLAIN.set_axis(pd.MultiIndex.from_tuples([("x", "a"), ("x", "b"),
      ("x", "c"), ("y", "label")]), axis=1).to_parquet(folder / "d.parquet"), refusal=["label"])  # fmt: skip
typed("a name twice", parquet(pa.Table.from_arrays([pa.array(FLOATS[0]), pa.array(FLOATS[1]), pa.array(LABELS)],
      names=["a", "a", "label"])), refusal=["2 columns named 'a'"])  # fmt: skip
typed("no rows", parquet(arrow().slice(0, 0)), refusal=["no rows"], quick=True)
typed("no columns", parquet(pa.table({})), refusal=["label"])
typed("rows without columns", parquet(arrow().select([])), refusal=["label"])
typed("an empty file", broken(lambda _: b""), refusal=["d.parquet"])
typed("truncated", broken(lambda content: content[:-40]), refusal=["d.parquet", "replace"], quick=True)
typed("truncated at the front", broken(lambda content: content[40:]), refusal=["d.parquet"])
typed("damaged in the middle", broken(lambda content: content[:60] + b"\xff" * 200 + content[260:]),
      refusal=["d.parquet"])  # fmt: skip
typed("CSV called parquet", lambda folder: PLAIN.to_csv(folder / "d.parquet", index=False), refusal=["d.parquet"])
typed("Feather called parquet", lambda folder: feather.write_feather(PLAIN, folder / "d.parquet"),
      refusal=["d.parquet"])  # fmt: skip
typed("a column in another case", parquet(PLAIN), options={"label": "LABEL"}, refusal=["did you mean 'label'"])

# Folders of parts

HALVES = PLAIN.iloc[:60], PLAIN.iloc[60:]
folder_of = {"data": "d"}
case("parts", parts(*HALVES), want=PLAIN, **folder_of, quick=True)
case("parts of which one is empty", parts(HALVES[0], PLAIN.iloc[:0], HALVES[1]), want=PLAIN, **folder_of)
case("parts with columns in another order", parts(HALVES[0], HALVES[1][["label", "c", "a", "b"]]), want=PLAIN,
     **folder_of)  # fmt: skip
case("parts with other columns", parts(HALVES[0], HALVES[1].rename(columns={"b": "z"})), refusal=["'b'", "part-1"],
     **folder_of)  # fmt: skip
case("parts with other types", parts(HALVES[0], HALVES[1].assign(a=HALVES[1]["a"].map(str))),
     refusal=["'a'", "part-1"], **folder_of)  # fmt: skip
case("parts with whole numbers and others", parts(HALVES[0].assign(a=range(60)), HALVES[1]), refusal=["'a'", "part-1"],
     **folder_of)  # fmt: skip
case("parts of which one is truncated", lambda folder: (parts(*HALVES)(folder),
     (folder / "d/part-1.parquet").write_bytes(
     (folder / "d/part-1.parquet").read_bytes()[:-40])), refusal=["part-1.parquet"], **folder_of)  # fmt: skip
case("parts with dictionaries of their own", parts(*(pa.Table.from_pandas(each, preserve_index=False).set_column(3,
     "label", pa.array(each["label"]).dictionary_encode()) for each in (PLAIN.iloc[:2], PLAIN.iloc[2:]))), want=PLAIN,
     **folder_of)  # fmt: skip
case("parts of CSV", parts(*(each.to_csv(index=False) for each in HALVES), suffix="csv"), want=PLAIN, **folder_of)
case("parts of CSV with other separators", parts(HALVES[0].to_csv(index=False), HALVES[1].to_csv(index=False, sep=";"),
     suffix="csv"), rows=COUNT, **folder_of, says=["separated by ';'"])  # fmt: skip
case("parts of CSV of which one has no names", parts(HALVES[0].to_csv(index=False), HALVES[1].to_csv(index=False,
     header=False), suffix="csv"), refusal=["part-1"], **folder_of)  # fmt: skip
case("an empty folder", lambda folder: (folder / "d").mkdir(), refusal=["d"], **folder_of)
case("a folder of two tables", lambda folder: ((folder / "d").mkdir(), PLAIN.to_csv(folder / "d/train.csv"),
     PLAIN.to_csv(folder / "d/test.csv")), refusal=["train.csv", "test.csv"], **folder_of)  # fmt: skip
case("a folder of two formats", lambda folder: ((folder / "d").mkdir(), PLAIN.to_csv(folder / "d/a.csv"),
     PLAIN.to_parquet(folder / "d/b.parquet")), refusal=["several formats"], **folder_of)  # fmt: skip

# Feather

arrow_file = {"data": "d.feather"}
case("feather", lambda folder: feather.write_feather(PLAIN, folder / "d.feather"), want=PLAIN, **arrow_file)
case("feather of the first version", lambda folder: feather.write_feather(PLAIN, folder / "d.feather", version=1),
     refusal=["version 1"], **arrow_file)  # fmt: skip
case("feather, truncated", lambda folder: (feather.write_feather(PLAIN, folder / "d.feather"), (folder /
     "d.feather").write_bytes((folder / "d.feather").read_bytes()[:-100])), refusal=["d.feather"],
     **arrow_file)  # fmt: skip
case("feather, empty", text(b"", "d.feather"), refusal=["d.feather"], **arrow_file)


def a_stream(folder: Path, drop: int = 0) -> None:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pandas(PLAIN, preserve_index=False)
    with ipc.new_stream(sink, table.schema) as out:
        out.write_table(table, max_chunksize=50)
    content = sink.getvalue().to_pybytes()
    (folder / "d.feather").write_bytes(content[: len(content) - drop])


case("arrow as a stream", a_stream, want=PLAIN, **arrow_file)
case("arrow as a stream, truncated", lambda folder: a_stream(folder, 1000), refusal=["d.feather"], **arrow_file)
case("arrow as a stream, cut between batches", lambda folder: a_stream(folder, 8), rows=COUNT, **arrow_file)

# JSON

RECORDS = PLAIN.to_dict("records")
lines_of = {"data": "d.jsonl"}
case("json lines", in_json(RECORDS), want=PLAIN, **lines_of, quick=True, fit=True)
case("json lines with a byte order mark", in_json("\ufeff" + "".join(json.dumps(each) + "\n" for each in RECORDS)),
     want=PLAIN, **lines_of)  # fmt: skip
case("json lines with keys that are missing", in_json([{k: v for k, v in each.items() if k != "b" or n % 5} for n, each
     in enumerate(RECORDS)]), want=PLAIN.assign(b=np.where(SOME % 5, PLAIN["b"], np.nan)), **lines_of)  # fmt: skip
case("json lines without labels in two", in_json([{k: v for k, v in each.items() if k != "label" or n > 1} for n, each
     in enumerate(RECORDS)]), refusal=["2 of 120", "line 1"], **lines_of)  # fmt: skip
case("json lines with null as label", in_json([*RECORDS, {"a": 1, "label": None}]), refusal=["1 of 121", "line 121"],
     **lines_of)  # fmt: skip
case(
    "json lines with a key twice", in_json('{"a": 1, "a": 2, "label": "x"}\n'), refusal=["line 1", "twice"], **lines_of
)
case("json lines, the last cut off", in_json("".join(json.dumps(each) + "\n" for each in RECORDS)[:-9]),
     refusal=["line 120", "damaged"], **lines_of, quick=True)  # fmt: skip
case("json lines with NaN", in_json([*RECORDS, {"a": float("nan"), "b": 1, "c": 1, "label": "neg"}]),
     refusal=["line 121", "NaN"], **lines_of)  # fmt: skip
case("json lines with a list", in_json([*RECORDS, [1, 2]]), refusal=["line 121", "object"], **lines_of)
case("json lines with 1e999", in_json("".join(json.dumps(each) + "\n" for each in RECORDS) +
     '{"a": 1e999, "b": 1, "c": 1, "label": "neg"}\n'), refusal=["column 'a'", "infinite", "line 121"],
     **lines_of)  # fmt: skip
case("json lines with labels 1, 1.0 and text", in_json([{**each, "label": [1, 1.0, "1"][n % 3] if each["label"] == "neg"
     else 2} for n, each in enumerate(RECORDS)]), counts={"1": 52, "2": 68}, rows=COUNT, **lines_of)  # fmt: skip
case("json lines with labels true and 1", in_json([{**each, "label": [True, 1][n % 2] if each["label"] == "neg" else 0}
     for n, each in enumerate(RECORDS)]), counts={"1": 52, "0": 68}, rows=COUNT, **lines_of)  # fmt: skip
case("json lines with nested values", in_json([{**each, "d": {"e": [n]}} for n,
     each in enumerate(RECORDS)]), want=PLAIN,
     says=["'d'"], **lines_of)  # fmt: skip
case("json lines, empty", in_json(""), refusal=["empty"], **lines_of)
case("json lines of one object", in_json([RECORDS[0]]), refusal=["label"], **lines_of)
case("json lines of empty objects", in_json("{}\n{}\n"), refusal=["label"], **lines_of)
case("json of pandas by columns", lambda folder: PLAIN.to_json(folder / "d.json"), data="d.json", refusal=["records"])
case("json of pandas, split", lambda folder: PLAIN.to_json(folder / "d.json", orient="split"), data="d.json",
     refusal=["records"])  # fmt: skip
case("json as one array", in_json(json.dumps(RECORDS), "d.json"), data="d.json", want=PLAIN, quick=True)
case("json as one array over lines", in_json(json.dumps(RECORDS, indent=2), "d.json"), data="d.json", want=PLAIN)
case("json as one array, cut off", in_json(json.dumps(RECORDS, indent=2)[:-30], "d.json"), data="d.json",
     refusal=["damaged"])  # fmt: skip
case(
    "json as an array in an object", in_json(json.dumps({"data": RECORDS}), "d.json"), data="d.json", refusal=["label"]
)
case("json with numbers as text", in_json([{**each, "a": str(each["a"])} for each in RECORDS]), want=PLAIN, **lines_of)
case("json with numbers and text", in_json([{**each, "a": str(each["a"]) if n % 2 else each["a"]} for n, each in
     enumerate(RECORDS)]), want=PLAIN, **lines_of)  # fmt: skip
case("json with half a character", in_json("".join(json.dumps(each) + "\n" for each in RECORDS).replace("neg",
     "ne\\ud83d")), refusal=["line 1"], **lines_of)  # fmt: skip
case("json in utf 16", text("".join(json.dumps(each) + "\n" for each in RECORDS), "d.jsonl", "utf-16"), want=PLAIN,
     **lines_of)  # fmt: skip
