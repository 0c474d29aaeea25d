"""Run the benchmarks one after the other and print their tables.

Run: python benchmarks/run_all.py [name ...]

Each is a script of its own, which exits with 1 where it misses its goal; so does this one.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
HELPERS = {"run_all", "clips"}


def main() -> int:
    names = sys.argv[1:] or sorted({path.stem for path in HERE.glob("*.py")} - HELPERS)
    missed = []
    for name in names:
        print(f"\n## {name}\n", flush=True)
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False)
        if done.returncode:
            missed.append(name)
    print(f"\nmissed or failed: {', '.join(missed) or 'none'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
