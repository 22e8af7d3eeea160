"""The embedded default over several seeds: mean and (sample) standard deviation of what `elr fit` without data prints.

    python benchmarks/digits.py [--seeds 3] [--json]

A seed decides on the split, the noise, the weights and the order of the rows.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from elr.runs.fit import fit
from elr.runs.fit_config import FitConfig
from elr.runs.reporting import COMPARED

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            outcome = fit(out=Path(folder) / str(seed), config=FitConfig(seed=seed))
            for method, results in outcome.results["methods"].items():
                for key in (each for each in COMPARED if each in results):  # of one measurement there is no best epoch
                    found.setdefault(method, {}).setdefault(key, []).append(results[key])
    table = {
        method: {key: [statistics.mean(values), statistics.stdev(values)] for key, values in columns.items()}
        for method, columns in found.items()
    }
    if arguments.json:
        print(json.dumps({"seeds": arguments.seeds, "methods": table}))
    else:
        print(f"| {arguments.seeds} seeds | " + " | ".join(table) + " |")
        print("|---" * (len(table) + 1) + "|")
        for key in COMPARED:
            cells = [
                f"{columns[key][0]:.4f} ± {columns[key][1]:.4f}" if key in columns else "-"
                for columns in table.values()
            ]
            print(f"| {key} | " + " | ".join(cells) + " |")
