"""Size and time of the HTML report of a run with 0.27 M and 11 M weights, and with 170 small layers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.long_run import SHAPES, SMALL_SHAPES, write_long_run
from recu_analysis import open_run
from recu_analysis.report import report

WINDOWS = 24
MANY_SHAPES = [(16, 24)] * 170
RUNS = {"0.27 M weights": SMALL_SHAPES, "11 M weights": SHAPES, "170 small layers": MANY_SHAPES}


def main() -> None:
    """Print size and time for a run of `WINDOWS` windows."""
    print(f"report of one run of {WINDOWS} windows")
    for name, shapes in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_long_run(Path(folder) / "run", WINDOWS, shapes)
            began = time.perf_counter()
            page = report({"run": open_run(Path(folder) / "run")})
            taken = time.perf_counter() - began
        print(f"  {name}: {len(page.encode()) / 1e6:.2f} MB, {taken:.0f} s")


if __name__ == "__main__":
    main()
