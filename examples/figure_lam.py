"""How strong the regularizer must be: what is memorized at the end against lam, in a linear model and in a network.

    python examples/figure_lam.py --out figure_lam.png [--seeds 3 --steps 10000]

Where outputs and targets agree and are sure, ELR takes lam / 2 from the coefficient 1 with which cross entropy
pushes the true class of a wrongly labeled example down: below lam = 2 memorization is only delayed. Third
panel: a start that leans far the wrong way is locked in.
"""

from collections.abc import Callable, Sequence

import numpy as np
from digits_runs import arguments, train

from elr.methods.elr import ELRConfig
from elr.theory.clusters import make_clusters
from elr.theory.descent import SPHERE, descend
from elr.theory.figures import curves_figure, save

LAMS, BETAS = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 7.0), (0.0, 0.5, 0.7, 0.9, 0.99)
LEANS = (-2.0, -1.0, -0.5, -0.25, -0.1, 0.0, 1.0)


def memorized(seed: int, *, lam: float, steps: int, beta: float = 0.7, lean: float | None = None) -> float:
    """Share of the wrong labels that the linear model predicts at the end; `lean`: <theta, v> of the first weights."""
    data = make_clusters(400, 500, sigma=0.1, delta=0.8, seed=seed)
    start = SPHERE if lean is None else lean * data.means[1:]
    return float(descend(data, lam=lam, beta=beta, steps=steps, start=start, seed=seed).memorized[-1])


def memorized_by_network(lam: float, *, seed: int, epochs: int) -> float:
    """The same for the perceptron on digits."""
    return train(ELRConfig(lam=lam), seed=seed, epochs=epochs).last("fraction_memorized_on_wrong")


def over(seeds: int, values: Sequence[float], measure: Callable[[int, float], float]) -> np.ndarray:
    """(seeds, values) of a measure."""
    return np.array([[measure(seed, value) for value in values] for seed in range(seeds)])


def main(out: str, *, seeds: int = 3, epochs: int = 100, steps: int = 10_000) -> dict[str, np.ndarray]:
    """Draw, and return the memorized fractions, (seeds, values)."""
    found = {
        "linear": over(seeds, LAMS, lambda seed, lam: memorized(seed, lam=lam, steps=steps)),
        "network": over(seeds, LAMS, lambda seed, lam: memorized_by_network(lam, seed=seed, epochs=epochs)),
    }
    for lam in (1.0, 3.0):
        found[f"beta, lam {lam:g}"] = over(
            seeds, BETAS, lambda seed, beta, lam=lam: memorized(seed, lam=lam, beta=beta, steps=steps)
        )
        found[f"lean, lam {lam:g}"] = over(
            seeds, LEANS, lambda seed, lean, lam=lam: memorized(seed, lam=lam, lean=lean, steps=steps)
        )
    panels = {
        "lam": {"linear model": (LAMS, found["linear"]), "perceptron, digits": (LAMS, found["network"])},
        "beta (linear model)": {f"lam {lam}": (BETAS, found[f"beta, lam {lam}"]) for lam in (3, 1)},
        "<theta, v> of the start (linear model)": {f"lam {lam}": (LEANS, found[f"lean, lam {lam}"]) for lam in (3, 1)},
    }
    print(f"Figure: {save(curves_figure(panels, x='value', y='wrong labels memorized'), out)}")
    return found


if __name__ == "__main__":
    options = arguments(__doc__, seeds=3, steps=10_000)
    main(options.out, seeds=options.seeds, epochs=options.epochs, steps=options.steps)
