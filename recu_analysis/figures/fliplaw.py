"""The flip law: measured against predicted flips, in every layer and window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.flips import flip_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.selection import rows_of
from recu_analysis.figures.shared import colored, shown
from recu_analysis.figures.spec import OWN_CHOICE, Asked, FigureSpec
from recu_analysis.figures.window_notes import spans_of, spans_sentence, unknown_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import Run


def plot_flip_law(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """Measured against predicted flip ratio (the flip law) of every layer and window.

    Parameters
    ----------
    data : run or path, sequence, mapping of labels to runs, or DataFrame
        Runs; the legend shows their labels. Or a table as `recu_analysis.flip_table` gives it. Its column run, if there
        is one, names the points.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in order. By default the color of its arm in all figures.
    label : str, optional
        The name of the run in the legend, if there is only one.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default all windows.
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the points, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

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
    from recu_analysis.plots.flips import flip_law

    found = shown(data, lambda runs: query(runs, Asked(layers, windows)), palette)
    return flip_law(found.table, ax=ax, palette=found.palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Colored]:
    """`flip_table` of all runs, by default of all windows."""
    tables = gathered({label: _table(run, asked) for label, run in runs.items()})
    note = "" if asked.windows is None else spans_sentence(runs, spans_of(runs, asked.windows))
    return colored(runs, tables.then(concat_runs), note)


def _table(run: Run, asked: Asked) -> Query[pd.DataFrame]:
    found, windows = flip_table_query(run, asked.layers), asked.windows
    return found.then(lambda table: rows_of(run, table, windows))


def draw(data: Colored, asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One panel, one point per layer and window, with the legend above it."""
    from recu_analysis.figures.grid import legend_once
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.flips import flip_law

    data = data.painted(asked.palette)
    figure, axes = panels(1, "column", 0.92)
    flip_law(data.table, ax=axes[0], palette=data.palette)
    legend_once(figure, axes)
    return figure, data.table


def note(data: Colored) -> str:
    """Which windows are shown, and for which runs noise alone is not known."""
    nulls = dict(iter(data.table.groupby("run", sort=False)["flip_ratio_null"]))
    return " ".join(part for part in (data.note, unknown_noise(nulls)) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "the flip law: measured against predicted flips",
    "Flips per 1000 weights and update: measured, against predicted. The prediction is the density of $z$ at 0 times "
    "the mobility. Every point is a layer in a window. Dashed: measured equals predicted. "
    "Pale bars: flips of noise alone in the same layer and window.",
    takes=("layers", "windows", "palette"),
    note=note,
)
