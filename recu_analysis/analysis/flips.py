"""Flips by layer and window: the field's statistics, the flip law beside them, and how signs lock in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.analysis.deadness import MOVEMENT, mean, movement
from recu_analysis.analysis.layer_pass import ahead, over
from recu_analysis.analysis.layers import by_window, initial_signs
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import known_windows, rows_of
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.run import as_run
from recu_analysis.theory.standardize import autocorrelation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Movement
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run

    Values = NDArray[np.float64]
    Row = dict[str, Any]

#: Half the width of the strip around z = 0 in which the density there is counted, in standard deviations.
STRIP = 0.2
#: What Bop adds before its logarithm, so that no flip at all has one.
BOP_FLOOR = math.exp(-9.0)


def flip_table(
    run: OneRun, *, windows: Windows | None = None, layers: Sequence[str] | str | None = None
) -> pd.DataFrame:
    """How often signs flip in every layer and window, what the flip law predicts, and how many are locked in.

    Parameters
    ----------
    run : Run or path
    windows : int, slice, str or WindowSpan, optional
        Only the rows of these windows, such as "8:13" (without 13); by default of all.
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    DataFrame
        One row a layer and window with updates, from the last gap on where windows are missing: layer, window, epoch,
        update (the last), updates, exact; flip_ratio (flips per weight and update; Larq's flip ratio, AdamBNN's FF),
        silent_fraction, reversals (flips after the first in the window, per weight), bop (ln(flips per weight and
        update + e^-9), of Bop); c2i and c2i_original (AdamBNN: 1 less the share of signs that differ from the initial
        ones, and 1 less twice that share; NaN where the run does not hold the initial state); density (of z at 0, per
        standard deviation), mobility (standard deviations per update), flip_ratio_predicted (their product: the flip
        law, steps that do not depend on z); locked_fraction (weights that do not flip again after the window, as far
        as the run goes) and autocorrelation_to_end (cosine of z at the window's end and at the run's end: near 1,
        locked says little).

    Raises
    ------
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches nothing, or the run holds no window with updates.
    """
    run = as_run(run)
    table = flip_table_query(run, layers).run()
    return table if windows is None else rows_of(run, table, windows)


def flip_table_query(run: Run, layers: Sequence[str] | str | None = None) -> Query[pd.DataFrame]:
    """The query of `flip_table`."""
    return per_layer(run, select_layers(run, layers), _rows).then(lambda parts: by_window(run, parts, at=2))


def _rows(run: Run, spec: LayerSpec) -> Answer[list[Row]]:
    windows = known_windows(run)
    initial = yield from initial_signs(run, spec)
    z_last = (yield ahead(windows[-1])).z_end
    locking = _Locking(spec.weights)
    rows: list[Row] = []
    for window in windows:
        record = yield over([window], MOVEMENT | {"flips"})
        moved = movement(spec, record)
        locking.add(moved)
        known = {"layer": spec.name, "window": window.number, "update": window.last_update, "updates": window.updates}
        changed = None if initial is None else (spec.signs(record.operand) != initial).reshape(-1)[moved.valid]
        to_end = {"autocorrelation_to_end": autocorrelation(moved.over_layer(moved.z_end), z_last)}
        rows.append(known | {"exact": window.exact} | _flips(moved, changed) | to_end)
    for row, locked in zip(rows, locking.fractions(), strict=True):
        row["locked_fraction"] = locked
    return rows


def _flips(moved: Movement, changed: NDArray[np.bool_] | None) -> Row:
    """What a layer's flips were in one window; which signs changed since the initial state, where that is known."""
    counted = moved.flips
    ratio = mean(counted) / moved.updates
    density = (zero_density(moved.z) + zero_density(moved.z_end)) / 2.0
    mobility = mean(moved.mobility)
    share = math.nan if changed is None else mean(changed)
    return {
        "flip_ratio": ratio,
        "silent_fraction": mean(moved.silent),
        "reversals": mean(np.maximum(counted - 1, 0)),
        "bop": math.log(ratio + BOP_FLOOR),
        "c2i": 1.0 - share,
        "c2i_original": 1.0 - 2.0 * share,
        "density": density,
        "mobility": mobility,
        "flip_ratio_predicted": density * mobility,
        "locked_fraction": math.nan,
    }


class _Locking:
    """After each window of one layer: the share of the weights that do not flip again, known once all went by."""

    def __init__(self, weights: int) -> None:
        self._last = np.full(weights, -1, dtype=np.int32)  # place of the last window in which each weight flipped
        self._left_out: list[NDArray[np.int64]] = []

    def add(self, moved: Movement) -> None:
        """Note which weights flipped in the next window, and which have no record of numbers in it."""
        self._last[(moved.record.flips.reshape(-1) > 0) & moved.valid] = len(self._left_out)
        self._left_out.append(np.flatnonzero(~moved.valid))

    def fractions(self) -> list[float]:
        """One for every window, of the weights that have a record of numbers in it."""
        quiet = np.cumsum(np.bincount(self._last + 1, minlength=len(self._left_out) + 1))[1:]
        result = []
        for place, out in enumerate(self._left_out):
            counted = self._last.size - out.size
            locked = int(quiet[place]) - np.count_nonzero(self._last[out] <= place)
            result.append(locked / counted if counted else math.nan)
        return result


def zero_density(z: Values) -> float:
    """Density of standard scores at 0, per standard deviation: the share in a strip over its width."""
    return mean(np.abs(z) < STRIP) / (2.0 * STRIP)
