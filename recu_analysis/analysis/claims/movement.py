"""Claims about how the tail moves: that it is barely updated, barely changes sign, and is revived by the clamp."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

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
from recu_analysis.analysis.deadness import TAIL_TAU, movement
from recu_analysis.analysis.distance import COLUMNS, RATIOS, STUCK, channel_sums, ratio
from recu_analysis.analysis.engine import WindowRange, merged, select_windows
from recu_analysis.analysis.horizon import Stretch, equal_stretches, final_stretch
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.theory.intervals import Interval, over_layers, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Ratios tail to core below which the tail is barely updated or changes sign, and above which it is not so.
BARELY, ALIKE = 0.5, 0.8
#: Risk ratios of ReCU to baseline above which the tail is revived, and below which the reverse.
REVIVED, NOT_REVIVED = 1.1, 0.9
_INFINITE = math.inf


def sums_of(run: Run, window: WindowRange) -> list[Values]:
    """`ChannelSums.matrix` of every layer over a range of windows."""
    # Three claims ask for the same; the windows of a large run take seconds to read.
    known = _KNOWN.setdefault(run, {})
    if window not in known:
        known[window] = by_layer(_sums, run, run.header.layers, window)
    return known[window]


_KNOWN: WeakKeyDictionary[Run, dict[WindowRange, list[Values]]] = WeakKeyDictionary()


def _sums(run: Run, spec: LayerSpec, window: WindowRange) -> Values:
    return channel_sums(spec, movement(spec, merged(select_windows(run, window), spec.name), TAIL_TAU)).matrix()


def median_ratio(layers: Sequence[Values], name: str) -> Interval:
    """Median over the layers of one of the ratios of `tails`, its interval over their channels."""
    over, under, means = RATIOS[name]
    return over_layers(layers, lambda _, totals: ratio(totals, over, under, means=means))


def barely_updated(unclamped: Sequence[Run]) -> Finding:
    """C1a: mobility of the tail over that of the core, in runs without clamp."""
    stretches, problem = _long_stretches(unclamped)
    if problem:
        return cannot_tell(problem)
    without = [run.path.name for run in unclamped if "zpath" not in run.header.quantities]
    if without:
        return cannot_tell(f"{without[0]} was recorded without zpath, of which mobility is made; record it")
    sums = [sums_of(run, at.range) for run, at in zip(unclamped, stretches, strict=True)]
    values = [median_ratio(layers, "mobility_ratio") for layers in sums]
    return judge(
        pooled(values),
        supported=(-_INFINITE, BARELY),
        contradicted=[(ALIKE, _INFINITE)],
        shown=f"mobility of tail to core without clamp, median layer, {_windows(stretches)}",
    )


def barely_flips(unclamped: Sequence[Run]) -> Finding:
    """C1b: risk of a flip within the horizon, tail to core, and observed over expected sign changes of the tail."""
    stretches, problem = _long_stretches(unclamped)
    if problem:
        return cannot_tell(problem)
    sums = [sums_of(run, at.range) for run, at in zip(unclamped, stretches, strict=True)]
    risk = pooled([median_ratio(layers, "flip_risk_ratio") for layers in sums])
    distance = pooled([median_ratio(layers, "distance_ratio_tail") for layers in sums])
    shown = f"risk of a flip, tail to core without clamp, median layer, {_windows(stretches)}"
    found = judge(risk, supported=(-_INFINITE, BARELY), contradicted=[(ALIKE, _INFINITE)], shown=shown)
    beside = (
        f"; sign changes of the tail, observed over expected of pure distance: {distance.estimate:.2f} "
        f"({distance.low:.2f} to {distance.high:.2f})"
    )
    if found.verdict == "supported" and not distance.high < STUCK:
        return Finding(risk, "not supported", f"{shown}: below {BARELY:g} by distance only, not stuck{beside}")
    return Finding(risk, found.verdict, found.why + beside)


def revived(runs: Sequence[Run], baseline: Sequence[Run]) -> Finding:
    """C6: risk of a flip within the horizon in the same rank tail, ReCU to baseline, a pair of runs a seed."""
    paired = pairs(runs, baseline)
    if not paired:
        return cannot_tell(NEEDS_PAIRS)
    everyone = {str(run.path): run for pair in paired for run in pair}
    check_same_layers(everyone)
    _, problem = _long_stretches(list(everyone.values()))
    if problem:
        return cannot_tell(problem)
    windows = equal_stretches(everyone)
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
            totals = np.array([layer.sum(axis=0) for layer in sums_of(run, window)])
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
