"""How signs lock in: weights that never flip again after each epoch, with the autocorrelation to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.flips import flip_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import concat_runs, over_time, panel_each, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run


def plot_lock_in(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """Share of the weights that never flip again after each epoch, with the autocorrelation to the end.

    Parameters
    ----------
    data : run, path or DataFrame
        A run. Or a table as `recu_analysis.flip_table` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of locked_fraction and autocorrelation_to_end, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the two thick lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

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
    table = table_of(data, lambda run: flip_table_query(run, layers))
    return _panel(over_time(table), ax, palette=palette, label=label, **properties)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """`flip_table` of each run."""
    return gathered({label: _of_run(run) for label, run in runs.items()})


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run."""
    figure, axes = panel_each(tables)
    for label, timed in tables.items():
        _panel(timed, axes[label]).set_title(label)
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def _of_run(run: Run) -> Query[Timed]:
    return flip_table_query(run).then(over_time)


def _panel(timed: Timed, ax: Axes | None, **looks: Any) -> Axes:
    from recu_analysis.plots.flips import lock_in

    return timed.name_axis(lock_in(timed.table, ax=ax, **looks))


FIGURE = FigureSpec(
    query,
    draw,
    "weights that never flip again, beside autocorrelation",
    "Share of the weights whose sign does not change after an epoch, until the end of the training. Thin: one "
    "layer. Thick: the median over layers. Dashed: the cosine of $z$ after the epoch and $z$ at the end. Where it is "
    "near 1, the weights hardly move any more, and a large share says little.",
)
