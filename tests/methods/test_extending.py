"""The method that the documentation adds as an exercise does what it says."""

import re
import sys
import types
from pathlib import Path

import pytest

from blobs import blobs, built, examples
from elr.errors import ArgumentError
from elr.methods import catalog
from elr.runs.fit_config import FitConfig
from elr.training.config import TrainingConfig
from elr.training.loop import Training
from loss_checks import check

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def module():
    blocks = (
        block
        for page in DOCS.glob("extending*.md")
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    )
    [source] = [block for block in blocks if "class TaylorCrossEntropyConfig" in block]
    found = types.ModuleType("exercise")
    sys.modules["exercise"] = found  # where a dataclass looks up its annotations
    exec(source, vars(found))
    yield vars(found)
    del sys.modules["exercise"]


def test_the_exercise_is_the_loss_of_the_paper(module):
    config = module["TaylorCrossEntropyConfig"]
    for terms in (1, 2, 5):
        check(
            config(terms=terms).losses,
            lambda probs, rows, terms=terms: (rows * sum((1 - probs) ** k / k for k in range(1, terms + 1))).sum(
                axis=1
            ),
        )


def test_the_exercise_learns_through_the_catalog(module, monkeypatch):
    config = module["TaylorCrossEntropyConfig"]
    monkeypatch.setitem(catalog.METHODS, config.name, config)
    chosen = catalog.method_from_json({"name": config.name, "terms": 3})
    assert chosen == config(terms=3)
    assert FitConfig(method=config.name).method == config.name
    training = Training(built(chosen), examples(), config=TrainingConfig(epochs=6, batch_size=20, device="cpu"))
    training.run()
    assert (training.predict(examples()).argmax(dim=1).numpy() == blobs()[2]).mean() > 0.95
    assert "terms=3" in repr(training.method)
    with pytest.raises(ArgumentError, match="terms is 0: expected at least 1"):
        config(terms=0)
