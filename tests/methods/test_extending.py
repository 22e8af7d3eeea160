"""The method that the documentation adds as an exercise does what it says."""

import re
from pathlib import Path

import pytest
import torch

from blobs import blobs, built, examples
from elr.errors import ArgumentError
from elr.methods import catalog
from elr.runs.fit_config import FitConfig
from elr.training.config import TrainingConfig
from elr.training.loop import Training

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def module():
    blocks = (
        block
        for page in DOCS.glob("extending*.md")
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    )
    [source] = [block for block in blocks if "class GeneralizedCrossEntropyConfig" in block]
    found = {"__name__": "exercise"}
    exec(source.replace("from __future__ import annotations\n", ""), found)
    return found


def test_the_exercise_is_the_loss_of_the_paper(module):
    logits, labels = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    probs = logits.softmax(dim=1)[torch.arange(5), labels]
    for q in (0.3, 0.7, 1.0):
        torch.testing.assert_close(module["GeneralizedCrossEntropy"](q)(logits, labels), (1 - probs**q) / q)


def test_the_exercise_learns_through_the_catalog(module, monkeypatch):
    config = module["GeneralizedCrossEntropyConfig"]
    monkeypatch.setitem(catalog.METHODS, config.name, config)
    chosen = catalog.method_from_json({"name": config.name, "q": 0.5})
    assert chosen == config(q=0.5)
    assert FitConfig(method=config.name).method == config.name
    training = Training(built(chosen), examples(), config=TrainingConfig(epochs=6, batch_size=20, device="cpu"))
    training.run()
    assert (training.predict(examples()).argmax(dim=1).numpy() == blobs()[2]).mean() > 0.95
    assert "q=0.5" in repr(training.method)
    with pytest.raises(ArgumentError, match=r"q is 2.0: expected a number in \(0, 1\]"):
        config(q=2.0)
