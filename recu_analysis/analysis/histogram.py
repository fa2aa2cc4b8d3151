"""A histogram of one layer's standard scores, by what became of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, movement
from recu_analysis.analysis.engine import Asked, ask, over
from recu_analysis.analysis.horizon import final_stretch
from recu_analysis.analysis.selection import select_windows
from recu_analysis.errors import InputError
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.engine import Answer
    from recu_analysis.analysis.selection import WindowRange
    from recu_analysis.store.header import LayerSpec
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
    (table,) = ask(asked_weight_histogram(run, layer, window or final_stretch(run).range, bins, tail_tau))
    return table


def asked_weight_histogram(
    run: Run, layer: str, window: WindowRange, bins: int = 81, tail_tau: TailTau = TAIL_TAU
) -> Asked[pd.DataFrame]:
    """What `weight_histogram` asks: the table of its layer."""
    specs = select_layers(run, layer)
    if len(specs) > 1:
        raise InputError(f"{layer!r} matches {len(specs)} layers; name one of {', '.join(s.name for s in specs)}")
    return Asked(run, specs, _histogram, (bins, tail_tau, window))


def _histogram(run: Run, spec: LayerSpec, bins: int, tail_tau: TailTau, window: WindowRange) -> Answer[pd.DataFrame]:
    record = yield over(select_windows(run, window), MOVEMENT)
    moved = movement(spec, record, tail_tau)
    reach = float(np.abs(moved.z).max(initial=0.0)) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    groups = {"core": ~moved.tail, "tail_active": moved.tail & ~moved.silent, "dead": moved.tail & moved.silent}
    counts = {name: np.histogram(moved.z[mask], edges)[0] for name, mask in groups.items()}
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:]} | counts)
