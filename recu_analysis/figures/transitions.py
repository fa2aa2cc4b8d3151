"""The transition heat map: how often weights with more than two levels go from state to state."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.levels import state_transitions_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.selection import rows_of
from recu_analysis.figures.level_choice import LevelTables, level_choice
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.store.run import OneRun, Run


def plot_transitions(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """How often weights go from each state to each other state in an update, of one layer.

    Rows are the states before an update, columns those after it. Numbers and colors are per 1000 weights in the state
    before and update. Weights that stay in their state are gray.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.state_transitions` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the lowest value to the highest, blended. By default the color map cividis.
    label : str, optional
        The title. By default the name of the layer.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13). By default all.
    layer : str, optional
        Name of the layer, if several have more than two levels.
    **properties
        Properties of the image, as `matplotlib.collections.QuadMesh` has them.

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
    from recu_analysis.plots.levels import transition_map

    table = table_of(data, partial(_query, windows=windows, layer=layer))
    return transition_map(table, ax=ax, palette=palette, label=label, layer=layer, **properties)


def _query(run: Run, windows: Windows | None, layer: str | None) -> Query[pd.DataFrame]:
    return state_transitions_query(run, layer).then(lambda table: rows_of(run, table, windows))


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[LevelTables]:
    """`recu_analysis.state_transitions` of the layers that are shown of each run."""
    choice = level_choice(runs, asked.layers)
    asks = {(label, name): _query(runs[label], asked.windows, name) for label in runs for name in choice.layers[label]}
    return gathered(asks).then(lambda tables: LevelTables(tables, choice))


def draw(data: LevelTables, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A map for each layer, side by side, and in rows if there are many."""
    from recu_analysis.figures.grid import panel_each
    from recu_analysis.plots.levels import transition_map

    figure, axes = panel_each(data.titles(), 0.8)
    for ax, table in zip(axes, data.tables.values(), strict=True):
        title = ax.get_title()
        transition_map(table, ax=ax)
        ax.set_title(title)
    return figure, concat_runs(data.by_run())


FIGURE = FigureSpec(
    query,
    draw,
    "how often weights with more than two levels go from state to state",
    "Rows: the state before an update. Columns: the state after it. Numbers and colors: how many of 1000 weights in "
    "the state before go to the other state in an update, over all windows that are shown. Gray: weights that stay.",
    takes=("layers", "windows"),
    note=LevelTables.sentence,
)
