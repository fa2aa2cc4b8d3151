"""Occupancy: the share of the weights in each state over the epochs, for weights with more than two levels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.levels import state_transitions_query
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.selection import rows_of
from recu_analysis.errors import InputError
from recu_analysis.figures.shared import over_time, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.transitions import query
from recu_analysis.figures.window_notes import length_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.level_choice import LevelTables
    from recu_analysis.figures.spec import Asked
    from recu_analysis.store.run import OneRun, Run


def plot_occupancy(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """The share of the weights in each state over the epochs, of one layer: stacked, the lowest state at the bottom.

    Shares are means over the updates of each window.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.state_transitions` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the lowest state to the highest, blended. By default the color map cividis.
    label : str, optional
        The title. By default the name of the layer.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13). By default all.
    layer : str, optional
        Name of the layer, if several have more than two levels.
    **properties
        Properties of the bands, as `matplotlib.collections.PolyCollection` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, has no layer with more than two levels, or several and none is
        chosen, or the palette or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If there is no such layer, or no such window with updates.
    """
    from recu_analysis.plots.levels import occupancy_over_time

    timed = over_time(table_of(data, partial(_query, windows=windows, layer=layer)))
    axes = occupancy_over_time(timed.table, ax=ax, palette=palette, label=label, layer=layer, **properties)
    return timed.name_axis(axes)


def _query(run: Run, windows: Windows | None, layer: str | None) -> Query[pd.DataFrame]:
    return state_transitions_query(run, layer).then(lambda table: rows_of(run, table, windows))


def draw(data: LevelTables, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each layer, on the same axes, with one legend."""
    from recu_analysis.figures.grid import label_once, legend_once, panel_each, same_limits
    from recu_analysis.plots.levels import occupancy_over_time

    counts = {len(set(table["state"]) | set(table["next_state"])) for table in data.tables.values()}
    if len(counts) > 1:
        raise InputError(
            f"the layers have {' and '.join(map(str, sorted(counts)))} states, and the panels of a figure need the "
            "same; draw them one by one"
        )
    figure, axes = panel_each(data.titles())
    for ax, table in zip(axes, data.tables.values(), strict=True):
        title, timed = ax.get_title(), over_time(table)
        timed.name_axis(occupancy_over_time(timed.table, ax=ax))
        ax.set_title("", loc="left")
        ax.set_title(title)
    same_limits(axes)
    label_once(figure, axes)
    legend_once(figure, axes)
    return figure, concat_runs(data.by_run())


def note(data: LevelTables) -> str:
    """Which layers are shown, and how long a window is."""
    timed = {" ".join(key): over_time(table) for key, table in data.tables.items()}
    return f"{data.sentence()} {length_sentence(timed)}".strip()


FIGURE = FigureSpec(
    query,
    draw,
    "share of the weights in each state over the epochs, for more than two levels",
    "The share of the weights of a layer in each state, the lowest state at the bottom: means over the updates of each "
    "window.",
    takes=("layers", "windows"),
    note=note,
)
