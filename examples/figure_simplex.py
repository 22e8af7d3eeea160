"""The way of the predictions through the triangle of three classes (the animation of the authors' README, as a still).

    python examples/figure_simplex.py --out figure_simplex.png

Three digits, 40 % wrong labels: examples of one digit that were given another one's label. With cross entropy they
go to the true corner first and then to the given one; with ELR they stay.
"""

import numpy as np
import torch
from digits_runs import CROSS_ENTROPY, arguments, train

from elr.methods.elr import ELRConfig
from elr.theory.figures import save, simplex_figure

DIGITS, CLEAN, GIVEN = (3, 5, 8), 0, 1  # a three that was called a five


def main(out: str, *, epochs: int = 200) -> dict[str, np.ndarray]:
    """Draw, and return the probabilities drawn, (epochs, M, 3)."""
    ways = {}
    for name, method in (("cross entropy", CROSS_ENTROPY), ("ELR", ELRConfig())):
        seen: list[torch.Tensor] = []
        run = train(
            method,
            classes=DIGITS,
            epochs=epochs,
            on_epoch=lambda now, seen=seen: seen.append(now.predict(now.examples)),
        )
        chosen = (run.clean_labels == CLEAN) & (run.labels == GIVEN)
        ways[name] = torch.stack(seen)[:, chosen].numpy()
    names = [str(digit) for digit in DIGITS]
    print(f"Figure: {save(simplex_figure(ways, corners=names, given=GIVEN, clean=CLEAN), out)}")
    return ways


if __name__ == "__main__":
    options = arguments(__doc__, epochs=200)
    main(options.out, epochs=options.epochs)
