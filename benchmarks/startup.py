"""Start-up time of a command without torch, beside the imports that it needs."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.timing import ratio_line, take_turns

ROUNDS = 15


def main() -> None:
    """Print the milliseconds of both, and their ratio."""
    imports = [sys.executable, "-c", "import numpy, scipy.special, pandas, click"]
    command = [sys.executable, "-m", "recu_analysis", "tradeoff"]
    contestants = {
        "recu-analyze tradeoff": lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL),
        "its imports alone": lambda: subprocess.run(imports, check=True),
    }
    times = take_turns(contestants, ROUNDS)
    print(f"starting, whole processes, {ROUNDS} rounds")
    for name, values in times.items():
        print(f"  {name:24} {1e3 * sorted(values)[ROUNDS // 2]:6.0f} ms")
    print("  " + ratio_line(times, *contestants))


if __name__ == "__main__":
    main()
