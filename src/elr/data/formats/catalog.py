"""The formats that there are, by name: a new one is a row here and a file of its own."""

from __future__ import annotations

from elr.data.formats.arrays import ArrayPair, Npy, Npz
from elr.data.formats.delimited import Delimited
from elr.data.formats.feather import Feather
from elr.data.formats.folder import ImageFolder
from elr.data.formats.format import Format
from elr.data.formats.hub.dataset import HubDataset
from elr.data.formats.image_files.tars import TarShards
from elr.data.formats.json_lines import JsonLines
from elr.data.formats.parquet import Parquet
from elr.data.formats.parts import PartsFolder
from elr.data.formats.table import DataFrames

_PARTS = (
    Parquet(),
    Feather(),
    Delimited((".csv",), ","),
    Delimited((".tsv",), "\t"),
    JsonLines((".jsonl", ".ndjson")),  # .json and .txt are often no part of a table, but texts and notes beside it
)
FORMATS: dict[str, Format] = {
    "parts": PartsFolder(_PARTS),  # before folders of images, which it looks into
    "tars": TarShards(),
    "folder": ImageFolder(),  # before all files: a folder may be called like one
    "csv": Delimited((".csv",), ","),
    "tsv": Delimited((".tsv", ".tab", ".txt"), "\t"),
    "parquet": Parquet(),
    "feather": Feather(),
    "json_lines": JsonLines(),
    "npz": Npz(),
    "npy": Npy(),
    "frame": DataFrames(),
    "hub_dataset": HubDataset(Parquet()),
    "pair": ArrayPair(),
}
"""A path is read by the first that recognizes it."""
