from pathlib import Path

import pytest
import torch

from elr.errors import ArgumentError
from elr.runs.export import formats


class Twice(torch.nn.Module):
    def forward(self, *inputs):
        return 2 * inputs[0]


def test_without_onnx_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(formats.util, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(ArgumentError, match=r"ONNX needs onnxscript, not installed: pip install 'elr\[onnx\]'"):
        formats.FORMATS["onnx"].check()


def test_torch_export_needs_nothing():
    formats.FORMATS["torch_export"].check()


def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    form = formats.FORMATS["torch_export"]
    inputs = [torch.ones(2, 3)]
    made = form.made(Twice().eval(), inputs, names=["x"], about={"elr_version": "1"})
    with pytest.raises(OSError, match="No space left"):
        form.write(made, full)
    form.write(made, tmp_path / "m.partial")
    assert form.probs(tmp_path / "m.partial", inputs, names=["x"]).shape == (2, 3)
