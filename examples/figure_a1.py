"""Figure A.1 of the paper: early learning and memorization in a linear model, with cross entropy and with ELR.

    python examples/figure_a1.py --out figure_a1.png [--classes 5]

Two Gaussian clusters (or more, with softmax) in 400 dimensions, 500 examples, 40 % wrong labels. `elr theory` is
the same as a command, with the theorem checked.
"""

from digits_runs import arguments

from elr.theory.clusters import make_clusters
from elr.theory.descent import Trajectory, descend
from elr.theory.figures import save, trajectory_figure


def main(out: str, *, steps: int = 20_000, classes: int = 2) -> dict[str, Trajectory]:
    """Draw, and return the trajectories drawn."""
    delta = 0.4 / (1 - 1 / classes)  # with which 40 % are wrong
    data = make_clusters(400, 500, sigma=0.1, delta=delta, num_classes=classes, seed=0)
    weights = {"cross entropy": 0.0, "ELR, lam 3": 3.0}
    trajectories = {name: descend(data, lam=lam, steps=steps) for name, lam in weights.items()}
    print(f"Figure: {save(trajectory_figure(trajectories), out)}")
    return trajectories


if __name__ == "__main__":
    options = arguments(__doc__, steps=20_000, classes=2)
    main(options.out, steps=options.steps, classes=options.classes)
