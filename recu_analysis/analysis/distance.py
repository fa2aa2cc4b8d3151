"""Changes of the state of tail and core, observed and expected from distance alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, mean, movement
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.null import null, null_autocorrelation
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import select_windows
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.intervals import over_channels

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Movement, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.null import Null
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Weights are stuck if their sign changes are below this share of those expected from distance alone.
STUCK = 0.5
#: Observed over expected sign changes need at least so many expected ones in the layer.
LEAST_EXPECTED = 1.0

#: Sums over the weights of each output channel, each for the tail and then for the core: counts of weights, of those
#: that flipped at least once, and of those whose sign differs between start and end; mobility (standard deviations per
#: update) and update magnitude (unit of the weights per update); the sign changes expected from distance alone,
#: Phi(-q |z|), and their first and second derivative by q = r / s, see `drift`.
_OF_GROUPS = ("weights", "flipped", "changed", "mobility", "magnitude", "expected", "expected_slope", "expected_bend")
#: Sums over both groups: z at the start times z at the end, their squares, and q of the layer times the weights.
_OF_ALL = ("product", "square", "square_end", "pull")
#: Columns of the matrix of `channel_sums`.
COLUMNS = {
    name: at
    for at, name in enumerate([*(f"{each}_{group}" for each in _OF_GROUPS for group in ("tail", "core")), *_OF_ALL])
}
#: The parts of a record that `channel_sums` needs.
SUMMED = MOVEMENT | {"path"}


def drift(moved: Movement | Null) -> tuple[float, float]:
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


def channel_sums(spec: LayerSpec, moved: Movement | Null) -> Values:
    """Sums over each output channel of a layer, for intervals that resample channels.

    The null of pure distance: every weight moves alike, wherever it is, as z_end = r z_start + s noise, with r and s of
    its layer (see `drift`) and normal noise. The probability that its sign has changed at the end is then
    Phi(-r |z_start| / s). With more than two levels, it is the probability that z_end is outside of the interval that
    the state of the start has at the end.

    Parameters
    ----------
    spec : LayerSpec
    moved : Movement or Null
        Measured, or simulated.

    Returns
    -------
    ndarray of float64, shape (C_out, number of `COLUMNS`)
    """
    r, s = drift(moved)
    pull = r / s if s > 0 else math.nan
    channels = spec.shape[0]
    channel, edges = moved.channel, moved.edges
    group = 2 * channel + ~moved.tail
    of_groups = (
        np.ones_like(moved.z),
        ~moved.silent,
        moved.changed,
        moved.mobility,
        moved.magnitude,
        *(_expected(moved.z, pull) if edges is None else expected_of_states(moved, edges, r, s)),
    )
    of_all = (moved.z * moved.z_end, moved.z**2, moved.z_end**2, np.full_like(moved.z, pull))
    parts = [np.bincount(group, each, 2 * channels).reshape(channels, 2) for each in of_groups]
    parts += [np.bincount(channel, each, channels).reshape(channels, 1) for each in of_all]
    return np.concatenate(parts, axis=1)


def _expected(z: Values, pull: float) -> tuple[Values, Values, Values]:
    """The probability that a sign changes, and its first and second derivative by `pull`."""
    distance = np.abs(z)
    density = np.exp(-0.5 * (pull * distance) ** 2) / math.sqrt(2.0 * math.pi)
    return ndtr(-pull * distance), -distance * density, pull * distance**3 * density


def expected_of_states(moved: Movement | Null, edges: Values, r: float, s: float) -> tuple[Values, Values, Values]:
    """The probability that the state of each weight changes from start to end, from r and s of `drift`.

    Its derivatives are given as 0, so that resamples keep r and s of the layer.
    """
    low, high = edges
    with np.errstate(divide="ignore", invalid="ignore"):
        leaves: Values = ndtr((low - r * moved.z) / s) + ndtr((r * moved.z - high) / s)
    return leaves, np.zeros_like(leaves), np.zeros_like(leaves)


def _column(totals: Values, name: str) -> Values:
    found: Values = totals[:, COLUMNS[name]]
    return found


def mean_of(name: str, group: str) -> Callable[[Values], Values]:
    """The mean of one of the sums over the weights of the tail or the core, for every row of totals."""

    def mean(totals: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            result: Values = _column(totals, f"{name}_{group}") / _column(totals, f"weights_{group}")
        return result

    return mean


def _tail_to_core(name: str) -> Callable[[Values], Values]:
    """The mean over the tail divided by the mean over the core; NaN for 0 / 0, infinite for any other number over 0."""
    over, under = mean_of(name, "tail"), mean_of(name, "core")

    def ratio(totals: Values) -> Values:
        with np.errstate(divide="ignore", invalid="ignore"):
            result: Values = over(totals) / under(totals)
        return result

    return ratio


def _to_expected(group: str) -> Callable[[Values], Values]:
    """Observed over expected sign changes; r and s are fitted again to every row of totals.

    The expected changes at another q = r / s than the layer's are their Taylor polynomial of degree 2.
    """

    def ratio(totals: Values) -> Values:
        weights = _column(totals, "weights_tail") + _column(totals, "weights_core")
        with np.errstate(divide="ignore", invalid="ignore"):
            r = _column(totals, "product") / _column(totals, "square")
            s = np.sqrt((_column(totals, "square_end") - r * _column(totals, "product")) / weights)
            off = r / s - _column(totals, "pull") / weights
            bend = 0.5 * off**2 * _column(totals, f"expected_bend_{group}")
            expected = _column(totals, f"expected_{group}") + off * _column(totals, f"expected_slope_{group}") + bend
            # Fewer than one weight says nothing: 0 observed of 1e-39 expected is no sign of a stuck tail.
            result: Values = _column(totals, f"changed_{group}") / np.where(expected < LEAST_EXPECTED, np.nan, expected)
        return result

    return ratio


#: Ratios of `tails` by name, each a function from totals of shape (R, K) to values of shape (R,).
RATIOS: dict[str, Callable[[Values], Values]] = {
    "mobility_ratio": _tail_to_core("mobility"),
    "magnitude_ratio": _tail_to_core("magnitude"),
    "flip_risk_ratio": _tail_to_core("flipped"),
    "distance_ratio_tail": _to_expected("tail"),
    "distance_ratio_core": _to_expected("core"),
}


def channel_sums_query(
    run: Run, window: WindowSpan, tail_tau: TailTau = TAIL_TAU, layers: Sequence[str] | str | None = None
) -> Query[list[Values]]:
    """`channel_sums` of every layer over a span of windows."""
    return per_layer(run, select_layers(run, layers), _sums, tail_tau, window)


def _sums(run: Run, spec: LayerSpec, tail_tau: TailTau, window: WindowSpan) -> Answer[Values]:
    record = yield over(select_windows(run, window), SUMMED)
    return channel_sums(spec, movement(spec, record, tail_tau))


def tails(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Compare tail and core of every layer: whether the tail moves and changes its sign as its distance predicts.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
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
        - distance_ratio_tail, distance_ratio_core: observed to expected sign changes, with _low and _high; the weights
          are not held more than their layer if it is that of noise alone, and stuck below 1/2
        - autocorrelation_null, and the columns `NULLS` with _null: what noise alone would give, see
          `recu_analysis.analysis.null`; NaN if the rates of the updates are not known

        Intervals (95 %) resample output channels; slope and spread are fitted again in every resample, but not for
        weights with more than two levels. Of these, sign changes are changes of the state, expected ones follow from
        the thresholds at the end, and auc is of the distance from the nearest threshold.

    Raises
    ------
    InputError
        If `windows` or `tail_tau` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    """
    return of_each(runs, lambda run: tails_query(run, choose(run, windows), tail_tau, layers))


def tails_query(
    run: Run, window: WindowSpan, tail_tau: TailTau = TAIL_TAU, layers: Sequence[str] | str | None = None
) -> Query[pd.DataFrame]:
    """The query of `tails` over given windows."""
    return per_layer(run, select_layers(run, layers), _row, tail_tau, window).then(pd.DataFrame)


@takes_levels
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
        "autocorrelation_null": null_autocorrelation(run, spec, record),
        "slope": slope,
        "spread": spread,
        **_per_weight(spec, moved, record),
        **_nulls(run, spec, moved),
    }


def _per_weight(spec: LayerSpec, moved: Movement, record: MergedRecord) -> dict[str, float]:
    sums = channel_sums(spec, moved)
    total = sums.sum(axis=0, keepdims=True)
    names = {
        "mobility": "mobility",
        "magnitude": "magnitude",
        "flip_probability": "flipped",
        "sign_changes": "changed",
        "sign_changes_by_distance": "expected",
    }
    row: dict[str, float] = {}
    for shown, column in names.items():
        row |= {f"{shown}_{group}": float(mean_of(column, group)(total)[0]) for group in ("tail", "core")}
    for group, mask in (("tail", moved.tail), ("core", ~moved.tail)):
        path = float(moved.mobility[mask].sum()) * record.updates
        row[f"flips_per_path_{group}"] = float(moved.flips[mask].sum()) / path if path else math.nan
    row["auc"] = auc(moved.distance, moved.silent)
    for name, statistic in RATIOS.items():
        found = over_channels(sums, statistic)
        row |= {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
    return row


def _nulls(run: Run, spec: LayerSpec, moved: Movement) -> dict[str, float]:
    """What noise alone would give for some columns; NaN if the rates of the updates are not known."""
    found = null(run, spec, moved)
    if found is None:
        return dict.fromkeys((f"{name}_null" for name in NULLS), math.nan)
    known = null_ratios(spec, found)
    if not found.stands:  # as for shares of silent weights
        known |= {name: math.nan for name in known if name.startswith("flip_probability")}
    return {f"{name}_null": value for name, value in known.items()}


#: Columns of `tails` with a null by simulation.
NULLS = (
    "flip_probability_tail",
    "flip_probability_core",
    "mobility_ratio",
    "flip_risk_ratio",
    "distance_ratio_tail",
    "distance_ratio_core",
)


def null_ratios(spec: LayerSpec, found: Null) -> dict[str, float]:
    """The columns `NULLS` of weights that are moved by noise alone, as `tails` would show them."""
    totals = channel_sums(spec, found).sum(axis=0, keepdims=True)
    of = {f"flip_probability_{group}": mean_of("flipped", group) for group in ("tail", "core")} | RATIOS
    return {name: float(of[name](totals)[0]) for name in NULLS}


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
