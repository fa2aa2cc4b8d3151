"""Size and time of the HTML report of a run with 0.27 M and 11 M weights, and with 170 small layers."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.long_run import SHAPES, SMALL_SHAPES, write_long_run
from recu_analysis import open_run, workers
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
            taken = []
            for threads in (1, 2):
                began = time.perf_counter()
                with workers(threads):
                    page = report({"run": open_run(Path(folder) / "run")})
                taken.append(time.perf_counter() - began)
        size = len(page.encode()) / 1e6
        print(f"  {name}: {size:.2f} MB, {taken[0]:.0f} s, and {taken[1]:.0f} s with two threads", flush=True)


if __name__ == "__main__":
    main()
