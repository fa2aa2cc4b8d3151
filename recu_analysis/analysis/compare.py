"""Runs beside each other: one row a run, what each ended with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU, dead_weights, totals
from recu_analysis.analysis.engine import decay_time
from recu_analysis.analysis.horizon import common_stretch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.engine import WindowRange
    from recu_analysis.store.run import Run


def compare(runs: Mapping[str, Run], tail_tau: TailTau = TAIL_TAU) -> pd.DataFrame:
    """What runs ended with, over the final stretch of windows with memory of at most 1/2.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels of the rows.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        One row a run: run, first_window and last_window (of the stretch, the same for runs that end with the
        same window), updates (of the whole run), decay_time (T of the whole run), val_top1 (per cent, last
        mark; NaN if none was logged), and of the whole network over the stretch, weighted by
        the layers' weights: dead_fraction, silent_fraction_tail, silent_fraction_core, mobility_tail,
        mobility_core (standard deviations per update), mobility_ratio (tail to core, the median layer), memory.

    Raises
    ------
    WindowNotFoundError
        If a run holds no window with updates.
    """
    stretches = common_stretch(runs)
    return pd.DataFrame([_row(label, run, tail_tau, stretches[label]) for label, run in runs.items()])


def _row(label: str, run: Run, tail_tau: TailTau, window: WindowRange) -> dict[str, Any]:
    table = dead_weights(run, tail_tau=tail_tau, window=window)
    total = totals(table)
    accuracy = run.metrics["val_top1"].dropna() if "val_top1" in run.metrics else pd.Series(dtype=float)
    shown = ("dead_fraction", "silent_fraction_tail", "silent_fraction_core", "mobility_tail", "mobility_core")
    return {
        "run": label,
        "first_window": window.first,
        "last_window": window.last,
        "updates": sum(window.updates for window in run.windows),
        "decay_time": decay_time(run),
        "val_top1": float(accuracy.iloc[-1]) if len(accuracy) else float("nan"),
        **{name: total[name] for name in shown},
        "mobility_ratio": float((table["mobility_tail"] / table["mobility_core"]).median()),
        "memory": total["memory"],
    }
