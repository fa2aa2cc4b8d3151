"""Flips by layer and window: the field's statistics, the flip law beside them, and how signs lock in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import mean, movement
from recu_analysis.analysis.engine import known_windows, merged, select_layers, window_epochs
from recu_analysis.analysis.layers import initial_signs
from recu_analysis.analysis.parallel import by_layer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Half the width of the strip around z = 0 in which the density there is counted, in standard deviations.
STRIP = 0.2
#: What Bop adds before its logarithm, so that no flip at all has one.
BOP_FLOOR = math.exp(-9.0)


def flip_table(run: Run, layers: Sequence[str] | str | None = None) -> pd.DataFrame:
    """How often signs flip in every layer and window, what the flip law predicts, and how many are locked in.

    Parameters
    ----------
    run : Run
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    DataFrame
        One row a layer and window with updates, from the last gap on where windows are missing: layer, window, epoch,
        update (the last), updates, exact; flip_ratio (flips per weight and update; Larq's flip ratio, AdamBNN's FF),
        silent_fraction, oscillations (flips after the first in the window, per weight), bop (ln(flips per weight and
        update + e^-9), of Bop); c2i and c2i_original (AdamBNN: 1 less the share of signs that differ from the initial
        ones, and 1 less twice that share; NaN where the run does not hold the initial state); density (of z at 0, per
        standard deviation), mobility (standard deviations per update), flip_ratio_predicted (their product: the flip
        law, steps that do not depend on z); locked_fraction (weights that do not flip again after the window, as far
        as the run goes) and memory_to_end (mean of z at the window's end times z at the run's end: near 1, locked says
        little).

    Raises
    ------
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches nothing, or the run holds no window with updates.
    """
    parts = by_layer(_rows, run, select_layers(run, layers), window_epochs(run))
    return pd.DataFrame([row for rows in parts for row in rows]).sort_values("window", kind="stable", ignore_index=True)


def _rows(run: Run, spec: LayerSpec, epochs: dict[int, float]) -> list[dict[str, Any]]:
    return list(_backwards(run, spec, epochs))[::-1]


def _backwards(run: Run, spec: LayerSpec, epochs: dict[int, float]) -> Iterator[dict[str, Any]]:
    """Rows of one layer from the last window to the first: only so is it known which weights flip later."""
    initial = initial_signs(run, spec)
    later = np.zeros(spec.weights, dtype=np.bool_)
    z_last: Values | None = None
    for window in reversed(known_windows(run)):
        record = merged([window], spec.name)
        moved = movement(spec, record)
        z_end = np.full(spec.weights, math.nan)
        z_end[moved.valid] = moved.z_end
        z_last = z_end if z_last is None else z_last
        flips = record.flips.reshape(-1)
        counted = flips[moved.valid]
        ratio = mean(counted) / record.updates
        density = (zero_density(moved.z) + zero_density(moved.z_end)) / 2.0
        mobility = mean(moved.mobility)
        changed = (
            math.nan if initial is None else mean((spec.signs(record.operand) != initial).reshape(-1)[moved.valid])
        )
        yield {
            "layer": spec.name,
            "window": window.number,
            "epoch": epochs.get(window.number, math.nan),
            "update": window.last_update,
            "updates": window.updates,
            "exact": window.exact,
            "flip_ratio": ratio,
            "silent_fraction": mean(counted == 0),
            "oscillations": mean(np.maximum(counted - 1, 0)),
            "bop": math.log(ratio + BOP_FLOOR),
            "c2i": 1.0 - changed,
            "c2i_original": 1.0 - 2.0 * changed,
            "density": density,
            "mobility": mobility,
            "flip_ratio_predicted": density * mobility,
            "locked_fraction": mean(~later[moved.valid]),
            "memory_to_end": _memory(z_end, z_last),
        }
        later |= flips > 0


def zero_density(z: Values) -> float:
    """Density of standard scores at 0, per standard deviation: the share in a strip over its width."""
    return mean(np.abs(z) < STRIP) / (2.0 * STRIP)


def _memory(z: Values, z_last: Values) -> float:
    both = z * z_last
    return mean(both[np.isfinite(both)])
