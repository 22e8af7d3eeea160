"""Small grids, for the tests of what runs them: cells of a second at most."""

from elr.runs.bench.grid import grid_from

TINY = """
title = "tiny"
training = { epochs = 1, members = 1 }

[[cells]]
data = "few"
noise = ["none", "symmetric-0.4"]
method = ["cross_entropy", "strong"]
seed = [0, 1]

[data.few]
path = "few.csv"
label = "kind"

[methods.strong]
method = "elr"
lam = 7
"""
KEYS = [
    f"few--{noise}--{method}--{seed}"
    for seed in (0, 1)
    for noise in ("none", "symmetric-0.4")
    for method in ("cross_entropy", "strong")
]


def written(folder, text=TINY):
    """A grid in a folder, with the data that it names."""
    rows = ["size,weight,kind"]
    for number in range(60):
        kind = number % 2
        rows.append(f"{kind + number / 100:.2f},{3 * kind + number % 7},{'dog' if kind else 'cat'}")
    (folder / "few.csv").write_text("\n".join(rows) + "\n")
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def grid(folder, text=TINY):
    """The same as read."""
    path = written(folder, text)
    return grid_from(path.read_text(), name="tiny", folder=folder)
