"""Figure H.1 of the paper: how much the settings matter. Test accuracy against lam, beta and mixup's alpha.

    python examples/figure_h1.py --out figure_h1.png [--seeds 3]

Digits, 60 % wrong labels, last epoch, all other settings the defaults. The test labels serve to measure; no setting
was chosen by them.
"""

import numpy as np
from digits_runs import arguments, train

from elr.methods.elr import ELRConfig
from elr.theory.figures import curves_figure, save

PLACES = {
    "lam": (0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0),
    "beta": (0.0, 0.3, 0.5, 0.7, 0.9, 0.99),
    "mixup": (0.0, 0.5, 1, 2, 5),
}


def accuracy(seed: int, epochs: int, **switch: float) -> float:
    """On the test scans at the end."""
    return train(ELRConfig(**switch), noise_rate=0.6, seed=seed, epochs=epochs).test_accuracy


def main(out: str, *, seeds: int = 3, epochs: int = 100) -> dict[str, np.ndarray]:
    """Draw, and return test accuracies, (seeds, values), of each setting."""
    found = {
        name: np.array([[accuracy(seed, epochs, **{name: value}) for value in values] for seed in range(seeds)])
        for name, values in PLACES.items()
    }
    panels = {name: {"test accuracy": (PLACES[name], values)} for name, values in found.items()}
    print(f"Figure: {save(curves_figure(panels, x='value', y='test accuracy'), out)}")
    return found


if __name__ == "__main__":
    options = arguments(__doc__, seeds=3)
    main(options.out, seeds=options.seeds, epochs=options.epochs)
