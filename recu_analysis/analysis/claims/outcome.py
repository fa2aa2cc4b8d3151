"""Claims about results: how fast a training is, and whether tau changes what the network computes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.arms import pairs
from recu_analysis.analysis.claims.finding import (
    FEWEST_SEEDS,
    NEEDS_PAIRS,
    Finding,
    cannot_tell,
    judge,
)
from recu_analysis.analysis.logged import logged
from recu_analysis.analysis.mask import LEVELS, signs_changed_query
from recu_analysis.analysis.query import gather
from recu_analysis.store.labels import labels_of
from recu_analysis.theory.intervals import Interval, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from recu_analysis.analysis.claims.finding import Patterns
    from recu_analysis.analysis.query import Query
    from recu_analysis.store.run import Run

#: Shares of the baseline's final accuracy; the epochs that reach them are compared.
SHARES = (0.90, 0.95, 0.98)


def trains_faster(runs: Sequence[Run], baseline: Sequence[Run]) -> Finding:
    """C7: epochs to 90, 95 and 98 % of the baseline's final accuracy, ReCU minus baseline, one pair of runs a seed."""
    paired = pairs(runs, baseline)
    if not paired:
        return cannot_tell(NEEDS_PAIRS)
    apart = next((pair for pair in paired if _task(pair[0]) != _task(pair[1])), None)
    if apart:
        names = " and ".join(labels_of(apart))
        return cannot_tell(f"{names} trained different networks or data sets, so their epochs cannot be compared")
    missing = [run.name for pair in paired for run in pair if _curve(run).empty]
    if missing:
        return cannot_tell(f"{missing[0]} logged no epoch and val_top1; give both to mark()")
    differences, censored = [], 0
    for ours, theirs in paired:
        curves = _curve(ours), _curve(theirs)
        levels = [share * float(curves[1].iloc[-1]) for share in SHARES]
        mine, others = ([epoch_of(curve, level) for level in levels] for curve in curves)
        censored += sum(map(math.isinf, mine))
        last = float(curves[0].index[-1])
        differences.append(float(np.mean(np.minimum(mine, last) - np.array(others))))
    value = student(differences)
    shares = ", ".join(f"{100 * share:.0f}" for share in SHARES)
    shown = f"epochs to {shares} % of the baseline's final accuracy, mean, ReCU minus baseline, "
    shown += f"pairs of seeds: {len(differences)}"
    if censored:
        shown += f" ({censored} not reached, counted as the last epoch)"
    if len(differences) < FEWEST_SEEDS:
        return cannot_tell(f"{shown}: a difference between trainings needs {FEWEST_SEEDS} seeds", value)
    found = judge(value, supported=(-math.inf, 0.0), contradicted=[(0.0, math.inf)], shown=shown)
    if censored and found.verdict == "supported":
        return cannot_tell(f"{shown}: it is unknown when those are reached; train as long as the baseline", value)
    return found


def _task(run: Run) -> tuple[object, ...]:
    """The data set and the layers of a run."""
    return run.configuration.get("dataset"), [(spec.name, spec.whole_shape) for spec in run.header.layers]


def _curve(run: Run) -> pd.Series[float]:
    """Validation accuracy by epoch; empty if it was not logged."""
    return logged(run, "epoch", "val_top1").set_index("epoch")["val_top1"]


def epoch_of(curve: pd.Series[float], accuracy: float) -> float:
    """The epoch that first reaches an accuracy; infinite if none does."""
    reached = np.flatnonzero(curve.to_numpy() >= accuracy)
    return float(curve.index[reached[0]]) if reached.size else math.inf


def changes_output(runs: Sequence[Run], layers: Patterns = None) -> Query[Finding]:
    """C9: whether the clamp at any level, or b*, changes a sign of the stored weights."""
    return gather(*(signs_changed_query(run, layers=layers) for run in runs)).then(_changed)


def _changed(tables: Sequence[pd.DataFrame]) -> Finding:
    changed = sum(int(table["changed"].sum()) for table in tables)
    weights = sum(int(table["weights"].iloc[0]) for table in tables)
    if not weights:
        return cannot_tell("no layer has a channel with finite weights")
    value = Interval(float(changed), float(changed), float(changed))
    levels = ", ".join(f"{level:g}" for level in LEVELS)
    shown = f"signs of {weights} stored weights that change by a clamp at tau {levels} or by b*"
    if changed:
        return Finding(value, "supported", f"{shown}: {changed}")
    same = "a clamp changes no sign, so every layer has the same output, and ReCU is a mask on the gradient"
    return Finding(value, "algebra", f"{shown}: none; the algebra contradicts it: {same}")
