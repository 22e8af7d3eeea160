import pytest

from elr.errors import ArgumentError
from elr.runs.export import formats


def test_without_onnx_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(formats.util, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ArgumentError, match=r"ONNX needs onnxscript, not installed: pip install 'elr\[onnx\]'"):
        formats.FORMATS["onnx"].check()


def test_torch_export_needs_nothing():
    formats.FORMATS["torch_export"].check()
