"""What importing costs, as a ratio to `import torch`, and how long `elr --help` takes; fresh processes, in turns.

python benchmarks/startup.py [--rounds 7] [--json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

STATEMENTS = {
    "import torch": "import torch",
    "import elr": "import elr",
    "from elr import ELRLoss": "from elr import ELRLoss",
}


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    commands = {name: [sys.executable, "-c", code] for name, code in STATEMENTS.items()}
    commands["elr --help"] = [sys.executable, "-m", "elr", "--help"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    if arguments.json:
        print(json.dumps(medians))
    else:
        for name, value in medians.items():
            print(f"{name:<24} {value:6.2f} s  {value / medians['import torch']:5.2f} of import torch")
