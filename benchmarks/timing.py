"""Timing by turns: all contestants run in every round, so that a busy machine slows them equally."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Times = dict[str, "np.ndarray[tuple[int], np.dtype[np.float64]]"]


def take_turns(contestants: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Seconds of each contestant in each round; one warm-up round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    # Exclude existing objects from garbage collection, which can take longer than a round and evicts the caches.
    gc.freeze()
    for number in range(rounds + 1):
        for name, run in contestants.items():
            gc.collect()
            start = time.perf_counter()
            run()
            elapsed = time.perf_counter() - start
            if number:
                times[name].append(elapsed)
    gc.unfreeze()
    return {name: np.array(values) for name, values in times.items()}


def ratio(times: Times, of: str, to: str) -> tuple[float, float, float]:
    """Median and quartiles over rounds of the ratio of two contestants' times."""
    low, middle, high = np.quantile(times[of] / times[to], [0.25, 0.5, 0.75])
    return float(middle), float(low), float(high)


def ratio_line(times: Times, of: str, to: str) -> str:
    """The ratio of two contestants' times in words, as `benchmarks.ratios` reads it."""
    middle, low, high = ratio(times, of, to)
    return f"{of} / {to}: {middle:.3f} (quartiles {low:.3f} to {high:.3f})"
