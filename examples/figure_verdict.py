"""Does the verdict without clean labels find the end of early learning? Its evidence beside the truth.

    python examples/figure_verdict.py --out figure_verdict.png

Digits, cross entropy, 20, 40 and 60 % wrong labels: the share of given labels that the network steadily contradicts
(known to any run) and the share of wrong labels whose true class it predicts (known only here). The verdict is
where the former peaks.
"""

from digits_runs import CROSS_ENTROPY, arguments, train

from elr.theory.figures import curves_figure, save
from elr.training.verdict import EarlyLearning, early_learning

RATES = (0.2, 0.4, 0.6)


def main(out: str, *, epochs: int = 60, seeds: int = 1) -> dict[float, list[tuple[EarlyLearning, int]]]:
    """Draw, and return for each noise rate and seed the verdict and the epoch that clean labels name."""
    found: dict[float, list[tuple[EarlyLearning, int]]] = {}
    panels = {}
    for rate in RATES:
        for seed in range(seeds):
            history = train(CROSS_ENTROPY, noise_rate=rate, seed=seed, epochs=epochs).history
            verdict = early_learning(history)
            truth = max(history, key=lambda record: record["fraction_correct_on_wrong"])["epoch"]
            found.setdefault(rate, []).append((verdict, truth))
            print(f"{rate:.0%} wrong, seed {seed}: verdict: epoch {verdict.epoch}, truth: epoch {truth}")
            if seed == 0:
                places = [record["epoch"] for record in history]
                panels[f"{rate:.0%} wrong: epoch {verdict.epoch}, truth {truth}"] = {
                    "wrong labels, true class predicted": (places, [r["fraction_correct_on_wrong"] for r in history]),
                    "standing contradiction": (places, [r["standing_disagreement"] for r in history]),
                }
    print(f"Figure: {save(curves_figure(panels, x='epoch', y='share', log=True), out)}")
    return found


if __name__ == "__main__":
    options = arguments(__doc__, epochs=60)
    main(options.out, epochs=options.epochs, seeds=options.seeds)
