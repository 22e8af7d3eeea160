"""Where ELR leads rows that the features do not tell apart: shares of the classes against lam, without features.

    python examples/figure_drift.py --out figure_drift.png [--steps 5000]

Left: of two classes, the given share of the first is 0.55; lines by formula, points by gradient descent. Right: the way
of four classes (0.4, 0.3, 0.2, 0.1) at lam 3, the share of the first.
"""

import argparse

import numpy as np

from elr.theory.drift import aligned_balance, published_balance, settle
from elr.theory.figures import curves_figure, save

LAMS, SHARE, FOUR, LAM = (0.0, 0.3, 0.6, 0.8, 0.9, 1.0, 2.0, 3.0, 5.0, 7.0), 0.55, (0.4, 0.3, 0.2, 0.1), 3.0
PRIORS = {"as published": None, "aligned": 1.0, "aligned to sqrt(pi)": 0.5, "aligned to equal shares": 0.0}


def prior_of(power: float | None, shares: np.ndarray) -> np.ndarray | None:
    """Shares in proportion to pi^power."""
    return None if power is None else shares**power / (shares**power).sum()


def main(out: str, *, steps: int = 5000) -> dict[str, np.ndarray]:
    """Draw, and return what descent ends with for each lam, by name."""
    two, four = np.array([SHARE, 1.0 - SHARE]), np.array(FOUR)
    found, lines, ways = {}, {}, {}
    for name, power in PRIORS.items():
        prior = prior_of(power, two)
        found[name] = np.array([settle(two, lam=lam, prior=prior, steps=steps)[-1, 0] for lam in LAMS])
        lines[name] = (LAMS, found[name])
        way = settle(four, lam=LAM, prior=prior_of(power, four), steps=200)
        ways[name] = (np.arange(len(way)), way[:, 0])
    fine = np.linspace(0.0, max(LAMS), 400)
    by_formula = [published_balance(SHARE, lam) for lam in fine], [aligned_balance(SHARE, lam) for lam in fine]
    for name, values in zip(("published, formula", "aligned, formula"), by_formula, strict=True):
        lines[name] = (fine, values)
    panels = {f"two classes, {SHARE:g} given, against lam": lines, f"four classes, lam {LAM:g}, by step": ways}
    figure = curves_figure(panels, x="lam (left), step (right)", y="share of the first class", size=(4.4, 3.2))
    print(f"Figure: {save(figure, out)}")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="figure_drift.png")
    parser.add_argument("--steps", type=int, default=5000)
    options = parser.parse_args()
    main(options.out, steps=options.steps)
