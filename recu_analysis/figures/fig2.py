"""The paper's Fig. 2: a histogram of a layer's latent weights, with those that are dead in red."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.final_windows import common_final_windows
from recu_analysis.analysis.histogram import weight_histogram, weight_histogram_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import concat_runs, panel_each
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run

#: The layer of the paper's Fig. 2.
FIG2_LAYER = "layer2.0.conv2"


def plot_dead_weights(
    run: Run,
    layer: str = FIG2_LAYER,
    ax: Axes | None = None,
    *,
    tail_tau: TailTau = TAIL_TAU,
    windows: Windows | None = None,
) -> Axes:
    """Histogram of a layer's latent weights, the tail pale red, tail and silent red (the paper's Fig. 2).

    Parameters
    ----------
    run : Run
    layer : str
    ax : Axes, optional
    tail_tau : float or "window"
    windows : int, slice, str or WindowSpan, optional
        The final windows by default; the weights are those at their start.

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.weights import dead_weight_histogram

    return dead_weight_histogram(weight_histogram(run, layer=layer, windows=windows, tail_tau=tail_tau), ax)


def query(runs: Runs) -> Query[dict[str, pd.DataFrame]]:
    """`weight_histogram` of each run, over final windows of as many updates."""
    chosen = common_final_windows(runs)
    return gathered({label: weight_histogram_query(run, FIG2_LAYER, chosen[label]) for label, run in runs.items()})


def draw(tables: Mapping[str, pd.DataFrame]) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run."""
    from recu_analysis.plots.weights import dead_weight_histogram

    figure, axes = panel_each(tables)
    for label, table in tables.items():
        dead_weight_histogram(table, axes[label]).set_title(label)
    return figure, concat_runs(tables)


FIGURE = FigureSpec(
    query,
    draw,
    "dead weights of a layer (the paper's Fig. 2)",
    f"Latent weights of {FIG2_LAYER} when the final windows begin, the fewest last ones with an "
    "autocorrelation of at most 1/2 (the last half of the training where there are none), in standard deviations of "
    "their channel. Pale red: the tail, the 30 % of the weights with the largest $|z|$. Red: those of the tail whose "
    "sign never changes in the rest of the training.",
)
