"""Mobility by layer and window, beside its forecast by the norms and that in equilibrium: a panel for each run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.mobility import NOT_FORECAST, mobility_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.figures.captions import quoted
from recu_analysis.figures.shared import over_time, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import length_sentence
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun


def plot_mobility(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """Mobility over the epochs, beside its forecast by the norms of the weights and that in equilibrium.

    Neither forecast knows the direction of the gradients. So agreement says that weights move as the optimizer makes
    them move, and not that they are alive or dead.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.analysis.mobility.mobility_query` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of measured, forecast and equilibrium, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13).
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the line of the measured mobility, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth
        and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, the run was imported from checkpoints, or the palette, the label
        or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    NotRecordedError
        If the run was recorded without zpath.
    """
    from recu_analysis.plots.mobility import mobility_over_time

    timed = over_time(table_of(data, lambda run: mobility_query(run, windows, layers)))
    return timed.name_axis(mobility_over_time(timed.table, ax=ax, palette=palette, label=label, **properties))


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """The mobility of each run, of the windows that a caller asked for."""
    tables = {label: mobility_query(run, asked.windows, asked.layers) for label, run in runs.items()}
    return gathered(tables).then(lambda found: {label: over_time(table) for label, table in found.items()})


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend."""
    from recu_analysis.figures.grid import panels_alike
    from recu_analysis.plots.mobility import mobility_over_time

    figure, _ = panels_alike(tables, lambda ax, timed: timed.name_axis(mobility_over_time(timed.table, ax=ax)))
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def note(tables: Mapping[str, Timed]) -> str:
    """How long a window is, and which runs have no forecast in any window."""
    about = [quoted(label) for label, timed in tables.items() if (timed.table["regime"] == NOT_FORECAST).all()]
    without = f"Without a forecast: {together(about)}." if about else ""
    return f"{length_sentence(tables)} {without}".strip()


FIGURE = FigureSpec(
    query,
    draw,
    "mobility beside its forecasts, by layer and window",
    "How far weights move in an update, in each window. Thin: one layer, measured. The other lines are medians over "
    "layers. With points: measured. Dashed: forecast by the norms. Dotted: in equilibrium at the learning rates of the "
    "window. The forecast uses learning rate, weight decay, momentum and the norm of the weights at both ends of the "
    "window, and never the direction of the gradients. So agreement says that weights move as the optimizer makes them "
    "move, and not whether they are dead. Gray: out of equilibrium; the forecast of most layers is more than a tenth "
    "away from the equilibrium. Hatched: most layers have no forecast, because the window begins with the training, "
    "where the size of the gradients changes much, the norm falls by decay alone, the rates are not known, or the "
    "optimizer is AdamW.",
    takes=("layers", "windows"),
    note=note,
)
