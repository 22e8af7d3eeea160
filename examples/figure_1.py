"""Figure 1 of the paper: what a network predicts of rightly and of wrongly labeled examples, epoch by epoch.

    python examples/figure_1.py --out figure_1.png                                   # digits, 40 % wrong labels
    python examples/figure_1.py RUN [RUN ...] --out figure_1.png                     # folders of `elr fit` or `elr run`

Cross entropy first predicts the true class of wrongly labeled examples, then their false labels; ELR does not.
"""

import argparse
from pathlib import Path

from digits_runs import CROSS_ENTROPY, train

from elr.files import METRICS_FILE, read_run
from elr.methods.elr import ELRConfig
from elr.runs.plan import Plan
from elr.theory.figures import memorization_figure, save
from elr.training.progress import read_lines


def main(folders: list[Path], out: str, *, epochs: int = 100) -> dict[str, list[dict]]:
    """Draw, and return the histories drawn."""
    if folders:
        histories = {Plan.from_json(read_run(each)).method.label: read_lines(each / METRICS_FILE) for each in folders}
    else:
        methods = {"cross entropy": CROSS_ENTROPY, "ELR": ELRConfig()}
        histories = {name: train(method, epochs=epochs).history for name, method in methods.items()}
    print(f"Figure: {save(memorization_figure(histories), out)}")
    return histories


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--out", default="figure_1.png")
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    main(options.folders, options.out, epochs=options.epochs)
