"""Silent weights of tail and core over the epochs, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import concat_runs, over_time, panel_each, table_of, updated
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run

_COLUMNS = ["window", "epoch", "layer", "silent_fraction_tail", "silent_fraction_core"]


def plot_silence(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    **properties: Any,
) -> Axes:
    """Silent fraction of tail and core of every layer over the epochs.

    Parameters
    ----------
    data : run, path or DataFrame
        A run. Or a table as `recu_analysis.layer_table` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of tail and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail.
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
    timed = _timed(table_of(data, lambda run: layer_table_query(run, tail_tau, layers=layers)))
    return _panel(timed, ax, palette=palette, label=label, **properties)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """The columns of `layer_table` about silence, for the windows with updates of each run."""
    return gathered({label: _of_run(run) for label, run in runs.items()})


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run."""
    figure, axes = panel_each(tables)
    for label, timed in tables.items():
        _panel(timed, axes[label]).set_title(label)
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def _of_run(run: Run) -> Query[Timed]:
    return layer_table_query(run, TAIL_TAU).then(_timed)


def _timed(table: pd.DataFrame) -> Timed:
    return over_time(updated(table, _COLUMNS))


def _panel(timed: Timed, ax: Axes | None, **looks: Any) -> Axes:
    from recu_analysis.plots.dynamics import silence

    return timed.name_axis(silence(timed.table, ax=ax, **looks))


FIGURE = FigureSpec(
    query,
    draw,
    "silent weights of tail and core over the epochs",
    "Share of the weights without a change of sign in an epoch, for tail and core. The tail is the 30 % of a layer's "
    "weights with the largest $|z|$ at the start of the epoch. Thin: one layer. Thick: the median over layers.",
)
