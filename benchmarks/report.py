"""Size and time of the HTML report of a run with 0.27 M and with 11 M weights."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.long_run import SHAPES, SMALL_SHAPES, write_long_run
from recu_analysis import open_run
from recu_analysis.report import report

WINDOWS = 24


def main() -> None:
    """Print size and time for a run of `WINDOWS` windows."""
    print(f"report of one run of {WINDOWS} windows")
    for name, shapes in (("0.27 M", SMALL_SHAPES), ("11 M", SHAPES)):
        with tempfile.TemporaryDirectory() as folder:
            write_long_run(Path(folder) / "run", WINDOWS, shapes)
            began = time.perf_counter()
            page = report({"run": open_run(Path(folder) / "run")})
            taken = time.perf_counter() - began
        print(f"  {name} weights in {len(shapes)} layers: {len(page.encode()) / 1e6:.2f} MB, {taken:.0f} s")


if __name__ == "__main__":
    main()
