"""Run the benchmarks one after the other and print their tables.

Run: python benchmarks/run_all.py [--data DATA] [name ...]

Those that need a data folder are left out, and named, where none is given; `sdmatte`,
`tracked_frame` and `mam2_second_pass`, which take a quarter of an hour or 15 GB, and `studio`,
which needs Chromium, run only when they are named. The ablations, which train networks, and
`nano_failures`, which draws, take arguments of their own: run them by themselves.

Each is a script of its own, which exits with 1 where it misses its goal; so does this one.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = {"run_all", "clips", "ablation_mam2", "ablation_sdmatte", "nano_failures"}
NEED_DATA = {
    "foreground",
    "mematte_margin",
    "opacity_choice",
    "second_pass",
    "steady_alpha",
    "tracking",
}
# A quarter of an hour, 15 GB or a browser: only when they are named.
HEAVY = {"mam2_second_pass", "sdmatte", "studio", "tracked_frame"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    missed = []
    for name in options.names or sorted({path.stem for path in HERE.glob("*.py")} - PARTS - HEAVY):
        if name in NEED_DATA and not options.data:
            print(f"\n## {name}: left out, it needs --data DATA", flush=True)
            continue
        print(f"\n## {name}\n", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py")]
        command += [options.data] * (name in NEED_DATA)
        if subprocess.run(command, check=False).returncode:
            missed.append(name)
    print(f"\nmissed or failed: {', '.join(missed) or 'none'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
