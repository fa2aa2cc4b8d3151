"""Claims about how the tail moves: that it is barely updated, barely changes sign, and is revived by the clamp."""

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
    pooled,
)
from recu_analysis.analysis.compare import check_same_layers
from recu_analysis.analysis.distance import COLUMNS, RATIOS, STUCK, asked_sums, ratio
from recu_analysis.analysis.engine import Asked, ask
from recu_analysis.analysis.horizon import Stretch, equal_stretches, final_stretch
from recu_analysis.theory.intervals import Interval, over_layers, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.selection import WindowRange
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Ratios tail to core below which the tail is barely updated or changes sign, and above which it is not so.
BARELY, ALIKE = 0.5, 0.8
#: Risk ratios of ReCU to baseline above which the tail is revived, and below which the reverse.
REVIVED, NOT_REVIVED = 1.1, 0.9
_INFINITE = math.inf


def median_ratio(layers: Sequence[Values], name: str) -> Interval:
    """Median over the layers of one of the ratios of `tails`, its interval over their channels."""
    over, under, means = RATIOS[name]
    return over_layers(layers, lambda _, totals: ratio(totals, over, under, means=means))


def _without(runs: Sequence[Sequence[Values]], name: str) -> str:
    """How many layers have no such ratio, for a sentence; nothing where all have one."""
    over, under, means = RATIOS[name]
    ratios = [ratio(layer.sum(axis=0, keepdims=True), over, under, means=means) for run in runs for layer in run]
    missing = int(np.isnan(ratios).sum())
    return f" of {len(ratios) - missing} ({missing} have no such ratio)" if missing else ""


def barely_updated(unclamped: Sequence[Run]) -> Finding:
    """C1a: mobility of the tail over that of the core, in runs without clamp."""
    stretches, problem = _long_stretches(unclamped)
    if problem:
        return cannot_tell(problem)
    without = [run.path.name for run in unclamped if "zpath" not in run.header.quantities]
    if without:
        return cannot_tell(f"{without[0]} was recorded without zpath, of which mobility is made; record it")
    sums = [ask(asked_sums(run, at.range)) for run, at in zip(unclamped, stretches, strict=True)]
    values = [median_ratio(layers, "mobility_ratio") for layers in sums]
    left_out = _without(sums, "mobility_ratio")
    return judge(
        pooled(values),
        supported=(-_INFINITE, BARELY),
        contradicted=[(ALIKE, _INFINITE)],
        shown=f"mobility of tail to core without clamp, median layer{left_out}, {_windows(stretches)}",
    )


def barely_flips(unclamped: Sequence[Run]) -> Finding:
    """C1b: risk of a flip within the horizon, tail to core, and observed over expected sign changes of the tail."""
    stretches, problem = _long_stretches(unclamped)
    if problem:
        return cannot_tell(problem)
    sums = [ask(asked_sums(run, at.range)) for run, at in zip(unclamped, stretches, strict=True)]
    risk = pooled([median_ratio(layers, "flip_risk_ratio") for layers in sums])
    distance = pooled([median_ratio(layers, "distance_ratio_tail") for layers in sums])
    left_out = _without(sums, "flip_risk_ratio")
    shown = f"risk of a flip, tail to core without clamp, median layer{left_out}, {_windows(stretches)}"
    found = judge(risk, supported=(-_INFINITE, BARELY), contradicted=[(ALIKE, _INFINITE)], shown=shown)
    beside = (
        f"; sign changes of the tail, observed over expected of pure distance: {distance.estimate:.2f} "
        f"({distance.low:.2f} to {distance.high:.2f})"
    )
    if found.verdict != "supported" or distance.high < STUCK:
        return Finding(risk, found.verdict, found.why + beside)
    if distance.low >= STUCK:
        return Finding(risk, "not supported", f"{shown}: below {BARELY:g} by distance only, not stuck{beside}")
    open_ = f"{shown}: below {BARELY:g}, but whether the tail is stuck or only far is open{beside}"
    return Finding(risk, "not supported", open_) if distance.low < STUCK else cannot_tell(open_, risk)


def asked(unclamped: Sequence[Run]) -> list[Asked[Values]]:
    """What C1a and C1b ask; nothing where they can say without that they cannot tell."""
    stretches, _ = _long_stretches(unclamped)
    return [asked_sums(run, at.range) for run, at in zip(unclamped, stretches, strict=False)]


def asked_revived(runs: Sequence[Run], baseline: Sequence[Run]) -> list[Asked[Values]]:
    """What C6 asks; nothing where it can say without that it cannot tell."""
    paired, windows, _ = _paired(runs, baseline)
    return [asked_sums(run, windows[str(run.path)]) for pair in paired for run in pair]


def _paired(runs: Sequence[Run], baseline: Sequence[Run]) -> tuple[list[tuple[Run, Run]], dict[str, WindowRange], str]:
    """Pairs of runs, stretches of equal length by their paths, and why there are none; empty where there are."""
    paired = pairs(runs, baseline)
    if not paired:
        return [], {}, NEEDS_PAIRS
    everyone = {str(run.path): run for pair in paired for run in pair}
    check_same_layers(everyone)
    _, problem = _long_stretches(list(everyone.values()))
    return ([], {}, problem) if problem else (paired, equal_stretches(everyone), "")


def revived(runs: Sequence[Run], baseline: Sequence[Run]) -> Finding:
    """C6: risk of a flip within the horizon in the same rank tail, ReCU to baseline, a pair of runs a seed."""
    paired, windows, problem = _paired(runs, baseline)
    if problem:
        return cannot_tell(problem)
    ratios = [_flip_risk(pair, [windows[str(run.path)] for run in pair]) for pair in paired]
    shown = f"risk of a flip in the tail, ReCU to baseline, median layer, pairs of seeds: {len(ratios)}"
    if not all(0.0 < value < _INFINITE for value in ratios):
        return cannot_tell(f"{shown}: no ratio, since the tail of a run never flips; train longer")
    logs = student([math.log(value) for value in ratios])
    value = Interval(*(math.exp(end) for end in (logs.estimate, logs.low, logs.high)))
    if len(ratios) < FEWEST_SEEDS:
        return cannot_tell(f"{shown}: a difference between trainings needs {FEWEST_SEEDS} seeds", value)
    return judge(value, supported=(REVIVED, _INFINITE), contradicted=[(-_INFINITE, NOT_REVIVED)], shown=shown)


def _flip_risk(pair: Sequence[Run], windows: Sequence[WindowRange]) -> float:
    """Median over layers of the share of the tail that flipped, one run's over the other's; NaN of no layer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = []
        for run, window in zip(pair, windows, strict=True):
            totals = np.array([layer.sum(axis=0) for layer in ask(asked_sums(run, window))])
            shares.append(totals[:, COLUMNS["flipped_tail"]] / totals[:, COLUMNS["weights_tail"]])
        ratios = shares[0] / shares[1]
    known = ratios[~np.isnan(ratios)]
    return float(np.median(known)) if known.size else math.nan


def _long_stretches(runs: Sequence[Run]) -> tuple[list[Stretch], str]:
    """The final stretch of every run, and why they carry no verdict; empty where they do."""
    if not runs:
        return [], "needs a run without clamp: train with --no-recu and give it as --baseline"
    if any(not window.exact for run in runs for window in run.windows):
        return [], "a run was sampled from checkpoints: movement is net and flips are missed; record every update"
    found = [final_stretch(run) for run in runs]
    broken = [run.path.name for run, stretch in zip(runs, found, strict=True) if math.isnan(stretch.memory)]
    if broken:
        return [], f"no channel of {broken[0]} has weights that differ and are numbers"
    short = [run.path.name for run, stretch in zip(runs, found, strict=True) if not stretch.long]
    if short:
        return [], f"memory stays above 1/2 in {', '.join(short)}: too short to tell dead from slow; train longer"
    return found, ""


def _windows(stretches: Sequence[Stretch]) -> str:
    shown = ", ".join(f"{stretch.range} (memory {stretch.memory:.2f})" for stretch in stretches)
    return f"windows {shown}"
