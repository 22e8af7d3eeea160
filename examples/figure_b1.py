"""Figure B.1 of the paper: what the gradient does to the logit of the true class, on right and on wrong labels.

    python examples/figure_b1.py --out figure_b1.png

Digits, 40 % wrong labels. Cross entropy's p - y pushes the true class of a wrongly labeled example down, ever
harder as the network learns, until the label is memorized. ELR's part cancels that.
"""

from digits_runs import CROSS_ENTROPY, arguments, train

from elr.methods.elr import ELRConfig
from elr.theory.figures import coefficients_figure, save


def main(out: str, *, epochs: int = 100) -> dict[str, list[dict]]:
    """Draw, and return the histories drawn."""
    methods = {"cross entropy": CROSS_ENTROPY, "ELR": ELRConfig()}
    histories = {name: train(method, epochs=epochs).history for name, method in methods.items()}
    print(f"Figure: {save(coefficients_figure(histories), out)}")
    return histories


if __name__ == "__main__":
    options = arguments(__doc__)
    main(options.out, epochs=options.epochs)
