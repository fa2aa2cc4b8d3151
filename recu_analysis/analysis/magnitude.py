"""How movement and flips depend on abs(z), in bins, and a histogram of z by what became of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU, movement
from recu_analysis.analysis.engine import merged, select_layers, select_windows
from recu_analysis.analysis.horizon import final_stretch
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.engine import WindowRange
    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run


def by_magnitude(
    run: Run,
    *,
    bins: int = 20,
    window: WindowRange | None = None,
    layers: Sequence[str] | str | None = None,
) -> pd.DataFrame:
    """Mobility and flip probability against abs(z) at the start of a range of windows, in quantile bins.

    Every layer is cut into bins of equal count by its own abs(z); the bins of the layers are then averaged,
    weighted by their weights.

    Parameters
    ----------
    run : Run
    bins : int
    window : WindowRange, optional
        By default the shortest final stretch with memory of at most 1/2; see `recu_analysis.analysis.horizon`.
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    DataFrame
        One row a bin, from the smallest abs(z): bin, weights, abs_z (mean, in standard deviations), mobility
        (standard deviations per update), magnitude (unit of the weights per update), flip_probability (fraction
        that flipped in the range at least once).

    Raises
    ------
    InputError
        If a layer has fewer weights than there are bins.
    """
    at = window or final_stretch(run).range
    sums = sum(by_layer(_bin_sums, run, select_layers(run, layers), bins, at), np.zeros((bins, 5)))
    table = pd.DataFrame(sums[:, 1:] / sums[:, :1], columns=["abs_z", "mobility", "magnitude", "flip_probability"])
    table.insert(0, "bin", np.arange(bins))
    table.insert(1, "weights", sums[:, 0].astype(np.int64))
    return table


def _bin_sums(run: Run, spec: LayerSpec, bins: int, window: WindowRange) -> NDArray[np.float64]:
    moved = movement(spec, merged(select_windows(run, window), spec.name))
    distance = np.abs(moved.z)
    if distance.size < bins:
        raise InputError(f"layer {spec.name!r} has {distance.size} weights, too few for {bins} bins")
    rank = np.empty(distance.size, dtype=np.int64)
    rank[np.argsort(distance, kind="stable")] = np.arange(distance.size)
    index = rank * bins // distance.size
    columns = (np.ones_like(distance), distance, moved.mobility, moved.magnitude, ~moved.silent)
    return np.stack([np.bincount(index, column, bins) for column in columns], axis=1)


def weight_histogram(
    run: Run, layer: str, *, bins: int = 81, tail_tau: TailTau = TAIL_TAU, window: WindowRange | None = None
) -> pd.DataFrame:
    """Histogram of one layer's standard scores at the start of a range of windows, by what became of the weights.

    Parameters
    ----------
    run : Run
    layer : str
        Its name, or a pattern that matches one layer.
    bins : int
        Number of bins of equal width, symmetric about 0.
    tail_tau : float or "window"
    window : WindowRange, optional
        By default the shortest final stretch with memory of at most 1/2; see `recu_analysis.analysis.horizon`.

    Returns
    -------
    DataFrame
        left, right (edges, in standard deviations of the channel), and the counts core, tail_active (tail, flipped
        in the range) and dead (tail and silent).

    Raises
    ------
    InputError
        If the pattern matches several layers.
    """
    specs = select_layers(run, layer)
    if len(specs) > 1:
        raise InputError(f"{layer!r} matches {len(specs)} layers; name one of {', '.join(s.name for s in specs)}")
    windows = select_windows(run, window or final_stretch(run).range)
    moved = movement(specs[0], merged(windows, specs[0].name), tail_tau)
    reach = float(np.abs(moved.z).max(initial=0.0)) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    groups = {"core": ~moved.tail, "tail_active": moved.tail & ~moved.silent, "dead": moved.tail & moved.silent}
    counts = {name: np.histogram(moved.z[mask], edges)[0] for name, mask in groups.items()}
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:]} | counts)
