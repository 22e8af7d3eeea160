import numpy as np
import pandas as pd
import pytest

import elr
from elr.audit.audited_run import AuditedRun


@pytest.fixture(scope="session")
def noisy_table():
    """120 rows of two columns, a fifth of the labels wrong."""
    rng = np.random.default_rng(0)
    clean = rng.integers(2, size=120)
    frame = pd.DataFrame({"x": clean + 0.2 * rng.normal(size=120), "kind": np.where(clean, "big", "small")})
    return frame.assign(label=np.where(np.where(rng.random(120) < 0.2, 1 - clean, clean), 'y"<b>', "n"))


@pytest.fixture(scope="session")
def audited(noisy_table, tmp_path_factory):
    """A finished run on that table."""
    folder = tmp_path_factory.mktemp("table")
    noisy_table.to_csv(folder / "data.csv", index=False)
    elr.fit(folder / "data.csv", out=folder / "run", label="label", config=elr.FitConfig(epochs=8))
    found = AuditedRun.read(folder / "run")
    assert found.audit.num_label_issues > 3
    return found
