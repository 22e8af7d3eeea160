import importlib.util
from pathlib import Path


def load(name):
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_own_loop():
    assert load("own_loop").main(epochs=12) > 0.9
