"""The autocorrelation of z over each window by where it comes from: inherited, momentum, restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.figures.captions import quoted
from recu_analysis.figures.rho import each_window_query, query
from recu_analysis.figures.shared import over_time, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import length_sentence
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Asked
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun


def plot_split(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """The autocorrelation of z over each window, by where it comes from: inherited, momentum, restored.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run; the part of the momentum needs gradient-stats. Or a table as `recu_analysis.earned` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of inherited, momentum and restored, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13).
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the bars, as `matplotlib.patches.Rectangle` has them: alpha, hatch and so on.

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
    """
    from recu_analysis.plots.split import split

    timed = over_time(table_of(data, lambda run: each_window_query(run, windows, layers)))
    return timed.name_axis(split(timed.table, ax=ax, palette=palette, label=label, **properties))


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend."""
    from recu_analysis.figures.grid import panels_alike
    from recu_analysis.plots.split import split

    figure, _ = panels_alike(tables, lambda ax, timed: timed.name_axis(split(timed.table, ax=ax)))
    table = concat_runs({label: timed.table for label, timed in tables.items()})
    return figure, table[table["group"] == "all"].reset_index(drop=True)


def note(tables: Mapping[str, Timed]) -> str:
    """How long a window is, and in which runs the momentum is not known."""
    about = [quoted(label) for label, timed in tables.items() if not timed.table["exact_split"].all()]
    approximate = f"Approximate, with the momentum's part in the restored: {together(about)}." if about else ""
    return f"{length_sentence(tables)} {approximate}".strip()


FIGURE = FigureSpec(
    query,
    draw,
    "autocorrelation by where it comes from",
    "The cosine between $z$ at the start and $z$ at the end of each window, as a sum of three parts: inherited, which "
    "decay alone leaves of the start; the part of the momentum at the start; and restored, which the gradients of the "
    "window add. Noise alone restores 0. Means over layers, by weights. Parts below 0 are drawn below the axis. Dot: "
    "the sum.",
    takes=("layers", "windows"),
    note=note,
)
