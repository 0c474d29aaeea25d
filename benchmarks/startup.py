"""Time `pullmatte --help` against `python -c "import torch"`.

Run: python benchmarks/startup.py [--rounds 9]

Whole processes, in turns, so that other work on the machine hits both alike; medians of wall time
and the median of the rounds' ratios. Exits with 1 if that ratio is above the goal.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from clips import machine

GOAL = 0.5
COMMANDS = {
    "pullmatte --help": [str(Path(sys.executable).with_name("pullmatte")), "--help"],
    'python -c "import torch"': [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    for command in COMMANDS.values():
        seconds(command)
    times = [[seconds(command) for command in COMMANDS.values()] for _ in range(rounds)]
    ours, torch = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(mine / other for mine, other in times)
    print(f"`python benchmarks/startup.py`, {rounds} rounds; {machine()}\n")
    print("| pullmatte --help, s | import torch, s | ratio | goal |")
    print("| --: | --: | --: | --: |")
    print(f"| {ours:.2f} | {torch:.2f} | {ratio:.2f} | {GOAL} |")
    return int(ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main())
