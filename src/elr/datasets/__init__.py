"""Published data sets with label noise: what is known of each, and its parts as indexed examples."""

from elr.datasets.base import About, File, Loader, Part, PublishedSet
from elr.datasets.catalog import LOADERS, InShards, loader_for, make_loader
from elr.datasets.checking import SetCheck, check
from elr.datasets.sets.cifar import CIFAR

__all__ = [
    "CIFAR",
    "LOADERS",
    "About",
    "File",
    "InShards",
    "Loader",
    "Part",
    "PublishedSet",
    "SetCheck",
    "check",
    "loader_for",
    "make_loader",
]
