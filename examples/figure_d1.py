"""Figure D.1 of the paper: targets alone do not help; with plain cross entropy they are memorized too.

    python examples/figure_d1.py --out figure_d1.png

Digits, 40 % wrong labels: accuracy of the targets, epoch by epoch, with ELR and with the regularizer switched off
(lam 0).
"""

from digits_runs import arguments, train

from elr.methods.elr import ELRConfig
from elr.theory.figures import curves_figure, save

METHODS = {"ELR, lam 3": ELRConfig(lam=3.0), "cross entropy (lam 0)": ELRConfig(lam=0.0)}


def main(out: str, *, epochs: int = 100) -> dict[str, list[dict]]:
    """Draw, and return the histories drawn."""
    histories = {name: train(method, epochs=epochs).history for name, method in METHODS.items()}
    panels = {
        title: {
            name: ([record["epoch"] for record in history], [record[key] for record in history])
            for name, history in histories.items()
        }
        for title, key in (("all examples", "target_accuracy"), ("wrong labels", "target_accuracy_on_wrong"))
    }
    print(f"Figure: {save(curves_figure(panels, x='epoch', y='accuracy of the targets'), out)}")
    return histories


if __name__ == "__main__":
    options = arguments(__doc__)
    main(options.out, epochs=options.epochs)
