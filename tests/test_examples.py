import sys

import numpy as np
import pytest

from scripts import ROOT, load_script

EXAMPLES = ROOT / "examples"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)  # as `python examples/NAME.py` has it

    yield lambda name: load_script(EXAMPLES / f"{name}.py")
    sys.modules.pop("digits_runs", None)


def test_own_loop(load):
    assert load("own_loop").main(epochs=12) > 0.9


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "library"), [("skorch_grid", "skorch"), ("lightning_loop", "lightning.pytorch")])
def test_loops_of_other_libraries(load, name, library, capsys):
    pytest.importorskip(library)
    found = load(name).main(epochs=15)
    assert found["accuracy"] > 0.85
    assert found["precision"] > 0.8
    assert "suspects" in capsys.readouterr().out


def test_figure_1(load, tmp_path):
    histories = load("figure_1").main([], tmp_path / "a.png", epochs=60)
    plain, regularized = (histories[name][-1]["fraction_memorized_on_wrong"] for name in ("cross entropy", "ELR"))
    assert plain > 2 * regularized
    assert (tmp_path / "a.png").exists()


def test_figure_1_of_finished_runs(load, tmp_path):
    from elr.runs.fit import fit
    from elr.runs.fit_config import FitConfig

    fit(None, out=tmp_path / "run", config=FitConfig(epochs=2), compare=False)
    (history,) = load("figure_1").main([tmp_path / "run"], tmp_path / "a.png").values()
    assert len(history) == 2


@pytest.mark.parametrize("classes", [2, 3])
def test_figure_a1(load, tmp_path, classes):
    paths = load("figure_a1").main(tmp_path / "a.png", steps=3000, classes=classes)
    assert paths["cross entropy"].memorized[-1] > 0.5
    assert paths["ELR, lam 3"].memorized[-1] < 0.1


def test_figure_b1(load, tmp_path):
    histories = load("figure_b1").main(tmp_path / "a.png", epochs=40)
    last = {name: history[-1] for name, history in histories.items()}
    assert last["ELR"]["gradient_on_wrong"] < 0.5 * last["ELR"]["gradient_cross_entropy_on_wrong"]
    plain = last["cross entropy"]
    assert plain["gradient_on_wrong"] == pytest.approx(plain["gradient_cross_entropy_on_wrong"], abs=1e-6)


def test_figure_c1(load, tmp_path):
    curves = load("figure_c1").main(tmp_path / "a.png", epochs=5)
    assert {values.shape for values in curves.values()} == {(1, 5)}


def test_the_kl_penalty_fails_where_elr_does_not(load):
    """Appendix C: it delays memorization and does not stop it."""
    module = load("figure_c1")
    memorized = {
        name: module.train(module.METHODS[name], epochs=150).last("fraction_memorized_on_wrong")
        for name in ("cross entropy", "KL penalty, lam 5", "ELR, lam 3")
    }
    assert memorized["ELR, lam 3"] < 0.05
    assert memorized["ELR, lam 3"] + 0.2 < memorized["KL penalty, lam 5"] < memorized["cross entropy"]


def test_figure_d1(load, tmp_path):
    histories = load("figure_d1").main(tmp_path / "a.png", epochs=60)
    accuracies = {name: history[-1]["target_accuracy_on_wrong"] for name, history in histories.items()}
    assert accuracies["ELR, lam 3"] > accuracies["cross entropy (lam 0)"] + 0.02


def test_figure_h1(load, tmp_path):
    found = load("figure_h1").main(tmp_path / "a.png", seeds=1, epochs=2)
    assert found["lam"].shape == (1, 7)
    assert found["mixup"].min() > 0.1


def test_figure_simplex(load, tmp_path):
    ways = load("figure_simplex").main(tmp_path / "a.png", epochs=6)
    for probs in ways.values():
        np.testing.assert_allclose(probs.sum(axis=2), 1.0, atol=1e-5)
        assert probs.shape[0] == 6


def test_figure_lam(load, tmp_path):
    found = load("figure_lam").main(tmp_path / "a.png", seeds=1, epochs=2, steps=1500)
    assert found["linear"][0, 0] > 0.5  # lam 0
    assert found["linear"][0, -1] == 0.0  # lam 7


def test_figure_verdict(load, tmp_path):
    found = load("figure_verdict").main(tmp_path / "a.png", epochs=5)
    assert set(found) == {0.2, 0.4, 0.6}


def test_figure_drift(load, tmp_path):
    found = load("figure_drift").main(tmp_path / "a.png", steps=1500)
    assert found["as published"][-1] > 0.999
    assert found["aligned"][-1] == pytest.approx(0.794, abs=1e-3)
    assert found["aligned to equal shares"] == pytest.approx(0.55)
    assert (tmp_path / "a.png").exists()


def test_hugging_face_text(load, capsys):
    found = load("hugging_face_text").main(count=600, epochs=10)
    assert found["ELRTrainer"] > 0.8
    assert found["precision"] > 0.7
    printed = capsys.readouterr().out
    assert "planted wrong labels" in printed
    assert "{" not in printed  # what a Trainer prints of itself


def test_hugging_face_image(load, capsys):
    found = load("hugging_face_image").main(count=300, epochs=3)
    assert set(found) == {"Trainer", "ELRTrainer", "precision", "recall"}
    printed = capsys.readouterr().out
    assert "planted wrong labels" in printed
    assert "{" not in printed
