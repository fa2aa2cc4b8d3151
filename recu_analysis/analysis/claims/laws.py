"""Claims about all weights, not the tail: what is left of the start, forecast mobility, lasting signs, the flip law."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.arms import sampled
from recu_analysis.analysis.claims.finding import Finding, cannot_tell, judge, median_of, omitted_layers, pooled
from recu_analysis.analysis.claims.movement import can_tell
from recu_analysis.analysis.deadness import MOVEMENT, mean, movement
from recu_analysis.analysis.final_windows import null_query
from recu_analysis.analysis.flips import zero_density
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.mobility import forecast as forecast_of
from recu_analysis.analysis.null import null
from recu_analysis.analysis.query import gather, per_layer, value
from recu_analysis.analysis.selection import begins_training, known_windows, select_windows
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.intervals import Interval, student

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.claims.finding import Patterns
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Parts of the start that noise alone would leave: above the first most of it is left, below the second it is not.
MOSTLY_LEFT, MOSTLY_GONE = 0.8, 0.5
#: Measured over forecast: within the first range the law holds, outside the second it does not.
AGREES, DIFFERS = (0.8, 1.25), (2.0 / 3.0, 1.5)
#: Norms and the density of z at 0 may change at most by this factor in a window; else their mean over it is not known.
MOST_CHANGE = 1.25
_OUTSIDE = [(-math.inf, DIFFERS[0]), (DIFFERS[1], math.inf)]
_NEEDS_UPDATES = "a run was sampled from checkpoints; record every update"


def start_left(runs: Sequence[Run], layers: Patterns = None) -> Query[Finding]:
    """C10: the part of z that is left of the start of the run, at most, by decay and the growth of the noise."""
    if any(map(sampled, runs)):
        return value(cannot_tell(f"the rates of the updates are not known: {_NEEDS_UPDATES}"))
    return gather(*(_whole_null(run, layers) for run in runs)).then(lambda found: _left(list(found)))


def _whole_null(run: Run, layers: Patterns) -> Query[float]:
    windows = known_windows(run)
    return null_query(run, select_layers(run, layers), windows[0].number, windows[-1].number)


def _left(found: Sequence[float]) -> Finding:
    if not all(map(math.isfinite, found)):
        return cannot_tell("the rates of the updates are not recorded, or no channel varies")
    # One run has no interval: the value follows from its schedule and its norms.
    interval = student(found) if len(found) > 1 else Interval(found[0], found[0], found[0])
    shown = (
        "part of z that is inherited from the start of the run, at most (null autocorrelation of all windows); what is "
        "measured beyond it was made again by gradients"
    )
    return judge(interval, supported=(MOSTLY_LEFT, math.inf), contradicted=[(-math.inf, MOSTLY_GONE)], shown=shown)


def forecast(runs: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C11: measured mobility over that which learning rate, weight decay and the norms at both ends forecast."""
    return _law(
        runs,
        layers,
        windows,
        _forecast_sums,
        "mobility, measured over forecast by the optimizer's equilibrium and the norms",
        "since the windows begin with the training, the rates are not known, norms fall by decay alone, or they change "
        "much within a window",
    )


def flip_law(runs: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C13: flips per weight and update over the density of z at 0 times the mobility."""
    return _law(
        runs,
        layers,
        windows,
        _law_sums,
        "flips, measured over density of z at 0 times mobility",
        "since the density changed much within a window; record more windows",
    )


def _law(
    runs: Sequence[Run],
    layers: Patterns,
    windows: Windows | None,
    task: Callable[..., Answer[Values | None]],
    what: str,
    missing: str,
) -> Query[Finding]:
    """The verdict on what is measured over what is forecast; `task` sums both over the channels of a layer."""
    finals, problem = can_tell(runs, windows)
    if problem:
        return value(cannot_tell(problem))
    each = (per_layer(run, select_layers(run, layers), task, at.span) for run, at in zip(runs, finals, strict=True))
    return gather(*each).then(lambda found: _agreement(found, what, missing))


def _agreement(found: Sequence[Sequence[Values | None]], what: str, missing: str) -> Finding:
    """The verdict on sums over channels of what is measured (column 0) and what is forecast (column 1).

    A layer without a forecast has no sums; `missing` says why.
    """
    if all(sums is None for layers in found for sums in layers):
        return cannot_tell(f"{what}: no forecast, {missing}")
    values = [median_of(layers, lambda _, totals: _quotient(totals)) for layers in found]
    shown = f"{what}, median layer{omitted_layers(values)}"
    return judge(pooled(values), supported=AGREES, contradicted=_OUTSIDE, shown=shown)


def _quotient(totals: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient: Values = totals[:, 0] / totals[:, 1]
    return quotient


def _forecast_sums(run: Run, spec: LayerSpec, span: WindowSpan) -> Answer[Values | None]:
    """Measured and forecast z-path of each channel, over windows that each have their own rates and norms.

    None if they begin with the training, or the norms of one of them forecast nothing.
    """
    total = np.zeros((spec.shape[0], 2))
    for window in select_windows(run, span):
        if begins_training([window]):
            return None
        record = yield over([window], MOVEMENT)
        expected = forecast_of(run, spec, record)
        if math.isnan(expected.norms):
            return None
        total += _by_channel(spec, record, expected.norms * expected.updates)
    return total if np.isfinite(total).all() and total.all(axis=0).any() else None


def _by_channel(spec: LayerSpec, record: MergedRecord, forecast_path: float) -> Values:
    """Path in z of each channel, and what the forecast gives for as many weights, shape (C_out, 2)."""
    moved = movement(spec, record)
    channel = moved.channel
    paths = np.bincount(channel, moved.mobility * record.updates, spec.shape[0])
    return np.stack([paths, forecast_path * np.bincount(channel, minlength=spec.shape[0])], axis=1)


def _law_sums(run: Run, spec: LayerSpec, span: WindowSpan) -> Answer[Values | None]:
    """Flips of each channel, and those by the flip law of its path, with the density of the layer in each window."""
    total = np.zeros((spec.shape[0], 2))
    for window in select_windows(run, span):
        record = yield over([window], MOVEMENT | {"flips"})
        moved = movement(spec, record)
        ends = zero_density(moved.z), zero_density(moved.z_end)
        if not 0.0 < max(ends) <= MOST_CHANGE * min(ends):
            return None
        density = sum(ends) / 2.0
        channel = moved.channel
        for column, each in enumerate((moved.flips, density * moved.mobility * record.updates)):
            total[:, column] += np.bincount(channel, each, spec.shape[0])
    return total if np.isfinite(total).all() and total.all(axis=0).any() else None


def never_change(runs: Sequence[Run], layers: Patterns = None) -> Query[Finding]:
    """C12: the share of the signs that never changed in the run, beside that of noise alone."""
    if any(map(sampled, runs)):
        return value(cannot_tell(f"flips between two checkpoints are not seen: {_NEEDS_UPDATES}"))
    each = (per_layer(run, select_layers(run, layers), _silent_sums) for run in runs)
    return gather(*each).then(_never)


def _silent_sums(run: Run, spec: LayerSpec) -> Answer[tuple[Values | None, float]]:
    """Silent and counted weights of each channel over the whole run, and the share that noise alone leaves silent."""
    record = yield over(known_windows(run), MOVEMENT)
    moved = movement(spec, record)
    if not moved.z.size:
        return None, math.nan
    channel = moved.channel
    sums = [np.bincount(channel, each, spec.shape[0]) for each in (moved.silent, np.ones_like(moved.z))]
    found = null(run, spec, moved)
    return np.stack(sums, axis=1), math.nan if found is None else mean(found.silent)


def _never(found: Sequence[Sequence[tuple[Values | None, float]]]) -> Finding:
    values = [median_of([sums for sums, _ in layers], lambda _, totals: _quotient(totals)) for layers in found]
    nulls = [share for layers in found for _, share in layers if not math.isnan(share)]
    beside = (
        f"; noise alone would leave {np.median(nulls):.3f}" if nulls else "; what noise alone would leave is not known"
    )
    shown = f"share of the signs that never changed in all windows, median layer{omitted_layers(values)}{beside}"
    return judge(pooled(values), supported=(0.5, math.inf), contradicted=[(-math.inf, 0.5)], shown=shown)
