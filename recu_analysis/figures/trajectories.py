"""Trajectories of single weights of a layer over the updates."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.traces import traced_layers, traces_query
from recu_analysis.figures.captions import quoted
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.store.layer_selection import select_layer

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

#: Most weights in a panel of the figure; more could not be told apart.
FEW: Final = 4
_GROUPS: Final = ("tail", "core")
# Height of a panel over its width.
_ASPECT: Final = 0.45


def plot_trajectories(
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
    """The z of single weights of a layer over the updates; circles where the sign changes, a line at the threshold.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run that was recorded with ``record(..., traces=16)``. Or a table as `recu_analysis.traces` gives it, of one
        layer.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of tail and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default all since the last gap.
    layer : str, optional
        Name of the layer, or a pattern that only its name matches. By default the one in the middle of those with
        traces.
    tail_tau : float or "window"
        Level of the tail at the start of the windows.
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    NotRecordedError
        If the run, or the layer, has no traced weights.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    """
    from recu_analysis.plots.trajectories import trajectories

    def traced(run: Run) -> Query[pd.DataFrame]:
        named = None if layer is None else select_layer(run, layer).name
        return traces_query(run, windows, _layer(run, named), tail_tau)

    return trajectories(table_of(data, traced), ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, pd.DataFrame]]:
    """`recu_analysis.traces` of one layer of each run."""
    return gathered({label: traces_query(run, asked.windows, _layer(run, asked.layers)) for label, run in runs.items()})


def _layer(run: Run, patterns: Any) -> str:
    """The layer that is shown: the first with traces that a pattern matches, else the one in the middle."""
    specs = traced_layers(run, patterns)
    return specs[0 if patterns is not None else len(specs) // 2].name


def draw(tables: Mapping[str, pd.DataFrame], asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for a few weights of the tail and one for a few of the core, for each run, on the same axis of z."""
    from recu_analysis.figures.grid import label_once, legend_once
    from recu_analysis.plots.trajectories import trajectories

    few = {label: _few(table) for label, table in tables.items()}
    figure, panels = _panels(few)
    for (label, group), ax in panels.items():
        rows = few[label]
        trajectories(rows[rows["group"] == group], ax=ax, palette=asked.palette)
    axes = list(panels.values())
    reach = max(abs(limit) for ax in axes for limit in ax.get_ylim())
    for ax in axes:
        ax.set_ylim(-reach, reach)
    label_once(figure, axes)
    legend_once(figure, axes)
    return figure, concat_runs(few)


def _panels(tables: Mapping[str, pd.DataFrame]) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """A panel for each run and each of its groups; of several runs, a row for each."""
    from recu_analysis.figures.grid import grid, shown_name
    from recu_analysis.figures.print.style import panels

    groups = [(label, group) for label, table in tables.items() for group in _GROUPS if group in set(table["group"])]
    if len(tables) == 1:
        figure, axes = panels(len(groups), "column", _ASPECT)
        return figure, dict(zip(groups, axes, strict=True))
    figure, rows = grid(len(tables), len(_GROUPS), _ASPECT)
    axes = [ax for row in rows for ax in row]
    cells = dict(zip(itertools.product(tables, _GROUPS), axes, strict=True))
    for cell, ax in cells.items():
        ax.set_title(shown_name(cell[0], figure.get_figwidth() / len(_GROUPS)))
        if cell not in groups:
            ax.remove()
    return figure, {cell: cells[cell] for cell in groups}


def _few(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first few weights of each group."""
    weights = table.drop_duplicates("flat_index").groupby("group").head(FEW)
    return table[table["flat_index"].isin(weights["flat_index"])]


def _shown(tables: Mapping[str, pd.DataFrame]) -> str:
    names = dict.fromkeys(table["layer"].iloc[0] for table in tables.values())
    states = set().union(*(table["state"] for table in tables.values()))
    more = " They have more than two levels: dots are changes of state, and the thresholds, which move, are not shown."
    return f"Weights of {', '.join(map(quoted, names))}.{'' if states <= {-1, 1} else more}"


FIGURE = FigureSpec(
    query,
    draw,
    "trajectories of single weights, with changes of sign",
    "Standard scores $z$ of single weights after every update. Red: weights of the tail, the 30 % of the layer with "
    "the largest $|z|$ at the start. Gray: weights of the core. Horizontal line: the threshold, at which the sign "
    "changes. Dots: flips, updates that change the sign; each lies where its weight is after the update. "
    f"At most {FEW} weights of each are shown, the first of those that were traced.",
    takes=("layers", "windows", "palette"),
    note=_shown,
)
