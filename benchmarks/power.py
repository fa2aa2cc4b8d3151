"""How many seeds an effect needs to be found, from the spread over the seeds in checkpoints/; printed as Markdown.

python -m benchmarks.power
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

import recu_analysis as ra

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
#: Chance to find the effect, level of the test, and coverage of the upper bound of a standard deviation.
POWER, LEVEL, SURE = 0.8, 0.05, 0.9
MOST_SEEDS = 1000


def main() -> None:
    """Print the table."""
    print("| difference of two arms | spread over seeds | at most | seeds an arm | if the spread is at most that |")
    print("| --- | --- | --- | --- | --- |")
    for effect, size, values in effects():
        spread, most = pooled(values)
        print(f"| {effect} | {spread:.3g} | {most:.3g} | {seeds_needed(size, spread)} | {seeds_needed(size, most)} |")
    print()
    print_one_training()


def effects() -> Iterable[tuple[str, float, list[list[float]]]]:
    """Each effect in words, its size, and the values of the seeds of each arm that tell the spread."""
    fashion = {path.name: path for path in sorted((CHECKPOINTS / "fashion").iterdir())}
    table = ra.compare(fashion).set_index("run")
    yield "0.5 points of accuracy", 0.5, by_arm(table["val_top1"])
    # A share that doubles is a difference of log 2 in its logarithm.
    shipped = ra.dead_weights(fashion, windows="5:")
    silent = shipped.groupby("run")["silent_fraction_tail"].mean()
    yield "a doubled silent tail", math.log(2.0), by_arm(np.log(silent))
    causes = {path.name: path for path in sorted((CHECKPOINTS / "causes").iterdir())}
    earned = ra.earned(causes, windows="4:")
    restored = earned[earned["group"] == "all"].groupby("run")["rho"].mean()
    yield "a restored fraction higher by 0.3", 0.3, by_arm(restored)


def print_one_training() -> None:
    """How wide the interval of the restored fraction of one training is, by the T of its window."""
    runs = {path.name: path for path in sorted((CHECKPOINTS / "causes").glob("baseline-?"))}
    print("| window | T | null autocorrelation | restored fraction | half the width of its interval |")
    print("| --- | --- | --- | --- | --- |")
    for window in ra.open_run(next(iter(runs.values()))).windows[1:]:
        rows = ra.earned(runs, windows=f"{window.number}:{window.number + 1}")
        found = rows[(rows["group"] == "all") & rows["rho_low"].notna()]
        if found.empty:
            continue  # a merged window has no interval of one training
        width = ((found["rho_high"] - found["rho_low"]) / 2.0).max()
        middle = found[["decay_time", "inherited", "rho"]].mean()
        print("| {} | {:.2f} | {:.2f} | {:.2f} | {:.2f} |".format(window.number, *middle, width))


def by_arm(values: pd.Series[float]) -> list[list[float]]:
    """Values by run, gathered by the name of the arm, which stands before the last hyphen."""
    arms: dict[str, list[float]] = {}
    for name, value in values.items():
        arms.setdefault(str(name).rpartition("-")[0], []).append(float(value))
    return [arm for arm in arms.values() if len(arm) > 1]


def pooled(arms: list[list[float]]) -> tuple[float, float]:
    """Standard deviation over the seeds of an arm, pooled over arms, and an upper bound that holds 9 times in 10."""
    freedom = sum(len(arm) - 1 for arm in arms)
    squares = sum(float(np.var(arm)) * len(arm) for arm in arms)
    return math.sqrt(squares / freedom), math.sqrt(squares / float(stats.chi2.ppf(1.0 - SURE, freedom)))


def seeds_needed(size: float, spread: float) -> int:
    """The least number of seeds an arm with which a t test of two arms finds a difference, by the noncentral t."""
    for seeds in range(2, MOST_SEEDS):
        freedom = 2 * seeds - 2
        limit = stats.t.ppf(1.0 - LEVEL / 2.0, freedom)
        away = size / spread * math.sqrt(seeds / 2.0)
        if 1.0 - stats.nct.cdf(limit, freedom, away) >= POWER:
            return seeds
    return MOST_SEEDS


if __name__ == "__main__":
    main()
