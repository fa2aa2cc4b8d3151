"""Oscillation over the epochs: all flips, flips back and those by moved thresholds, for more than two levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.levels import levels_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.selection import rows_of
from recu_analysis.figures.shared import over_time, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import length_sentence

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
    from recu_analysis.store.run import OneRun, Run


def plot_oscillation(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """Flips per weight and update over the epochs: all, those back, and changes of state by moved thresholds.

    A flip back is opposite to the flip of the weight before. Lines are medians over layers; thin: flips back of a
    layer. Pale dashes: flips back that noise alone would make, the median over the layers for which that is known,
    where it is for half of them.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.levels` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of all, back and thresholds, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13).
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the line of flips back, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, has no layer with more than two levels, or the palette, the
        label or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    """
    from recu_analysis.plots.levels import oscillation_over_time

    timed = over_time(table_of(data, lambda run: _query(run, windows, layers)))
    return timed.name_axis(oscillation_over_time(timed.table, ax=ax, palette=palette, label=label, **properties))


def _query(run: Run, windows: Windows | None, layers: Sequence[str] | str | None) -> Query[pd.DataFrame]:
    return levels_query(run, layers).then(lambda table: rows_of(run, table, windows))


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """`recu_analysis.levels` of each run."""
    tables = {label: _query(run, asked.windows, asked.layers) for label, run in runs.items()}
    return gathered(tables).then(lambda found: {label: over_time(table) for label, table in found.items()})


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend."""
    from recu_analysis.figures.grid import panels_alike
    from recu_analysis.plots.levels import oscillation_over_time

    figure, _ = panels_alike(tables, lambda ax, timed: timed.name_axis(oscillation_over_time(timed.table, ax=ax)))
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


FIGURE = FigureSpec(
    query,
    draw,
    "flips and oscillation over the epochs, for more than two levels",
    "Changes of state per 1000 weights and update, in each window. Black: all. Orange: those back, opposite to the "
    "change of the weight before (oscillation). Blue: those that a moved threshold made. Lines are medians over "
    "layers; thin: those back of a layer. Pale dashes: those back that noise alone would make, the median over the "
    "layers for which that is known, if it is for half of them.",
    takes=("layers", "windows"),
    note=length_sentence,
)
