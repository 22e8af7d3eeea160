"""Programs of benchmarks/ and examples/ as modules, for tests that look into them."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def load_script(path: Path) -> ModuleType:
    """The module that a program is, without running it as one; it finds what lies beside it, as when it is run."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(path.parent))
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def filled_by_ranks(folder: Path, script: str) -> Path:
    """The folder into which a program of tests/, run once, has written what each of its ranks found."""
    command = [sys.executable, ROOT / "tests" / script, folder]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder
