"""Quantization error of the layers over tau: measured, exact for Laplace weights, and as the paper prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.measured import measured_tradeoff_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.figures.captions import quoted
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun

# From just above 0.5, where all weights are clamped to 0, to a level that clamps almost none.
_LEVELS, _POINTS = (0.51, 0.995), 40
_COLUMNS = ["layer", "window", "tau", "b", "qe_measured", "qe_exact", "qe_printed"]


def plot_layer_errors(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """Quantization error of a run's layers over tau: measured, exact for Laplace weights, and as printed in Eq. 14.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.measured_tradeoff` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of qe_measured, qe_exact and qe_printed, by these names or in this order.
    label : str, optional
        The name of the measured layers in the legend. By default their number.
    windows : int, slice, str or WindowSpan, optional
        The weights are those at the end of these windows, such as 12 or ":13". By default at the end of the run.
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the lines of the layers, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

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
    from recu_analysis.plots.layers import layer_errors

    table = table_of(data, lambda run: measured_tradeoff_query(run, _LEVELS, _POINTS, layers=layers, windows=windows))
    return layer_errors(table, ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, pd.DataFrame]]:
    """`measured_tradeoff` of each run over nearly all levels."""
    return gathered(
        {
            label: measured_tradeoff_query(run, _LEVELS, _POINTS, layers=asked.layers, windows=asked.windows)
            for label, run in runs.items()
        }
    )


def draw(tables: Mapping[str, pd.DataFrame], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend."""
    from recu_analysis.figures.grid import panels_alike
    from recu_analysis.plots.layers import layer_errors

    figure, _ = panels_alike(tables, lambda ax, table: layer_errors(table, ax=ax))
    return figure, concat_runs({label: table[_COLUMNS] for label, table in tables.items()})


def note(tables: dict[str, pd.DataFrame]) -> str:
    """How many layers are shown, and at the end of which window."""
    shown = {
        label: f"{table['layer'].nunique()} layers at the end of window {table['window'].iloc[0]}"
        for label, table in tables.items()
    }
    if len(set(shown.values())) == 1:
        return f"Shown: {next(iter(shown.values()))}."
    return "Shown: " + "; ".join(f"{what} ({quoted(label)})" for label, what in shown.items()) + "."


FIGURE = FigureSpec(
    query,
    draw,
    "quantization error of the layers over tau: measured, exact, printed",
    r"Quantization error over the level $\tau$, in units of $\hat b^2$. The weights of a layer are clamped at the "
    r"Laplace quantile of their $\hat b$. Thin: measured, a layer. Solid: exact for Laplace "
    "weights. Dashed: Eq. 14 as printed. Its minimum (vertical line) comes from a wrong sign.",
    takes=("layers", "windows"),
    note=note,
)
