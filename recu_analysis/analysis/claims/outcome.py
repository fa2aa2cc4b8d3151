"""Claims about what a training reaches: how fast, and whether tau changes what the network computes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.claims.finding import (
    FEWEST_SEEDS,
    NEEDS_PAIRS,
    Finding,
    cannot_tell,
    judge,
    pairs,
)
from recu_analysis.analysis.mask import LEVELS, signs_changed
from recu_analysis.theory.intervals import Interval, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from recu_analysis.store.run import Run

#: Shares of the baseline's final accuracy whose epoch is compared.
SHARES = (0.90, 0.95, 0.98)


def trains_faster(runs: Sequence[Run], baseline: Sequence[Run]) -> Finding:
    """C7: epochs to 90, 95 and 98 % of the baseline's final accuracy, ReCU less baseline, a pair of runs a seed."""
    if not pairs(runs, baseline):
        return cannot_tell(NEEDS_PAIRS)
    missing = [run.path.name for run in (*runs, *baseline) if not {"epoch", "val_top1"} <= set(run.metrics)]
    if missing:
        return cannot_tell(f"{missing[0]} logged no epoch and val_top1; give them to mark()")
    differences, censored = [], 0
    for ours, theirs in pairs(runs, baseline):
        final = float(_curve(theirs).iloc[-1])
        reached = [
            (epochs_to(_curve(ours), share * final), epochs_to(_curve(theirs), share * final)) for share in SHARES
        ]
        censored += sum(math.isinf(mine) for mine, _ in reached)
        last = len(_curve(ours))
        differences.append(float(np.mean([min(epochs, last) - other for epochs, other in reached])))
    value = student(differences)
    shares = ", ".join(f"{100 * share:.0f}" for share in SHARES)
    shown = f"epochs to {shares} % of the baseline's final accuracy, mean, ReCU less baseline, "
    shown += f"pairs of seeds: {len(differences)}"
    if censored:
        shown += f" ({censored} not reached, counted as the last epoch)"
    if len(differences) < FEWEST_SEEDS:
        return cannot_tell(f"{shown}: a difference between trainings needs {FEWEST_SEEDS} seeds", value)
    return judge(value, supported=(-math.inf, 0.0), contradicted=[(0.0, math.inf)], shown=shown)


def _curve(run: Run) -> pd.Series[float]:
    """Validation accuracy by epoch."""
    return run.metrics[["epoch", "val_top1"]].dropna().set_index("epoch")["val_top1"]


def epochs_to(curve: pd.Series[float], accuracy: float) -> float:
    """Number of epochs after which an accuracy is first reached; infinite where it never is."""
    reached = np.flatnonzero(curve.to_numpy() >= accuracy)
    return float(reached[0] + 1) if reached.size else math.inf


def changes_output(runs: Sequence[Run]) -> Finding:
    """C9: whether the clamp at any level, or b*, changes a sign of the stored weights."""
    tables = [signs_changed(run) for run in runs]
    changed = sum(int(table["changed"].sum()) for table in tables)
    weights = sum(int(table["weights"].iloc[0]) for table in tables)
    if not weights:
        return cannot_tell("no layer has weights that are all numbers")
    value = Interval(float(changed), float(changed), float(changed))
    shown = f"signs of {weights} stored weights that a clamp at tau {', '.join(f'{t:g}' for t in LEVELS)} or b* changes"
    if changed:
        return Finding(value, "supported", f"{shown}: {changed}")
    return Finding(value, "contradicted", f"{shown}: none; a layer puts out the same, ReCU is a mask on the gradient")
