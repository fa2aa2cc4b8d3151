"""A histogram of one layer's standard scores, by what became of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU, movement
from recu_analysis.analysis.engine import merged, select_layers, select_windows
from recu_analysis.analysis.horizon import final_stretch
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.engine import WindowRange
    from recu_analysis.store.run import Run


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
