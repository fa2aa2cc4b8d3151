"""What several workers gain over one: threads (--jobs), processes and a dask cluster on this machine, by turns.

Run as ``python -m benchmarks.workers [WINDOWS [ROUNDS]]``; each of the WINDOWS (10) windows of 11 M weights needs
150 MB in the temporary folder. Without the extra `distributed`, dask is left out.
"""

from __future__ import annotations

import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.long_run import write_long_run
from benchmarks.timing import ratio, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS, ROUNDS, WORKERS = 10, 5, 2
ONE = "one thread"


def main() -> None:
    """Print the seconds of each contestant, and the median and quartiles of its ratio to one thread."""
    windows, rounds = (int(each) for each in (*sys.argv[1:], *(WINDOWS, ROUNDS)[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "run"
        write_long_run(path, windows)
        print(f"{WORKERS} workers, {windows} windows of 11 M weights, {os.cpu_count()} cores, {rounds} rounds")
        staying = stack.enter_context(_processes())
        who: dict[str, Callable[[], Any]] = {
            ONE: lambda: 1,
            f"{WORKERS} threads": lambda: WORKERS,
            f"{WORKERS} processes that are there": lambda: staying,
            f"{WORKERS} processes, started": _processes,
        }
        if find_spec("distributed"):
            from distributed import Client, LocalCluster

            cluster = stack.enter_context(LocalCluster(WORKERS, threads_per_worker=1, dashboard_address=None))
            client = stack.enter_context(Client(cluster, set_as_default=False))
            who[f"{WORKERS} workers of dask"] = lambda: client
        for name, ask in _questions(path, windows).items():
            times = take_turns({each: _asked(ask, of) for each, of in who.items()}, rounds)
            print(f"  {name}")
            for each, values in times.items():
                middle, low, high = ratio(times, each, ONE)
                quartiles = f"quartiles {low:.2f} to {high:.2f}"
                print(f"    {each:30} {np.median(values):7.2f} s, {middle:.2f} of {ONE} ({quartiles})", flush=True)


def _processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(WORKERS, get_context("spawn"))


def _questions(path: Path, windows: int) -> dict[str, Callable[[], object]]:
    """Each opens the run again, so that every checksum is checked."""
    from recu_analysis import dead_weights, layer_table, open_run

    return {
        "dead_weights, all windows": lambda: dead_weights(open_run(path), windows=slice(1, windows + 1)),
        "layer_table, the last window": lambda: layer_table(open_run(path), windows=windows),
    }


def _asked(ask: Callable[[], object], of: Callable[[], Any]) -> Callable[[], None]:
    """A contestant; a pool that it starts ends with it, and counts."""
    from recu_analysis import workers

    def run() -> None:
        with ExitStack() as stack:
            executor = of()
            if of is _processes:
                stack.enter_context(executor)
            stack.enter_context(workers(executor))
            ask()

    return run


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
