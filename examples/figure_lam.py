"""How strong the regularizer must be: what is memorized at the end against lam, in a linear model and in a network.

    python examples/figure_lam.py --out figure_lam.png [--seeds 3 --steps 10000]

Where outputs and targets agree and are sure, ELR takes lam / 2 from the coefficient 1 with which cross entropy
pushes the true class of a wrongly labeled example down: below lam = 2 memorization is only delayed. Third panel: a
start that leans the wrong way can be locked in, unless the first weights are small.
"""

from collections.abc import Callable, Sequence

import numpy as np
from digits_runs import arguments, train

from elr.figures import curves_figure, save
from elr.plan import MethodConfig
from elr.theory import descend, make_clusters

LAMS, BETAS, RADII = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 5.0, 7.0), (0.0, 0.5, 0.7, 0.9, 0.99), (0.001, 0.5, 1.0, 2.0, 4.0)


def memorized(*, p: int = 400, n: int = 500, seed: int = 0, **settings: float) -> float:
    """Share of the wrong labels that the linear model predicts at the end."""
    data = make_clusters(p, n, sigma=0.1, delta=0.8, seed=seed)
    return float(descend(data, seed=seed, **settings).memorized[-1])


def memorized_by_network(lam: float, *, seed: int, epochs: int) -> float:
    """The same for the perceptron on digits."""
    return train(MethodConfig(lam=lam), seed=seed, epochs=epochs).last("fraction_memorized_on_wrong")


def over(seeds: int, values: Sequence[float], measure: Callable[[int, float], float]) -> np.ndarray:
    """(seeds, values) of a measure."""
    return np.array([[measure(seed, value) for value in values] for seed in range(seeds)])


def main(out: str, *, seeds: int = 3, epochs: int = 100, steps: int = 10_000) -> dict[str, np.ndarray]:
    """Draw, and return the memorized fractions, (seeds, values)."""
    found = {
        "linear": over(seeds, LAMS, lambda seed, lam: memorized(lam=lam, steps=steps, seed=seed)),
        "network": over(seeds, LAMS, lambda seed, lam: memorized_by_network(lam, seed=seed, epochs=epochs)),
        "beta": over(seeds, BETAS, lambda seed, beta: memorized(lam=3.0, beta=beta, steps=steps, seed=seed)),
        "radius": over(
            seeds, RADII, lambda seed, length: memorized(p=100, n=125, lam=3.0, start=length, steps=steps, seed=seed)
        ),
    }
    panels = {
        "lam": {"linear model": (LAMS, found["linear"]), "perceptron, digits": (LAMS, found["network"])},
        "beta (linear, lam 3)": {"linear model": (BETAS, found["beta"])},
        "length of the start (lam 3, p = 100)": {"linear model": (RADII, found["radius"])},
    }
    print(f"Figure: {save(curves_figure(panels, x='value', y='wrong labels memorized'), out)}")
    return found


if __name__ == "__main__":
    options = arguments(__doc__, seeds=3, steps=10_000)
    main(options.out, seeds=options.seeds, epochs=options.epochs, steps=options.steps)
