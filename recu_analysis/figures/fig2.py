"""The paper's Fig. 2: a histogram of a layer's latent weights, with the dead ones in red."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.final_windows import choose, common_final_windows
from recu_analysis.analysis.histogram import weight_histogram_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import FIG2_LAYER, FINAL_WINDOWS, concat_runs, default_layer, panel_each, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run


def plot_dead_weights(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layer: str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    **properties: Any,
) -> Axes:
    """Histogram of a layer's latent weights, the tail pale red, tail and silent red (the paper's Fig. 2).

    Parameters
    ----------
    data : run, path or DataFrame
        A run. Or a table as `recu_analysis.analysis.histogram.weight_histogram` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of dead, tail_active and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default the final windows. The figure shows the
        weights at their start.
    layer : str, optional
        Name of the layer, or a pattern that only its name matches. By default layer2.0.conv2, as in the paper; if the
        network has no such layer, one in its middle.
    tail_tau : float or "window"
        Level of the tail.
    **properties
        Properties of the bars, as `matplotlib.patches.StepPatch` has them: color, alpha, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    """
    from recu_analysis.plots.weights import dead_weight_histogram

    def histogram(run: Run) -> Query[pd.DataFrame]:
        return weight_histogram_query(run, layer or default_layer(run), choose(run, windows), tail_tau=tail_tau)

    return dead_weight_histogram(table_of(data, histogram), ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[dict[str, pd.DataFrame]]:
    """`weight_histogram` of each run, over final windows with the same number of updates if possible."""
    chosen = common_final_windows(runs)
    return gathered({label: weight_histogram_query(run, FIG2_LAYER, chosen[label]) for label, run in runs.items()})


def draw(tables: Mapping[str, pd.DataFrame], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run."""
    from recu_analysis.plots.weights import dead_weight_histogram

    figure, axes = panel_each(tables)
    for label, table in tables.items():
        dead_weight_histogram(table, ax=axes[label]).set_title(label)
    return figure, concat_runs(tables)


FIGURE = FigureSpec(
    query,
    draw,
    "dead weights of a layer (the paper's Fig. 2)",
    f"Latent weights of {FIG2_LAYER} at the start of the final windows, in standard deviations of their channel. "
    f"{FINAL_WINDOWS} Pale red: the tail, the 30 % of the weights with the largest $|z|$. Red: the weights of the "
    "tail whose sign never changes in the rest of the training.",
)
