"""Weights with more than two levels by layer and window: occupancy, flips, reversals, and weights that stay at 0."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import entr

from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.layers import by_window
from recu_analysis.analysis.null import LIKE_NOISE, MOST_BY_WINDOW, states_of_noise
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.rates import momentum_at_start, rates
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import known_windows, rows_of
from recu_analysis.errors import InputError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.noise import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run
    from recu_analysis.theory.noise import Simulated

    Values = NDArray[np.float64]
    Row = dict[str, Any]
    Noise = tuple[Simulated, Values] | None

#: Reversals per update above which a weight oscillates (Nagel et al., arXiv:2203.11086).
OSCILLATING = 0.005
#: The share of the weights that noise keeps in state 0 whose direction counts as none.
WITHOUT_DIRECTION = 0.95
#: Fewer simulated weights that stay in state 0 give no quantile of their direction.
FEWEST_KEPT = 40
#: Columns of shares that have a null beside them.
_KEPT = ("zero_kept_fraction", "trapped_fraction")
#: Columns of flips by noise alone.
_FLIPS_OF_NOISE = ("flip_ratio_null", "oscillation_frequency_null", "oscillating_fraction_null")
_PARTS = frozenset({"start", "end", "flips", "reversals", "transitions", "zpath"})


def levels(
    runs: SeveralRuns, *, windows: Windows | None = None, layers: Sequence[str] | str | None = None
) -> pd.DataFrame:
    """How weights with more than two levels use their states and move between them, by layer and window.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Only the rows of these windows, such as "8:13" (without 13); all by default.
    layers : str or sequence of str, optional
        Patterns of layer names; by default all layers with more than two levels.

    Returns
    -------
    DataFrame
        One row per layer and window with updates, since the last gap if windows are missing:

        - layer, window, epoch, update (the last), updates, exact, levels
        - zeros: the share of the weights in state 0; state_entropy (nats); both over the states after all updates
        - flip_ratio: flips per weight and update; silent_fraction
        - flip_ratio_weight, flip_ratio_threshold: changes of state per weight and update by the weights, at the
          thresholds before the update, and by moved thresholds. A weight may have both, or come back to its state, so
          their sum is at least flip_ratio
        - oscillation_frequency: reversals per weight and update. The published one (Nagel et al., arXiv:2203.11086) is
          a moving average of the same; this is the mean over the window
        - oscillating_fraction: weights with more than 0.005 reversals per update
        - flip_ratio, oscillation_frequency and oscillating_fraction with _null: what noise alone would give, as below
        - mobility (standard deviations of the scale group per update)
        - zero_kept_fraction: weights in state 0 before and after every update
        - trapped_fraction: those of them whose abs(z at the end - z at the start) / zpath is not above the 95 %
          quantile of what simulated noise gives to weights that stay in state 0
        - zero_kept_fraction and trapped_fraction with _null: what noise alone would give under the rates of the window,
          from the layer's own z. NaN if the rates are not known, or if the noise moves weights otherwise than the
          training did (by a factor outside 0.8 to 1.25). trapped_fraction and its null are also NaN if the noise keeps
          fewer than 40 weights
        - threshold_distance (standard deviations), relative_error: at the end of the window

    Raises
    ------
    InputError
        If no chosen layer has more than two levels, or `windows` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the windows are not there, or the run holds no window with updates.
    """
    return of_each(runs, lambda run: levels_query(run, layers).then(lambda table: rows_of(run, table, windows)))


def levels_query(run: Run, layers: Sequence[str] | str | None = None) -> Query[pd.DataFrame]:
    """The query of `levels`."""
    return per_layer(run, level_layers(run, layers), _rows).then(lambda parts: by_window(run, parts, at=2))


def level_layers(run: Run, layers: Sequence[str] | str | None) -> list[LayerSpec]:
    """The chosen layers with more than two levels; InputError if there is none."""
    found = [spec for spec in select_layers(run, layers) if not spec.quantizer.binary]
    if not found:
        which = "no layer" if layers is None else f"no layer that {layers!r:.80} chooses"
        raise InputError(
            f"{run.path} has {which} with more than two levels: its weights are binary; recu-analyze flips shows how "
            "their signs move"
        )
    return found


@takes_levels
def _rows(run: Run, spec: LayerSpec) -> Answer[list[Row]]:
    rows: list[Row] = []
    for window in known_windows(run):
        record = yield over([window], _PARTS)
        known = {"layer": spec.name, "window": window.number, "update": window.last_update, "updates": record.updates}
        if record.updates:
            levels = {"exact": window.exact, "levels": spec.quantizer.count}
            noise = _noise(run, spec, record)
            measured = _states(spec, record) | _flips(spec, record) | _at_zero(spec, record, noise)
            rows.append(known | levels | measured | _flips_of_noise(record, noise))
    return rows


def _states(spec: LayerSpec, record: MergedRecord) -> Row:
    """How often the states are used, and where the weights are at the end."""
    occupied = record.transitions.sum(axis=0) / record.transitions.sum()
    distance = record.distance_end[np.isfinite(record.distance_end)]
    step = record.windows[-1][spec.name].array("step")
    zero = record.windows[-1][spec.name].array("zero_point")
    # The state 0 is that of w = 0, which differs between scale groups with their zero points.
    zeros = occupied[-spec.quantizer.low] if zero is None and spec.quantizer.low <= 0 else math.nan
    return {
        "zeros": float(zeros),
        "state_entropy": float(entr(occupied).sum()),
        "threshold_distance": float(distance.mean()) if distance.size else math.nan,
        "relative_error": spec.quantizer.error(record.end, step, zero) / float(np.mean(record.end.astype(float) ** 2)),
    }


def _flips(spec: LayerSpec, record: MergedRecord) -> Row:
    """Flips and reversals per weight and update."""
    each = spec.weights * record.updates
    by = {name: record.summary.more.get(name, math.nan) / each for name in ("weight_flips", "threshold_flips")}
    path = record.zpath
    return {
        "flip_ratio": int(record.flips.sum()) / each,
        "silent_fraction": np.count_nonzero(record.flips == 0) / spec.weights,
        "flip_ratio_weight": by["weight_flips"],
        "flip_ratio_threshold": by["threshold_flips"],
        "oscillation_frequency": int(record.reversals.sum()) / each,
        "oscillating_fraction": float(np.mean(oscillates(record.reversals, record.updates))),
        "mobility": math.nan if path is None else float(path[np.isfinite(path)].sum()) / each,
    }


def _flips_of_noise(record: MergedRecord, noise: Noise) -> Row:
    """Flips and reversals per weight and update by noise alone; NaN if the noise is not known."""
    if noise is None:
        return dict.fromkeys(_FLIPS_OF_NOISE, math.nan)
    found, updates = noise[0], record.updates
    shares = (
        found.flips.mean() / updates,
        found.reversals.mean() / updates,
        np.mean(oscillates(found.reversals, updates)),
    )
    return dict(zip(_FLIPS_OF_NOISE, map(float, shares), strict=True))


def _at_zero(spec: LayerSpec, record: MergedRecord, noise: Noise) -> Row:
    """The shares of weights that stay in state 0, and that move there without direction, beside those of noise."""
    quantizer, before = spec.quantizer, record.windows[0].before[spec.name]
    unknown = dict.fromkeys([*_KEPT, *(f"{name}_null" for name in _KEPT)], math.nan)
    if not quantizer.low <= 0 <= quantizer.high or before.array("zero_point") is not None:
        return unknown
    kept = ((record.states_start == 0) & (record.flips == 0)).reshape(-1)
    row = unknown | {"zero_kept_fraction": float(kept.mean())}
    if noise is None:
        return row
    found, path = noise
    half = 1.0 if quantizer.kind == "ternary" else 0.5
    widths = [half * steps / deviations for steps, deviations in _ends(spec, record)]
    group = found.chosen // (spec.weights // spec.scale_groups)
    stays = found.reach <= np.minimum(*widths)[group]
    direction = np.abs(found.z_end - found.z) / np.maximum(path, np.finfo(float).tiny)
    row["zero_kept_fraction_null"] = float(stays.mean())
    if np.count_nonzero(stays) < FEWEST_KEPT:
        return row
    most = float(np.quantile(direction[stays], WITHOUT_DIRECTION))
    moved = np.abs(record.z_end - record.z_start).reshape(-1)
    trapped = kept & (moved <= most * record.zpath.reshape(-1))
    return row | {
        "trapped_fraction": float(trapped.mean()),
        "trapped_fraction_null": float((stays & (direction <= most)).mean()),
    }


def _ends(spec: LayerSpec, record: MergedRecord) -> list[tuple[Values, Values]]:
    """Steps and standard deviations of the scale groups, at the start and at the end."""
    windows = record.windows[0].before, record.windows[-1]
    steps = [window[spec.name].array("step") for window in windows]
    return [
        (np.asarray(step, np.float64), deviations)
        for step, deviations in zip(steps, (record.deviations_start, record.deviations_end), strict=True)
    ]


def oscillates(reversals: NDArray[Any], updates: int) -> NDArray[np.bool_]:
    """Which weights oscillate, by how often their flips went back."""
    often: NDArray[np.bool_] = reversals > OSCILLATING * updates
    return often


def _noise(run: Run, spec: LayerSpec, record: MergedRecord) -> Noise:
    """Noise under the rates of the window, and its paths; None if they are not known, or it moves weights otherwise."""
    states = states_of_noise(spec, record)
    if record.zpath is None or states is None:
        return None
    try:
        known = rates(run, record.windows, spec.name)
    except InputError:
        return None
    z, path = record.z_start.reshape(-1), record.zpath.reshape(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = record.deviations_end / record.deviations_start
    finite = np.isfinite(z).all() and np.isfinite(path).all()
    if not finite or not (np.isfinite(growth) & (growth > 0.0)).all() or not any(each.updates for each in known):
        return None
    group = np.arange(spec.weights) // (spec.weights // spec.scale_groups)
    seed, momentum = zlib.crc32(np.packbits(z > 0.0).tobytes()), momentum_at_start(record.windows, spec.name)
    found = simulate(z, growth, group, known, momentum=momentum, states=states, seed=seed, most=MOST_BY_WINDOW)
    simulated = found.mobility * sum(each.updates for each in known)
    usual = float(simulated.mean())
    pace = float(path.mean()) / usual if usual > 0.0 else math.nan
    return (found, simulated) if LIKE_NOISE[0] <= pace <= LIKE_NOISE[1] else None


def state_transitions(
    runs: SeveralRuns, *, windows: Windows | None = None, layers: Sequence[str] | str | None = None
) -> pd.DataFrame:
    """How often weights with more than two levels went from state to state, by layer and window.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        As for `levels`.
    windows, layers
        As for `levels`.

    Returns
    -------
    DataFrame
        One row per layer, window and pair of states that occurred:

        - layer, window, epoch, state (before an update), next_state (after it)
        - transitions: weights times updates. Those from a state add up to its occupancy before the updates; all of a
          layer and window add up to weights x updates
        - share: transitions over all those from the same state

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        As for `levels`.
    """
    return of_each(
        runs, lambda run: state_transitions_query(run, layers).then(lambda table: rows_of(run, table, windows))
    )


def state_transitions_query(run: Run, layers: Sequence[str] | str | None = None) -> Query[pd.DataFrame]:
    """The query of `state_transitions`."""
    return per_layer(run, level_layers(run, layers), _pairs).then(lambda parts: by_window(run, parts, at=2))


@takes_levels
def _pairs(run: Run, spec: LayerSpec) -> Answer[list[Row]]:
    rows: list[Row] = []
    states = spec.quantizer.levels
    for window in known_windows(run):
        counts = (yield over([window], {"transitions"})).transitions
        totals = counts.sum(axis=1)
        for before, after in np.argwhere(counts > 0):
            known = {"layer": spec.name, "window": window.number, "state": states[before], "next_state": states[after]}
            number = int(counts[before, after])
            rows.append(known | {"transitions": number, "share": number / int(totals[before])})
    return rows
