"""Histograms of standard scores: of one layer by core, active tail and dead; of all layers by window."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, movement
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import select_windows
from recu_analysis.store.layer_selection import select_layer
from recu_analysis.store.run import as_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run

    #: The counts of one layer, by window and bin.
    Counts = list[list[int]]


def weight_histogram(
    run: OneRun, *, layer: str, windows: Windows | None = None, tail_tau: TailTau = TAIL_TAU, bins: int = 81
) -> pd.DataFrame:
    """Histogram of one layer's standard scores at the start of some windows, split into core, active tail and dead.

    Parameters
    ----------
    run : one Run or path
    layer : str
        Its name, or a pattern that matches one layer.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13); by default the final windows, see
        `recu_analysis.analysis.final_windows`.
    tail_tau : float or "window"
        Level of the tail at the start of the windows; "window" takes each layer's own tau.
    bins : int
        Number of bins of equal width, symmetric about 0.

    Returns
    -------
    DataFrame
        One row per bin:

        - left, right: edges, in standard deviations of the channel
        - core, tail_active (in the tail, flipped in the windows), dead (in the tail and silent): counts of weights

    Raises
    ------
    InputError
        If the pattern matches several layers, or `windows` or `tail_tau` is not valid.
    LayerNotFoundError
        If the pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    """
    run = as_run(run)
    return weight_histogram_query(run, layer, choose(run, windows), bins, tail_tau).run()


def weight_histogram_query(
    run: Run,
    layer: str,
    window: WindowSpan,
    bins: int = 81,
    tail_tau: TailTau = TAIL_TAU,
    *,
    width: float | None = None,
) -> Query[pd.DataFrame]:
    """The query of `weight_histogram` over given windows; bins of a given width begin at multiples of it."""
    spec = select_layer(run, layer)
    return per_layer(run, [spec], _histogram, bins if width is None else width, tail_tau, window).then(itemgetter(0))


def _histogram(
    run: Run, spec: LayerSpec, bins: int | float, tail_tau: TailTau, window: WindowSpan
) -> Answer[pd.DataFrame]:
    record = yield over(select_windows(run, window), MOVEMENT)
    moved = movement(spec, record, tail_tau)
    reach = float(np.abs(moved.z).max(initial=0.0)) or 1.0
    edges = _edges(reach, bins)
    groups = {"core": ~moved.tail, "tail_active": moved.tail & ~moved.silent, "dead": moved.tail & moved.silent}
    counts = {name: np.histogram(moved.z[mask], edges)[0] for name, mask in groups.items()}
    return pd.DataFrame({"left": edges[:-1], "right": edges[1:]} | counts)


def _edges(reach: float, bins: int | float) -> NDArray[np.float64]:
    """Edges of a number of bins, or of bins of a width, that cover -reach to reach."""
    if isinstance(bins, int):
        return np.linspace(-reach, reach, bins + 1)
    half = int(np.ceil(reach / bins))
    return np.arange(-half, half + 1, dtype=np.float64) * bins


def score_counts_query(run: Run, numbers: Sequence[int], reach: float, bins: int) -> Query[dict[str, Counts]]:
    """Count every layer's standard scores in each bin, at the end of some windows.

    Parameters
    ----------
    run : Run
    numbers : sequence of int
        Numbers of the windows, ascending.
    reach : float
        The bins cover -reach to reach, in standard deviations of the channel; scores beyond are not counted.
    bins : int
        Number of bins of equal width.
    """
    counts = per_layer(run, run.header.layers, _score_counts, tuple(numbers), reach, bins)
    return counts.then(lambda found: dict(zip(run.layer_names, found, strict=True)))


def _score_counts(run: Run, spec: LayerSpec, numbers: tuple[int, ...], reach: float, bins: int) -> Answer[Counts]:
    counts: Counts = []
    for number in numbers:
        record = yield over([run.window(number)], {"end"})
        # Numpy counts bins of equal width, unlike a list of edges, without sorting. It leaves out NaN and infinity.
        counts.append(np.histogram(record.z_end, bins, (-reach, reach))[0].tolist())
    return counts
