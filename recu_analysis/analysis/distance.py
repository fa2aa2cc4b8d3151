"""Stuck, or only far from zero: sign changes of tail and core, observed and expected from distance alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, mean, movement
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import select_windows
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.run import as_run
from recu_analysis.theory.intervals import over_channels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Movement, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import OneRun, Run

    Values = NDArray[np.float64]

#: Weights are stuck if their sign changes are below this share of those expected from distance alone.
STUCK = 0.5


@dataclass(frozen=True, slots=True)
class ChannelSums:
    """Sums over the weights of each output channel, for the statistics of tail and core.

    Attributes
    ----------
    weights, flipped, changed, expected, mobility, magnitude : ndarray of float64, shape (C_out, 2)
        For the tail (column 0) and the core (1): counts of weights, of those that flipped at least once, and of those
        whose sign differs between start and end; sums of Phi(-r |z| / s), of mobility (standard deviations per update)
        and of update magnitude (unit of the weights per update).
    """

    weights: Values
    flipped: Values
    changed: Values
    expected: Values
    mobility: Values
    magnitude: Values

    def matrix(self) -> Values:
        """All sums side by side, shape (C_out, 12), in the order of the attributes, tail before core."""
        parts = (self.weights, self.flipped, self.changed, self.expected, self.mobility, self.magnitude)
        return np.concatenate(parts, axis=1)


#: The parts of a record that `channel_sums` needs.
SUMMED = MOVEMENT | {"path"}
#: Columns of `ChannelSums.matrix`.
COLUMNS = {
    f"{name}_{group}": 2 * index + part
    for index, name in enumerate(("weights", "flipped", "changed", "expected", "mobility", "magnitude"))
    for part, group in enumerate(("tail", "core"))
}


def drift(moved: Movement) -> tuple[float, float]:
    """Fit z_end = r z + s noise to a layer: how z would move if only its distance from zero mattered.

    r is the slope through the origin; s is the root mean square of the residuals. If the weights of a layer take
    independent steps, their standard deviation grows, and z is measured in it, so r is below 1. Without r, the tail of
    such a layer would seem to change its sign two or three times as often as its distance allows.

    Returns
    -------
    r, s : float
        NaN if no weight is finite or all z are 0.
    """
    square = float((moved.z**2).sum())
    if square == 0.0:
        return math.nan, math.nan
    slope = float((moved.z * moved.z_end).sum()) / square
    return slope, math.sqrt(mean((moved.z_end - slope * moved.z) ** 2))


def channel_sums(spec: LayerSpec, moved: Movement) -> ChannelSums:
    """Sums over each output channel of a layer, for intervals that resample channels.

    The null of pure distance: every weight moves alike, wherever it is, as z_end = r z_start + s noise, with r and s of
    its layer (see `drift`) and normal noise. The probability that its sign has changed at the end is then
    Phi(-r |z_start| / s).
    """
    r, s = drift(moved)
    expected = ndtr(-r * np.abs(moved.z) / s) if s > 0 else np.zeros_like(moved.z)
    channels = spec.shape[0]
    channel = np.flatnonzero(moved.valid) // (moved.valid.size // channels)
    group = 2 * channel + ~moved.tail

    def summed(values: NDArray[Any]) -> Values:
        sums = np.bincount(group, values, 2 * channels).astype(np.float64)
        return sums.reshape(channels, 2)

    return ChannelSums(
        weights=summed(np.ones_like(moved.z)),
        flipped=summed(~moved.silent),
        changed=summed((moved.z < 0) != (moved.z_end < 0)),
        expected=summed(expected),
        mobility=summed(moved.mobility),
        magnitude=summed(moved.magnitude),
    )


def ratio(totals: Values, over: str, under: str, *, means: bool = False) -> Values:
    """The ratio of two totals, or of two means, for every row of totals.

    Parameters
    ----------
    totals : ndarray, shape (R, 12)
        Sums of `ChannelSums.matrix` over channels.
    over, under : str
        Names in `COLUMNS`.
    means : bool
        Divide each total by the number of weights of its group, tail or core, first.

    Returns
    -------
    ndarray, shape (R,)
        NaN for 0 / 0; infinite for any other number over 0.
    """
    top, bottom = totals[:, COLUMNS[over]], totals[:, COLUMNS[under]]
    with np.errstate(divide="ignore", invalid="ignore"):
        if means:
            top = top / totals[:, COLUMNS[f"weights_{over.rsplit('_', 1)[1]}"]]
            bottom = bottom / totals[:, COLUMNS[f"weights_{under.rsplit('_', 1)[1]}"]]
        result: Values = top / bottom
    return result


def channel_sums_query(
    run: Run, window: WindowSpan, tail_tau: TailTau = TAIL_TAU, layers: Sequence[str] | str | None = None
) -> Query[list[Values]]:
    """`ChannelSums.matrix` of every layer over a span of windows."""
    return per_layer(run, select_layers(run, layers), _sums, tail_tau, window)


def _sums(run: Run, spec: LayerSpec, tail_tau: TailTau, window: WindowSpan) -> Answer[Values]:
    record = yield over(select_windows(run, window), SUMMED)
    return channel_sums(spec, movement(spec, record, tail_tau)).matrix()


#: Ratios of `tails` by name: numerator, denominator, and whether they are means.
RATIOS = {
    "mobility_ratio": ("mobility_tail", "mobility_core", True),
    "magnitude_ratio": ("magnitude_tail", "magnitude_core", True),
    "flip_risk_ratio": ("flipped_tail", "flipped_core", True),
    "distance_ratio_tail": ("changed_tail", "expected_tail", False),
    "distance_ratio_core": ("changed_core", "expected_core", False),
}


def tails(
    run: OneRun,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Compare tail and core of every layer: whether the tail is stuck or only far from zero.

    Parameters
    ----------
    run : Run or path
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13); by default the final windows, see
        `recu_analysis.analysis.final_windows`.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail at the start of the windows; "window" takes each layer's own tau.

    Returns
    -------
    DataFrame
        One row per layer:

        - layer, weights, first_window, last_window, updates, exact, autocorrelation
        - slope, spread: r and s of z_end = r z_start + s noise
        - mobility (standard deviations per update), magnitude (unit of the weights per update), flip_probability (at
          least one flip), sign_changes (from start to end), sign_changes_by_distance (expected:
          Phi(-slope |z| / spread)), flips_per_path (flips per unit of zpath): each with _tail and _core
        - auc: how well abs(z) predicts silence; 1/2 for no relation, 1 if the silent weights are the farthest
        - mobility_ratio, magnitude_ratio, flip_risk_ratio: tail to core, with _low and _high
        - distance_ratio_tail, distance_ratio_core: observed to expected sign changes, with _low and _high; below 1/2
          the weights are stuck, about 1 only far

        Intervals (95 %) resample output channels.

    Raises
    ------
    InputError
        If `windows` or `tail_tau` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    """
    run = as_run(run)
    return tails_query(run, choose(run, windows), tail_tau, layers).run()


def tails_query(
    run: Run, window: WindowSpan, tail_tau: TailTau = TAIL_TAU, layers: Sequence[str] | str | None = None
) -> Query[pd.DataFrame]:
    """The query of `tails` over given windows."""
    return per_layer(run, select_layers(run, layers), _row, tail_tau, window).then(pd.DataFrame)


def _row(run: Run, spec: LayerSpec, tail_tau: TailTau, window: WindowSpan) -> Answer[dict[str, Any]]:
    windows = select_windows(run, window)
    record = yield over(windows, SUMMED | {"flips"})
    moved = movement(spec, record, tail_tau)
    slope, spread = drift(moved)
    return {
        "layer": spec.name,
        "weights": int(moved.z.size),
        "first_window": windows[0].number,
        "last_window": windows[-1].number,
        "updates": record.updates,
        "exact": record.exact,
        "autocorrelation": moved.autocorrelation,
        "slope": slope,
        "spread": spread,
        **_per_weight(spec, moved, record),
    }


def _per_weight(spec: LayerSpec, moved: Movement, record: MergedRecord) -> dict[str, float]:
    sums = channel_sums(spec, moved).matrix()
    total = sums.sum(axis=0)
    names = {
        "mobility": "mobility",
        "magnitude": "magnitude",
        "flip_probability": "flipped",
        "sign_changes": "changed",
        "sign_changes_by_distance": "expected",
    }
    row: dict[str, float] = {}
    for shown, column in names.items():
        for group in ("tail", "core"):
            weights = total[COLUMNS[f"weights_{group}"]]
            row[f"{shown}_{group}"] = float(total[COLUMNS[f"{column}_{group}"]] / weights) if weights else math.nan
    for group, mask in (("tail", moved.tail), ("core", ~moved.tail)):
        path = float(moved.mobility[mask].sum()) * record.updates
        row[f"flips_per_path_{group}"] = float(moved.flips[mask].sum()) / path if path else math.nan
    row["auc"] = auc(np.abs(moved.z), moved.silent)
    for name, (top, bottom, means) in RATIOS.items():
        found = over_channels(sums, lambda totals, o=top, u=bottom, m=means: ratio(totals, o, u, means=m))  # type: ignore[misc]
        row |= {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
    return row


def auc(score: Values, positive: NDArray[np.bool_]) -> float:
    """Area under the receiver operating characteristic: P(score of a positive > that of a negative), ties half.

    Parameters
    ----------
    score : ndarray of float64, flat
    positive : ndarray of bool, flat

    Returns
    -------
    float
        NaN if all or none are positive.
    """
    ones = int(positive.sum())
    zeros = positive.size - ones
    if not ones or not zeros:
        return math.nan
    negative = np.sort(score[~positive])
    members = score[positive]
    below = np.searchsorted(negative, members, side="left").sum(dtype=np.float64)
    up_to = np.searchsorted(negative, members, side="right").sum(dtype=np.float64)
    return float((below + up_to) / 2.0 / ones / zeros)
