"""The command line: parse, call, print."""

from elr.cli.main import app

__all__ = ["app"]
