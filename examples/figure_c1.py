"""Figure C.1 of the paper: a Kullback-Leibler penalty to the targets, in place of ELR, only delays memorization.

    python examples/figure_c1.py --out figure_c1.png [--seeds 3 --epochs 300]

Digits, 40 % wrong labels: the share of wrong labels that is predicted, epoch by epoch. Run it longer, and the
penalty's curves go on rising.
"""

import numpy as np
from digits_runs import CROSS_ENTROPY, arguments, train

from elr.methods.elr import ELRConfig
from elr.methods.kl_penalty import KLPenaltyConfig
from elr.theory.figures import curves_figure, save

METHODS = {
    "cross entropy": CROSS_ENTROPY,
    "KL penalty, lam 1": KLPenaltyConfig(lam=1.0),
    "KL penalty, lam 5": KLPenaltyConfig(lam=5.0),
    "KL penalty, lam 10": KLPenaltyConfig(lam=10.0),
    "ELR, lam 3": ELRConfig(),
}


def main(out: str, *, seeds: int = 1, epochs: int = 300) -> dict[str, np.ndarray]:
    """Draw, and return the memorized fraction of each method, (seeds, epochs)."""
    key = "fraction_memorized_on_wrong"
    curves = {
        name: np.array([[record[key] for record in train(method, seed=s, epochs=epochs).history] for s in range(seeds)])
        for name, method in METHODS.items()
    }
    places = np.arange(epochs) + 1
    drawn = {"": {name: (places, values) for name, values in curves.items()}}
    print(f"Figure: {save(curves_figure(drawn, x='epoch', y='wrong labels memorized', size=(5.0, 3.2)), out)}")
    return curves


if __name__ == "__main__":
    options = arguments(__doc__, epochs=300)
    main(options.out, seeds=options.seeds, epochs=options.epochs)
