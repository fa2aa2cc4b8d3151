"""How signs lock in: weights that never flip again after each epoch, with the autocorrelation to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.flips import flip_table_query
from recu_analysis.analysis.query import gathered, require_one_kind
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.selection import rows_of
from recu_analysis.figures.shared import over_time, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import NOISE_ALONE, length_sentence, unknown_noise
from recu_analysis.store.layer_selection import select_layers

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


def plot_lock_in(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """Share of the weights that never flip again after each epoch, with the autocorrelation to the end.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.flip_table` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of locked_fraction and autocorrelation_to_end, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13).
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
    from recu_analysis.plots.flips import cosine_axis

    table = table_of(data, lambda run: _table(run, layers, windows))
    return cosine_axis(_panel(over_time(table), ax, palette=palette, label=label, **properties))


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """`flip_table` of each run, of the windows that a caller asked for."""
    return gathered({label: _of_run(run, asked) for label, run in runs.items()})


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend."""
    from recu_analysis.figures.grid import panels_alike
    from recu_analysis.plots.flips import cosine_axis

    figure, axes = panels_alike(tables, lambda ax, timed: _panel(timed, ax))
    for ax in axes:
        spec = ax.get_subplotspec()
        if ax is axes[-1] or (spec is not None and spec.is_last_col()):
            cosine_axis(ax)
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def _of_run(run: Run, asked: Asked) -> Query[Timed]:
    return _table(run, asked.layers, asked.windows).then(over_time)


def _table(run: Run, layers: Sequence[str] | str | None, windows: Windows | None) -> Query[pd.DataFrame]:
    require_one_kind(select_layers(run, layers))
    found = flip_table_query(run, layers)
    return found.then(lambda table: rows_of(run, table, windows))


def _panel(timed: Timed, ax: Axes | None, **looks: Any) -> Axes:
    from recu_analysis.plots.flips import lock_in

    return timed.name_axis(lock_in(timed.table, ax=ax, **looks))


def note(tables: dict[str, Timed]) -> str:
    """How long a window is, and for which runs noise alone is not known."""
    unknown = unknown_noise({label: timed.table["locked_fraction_null"] for label, timed in tables.items()})
    return " ".join(part for part in (length_sentence(tables), unknown) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "weights that never flip again, beside autocorrelation",
    "Share of the weights whose sign does not change after a window, until the end of the training. A marker is the "
    "end of a window. Thin: one layer. Thick: the median over layers. Dashed, on the right axis: the cosine of $z$ at "
    f"the end of the window and $z$ at the end of the training. {NOISE_ALONE} For the share, the weights start where "
    "they are at the start of the first window, and the noise of each window has the size that was recorded there. "
    "Pale, with a marker: noise alone leaves a cosine above 1/2 until the "
    "end, so the windows left are too short to tell, and a large share says little.",
    takes=("layers", "windows"),
    note=note,
)
