"""ReCU is a mask on the gradient: it changes no output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.mask import gradients_query, last_window
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.selection import span_of
from recu_analysis.figures.shared import colored, note_of, shown
from recu_analysis.figures.spec import OWN_CHOICE, Asked, FigureSpec
from recu_analysis.figures.window_notes import spans_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette


def plot_mask(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    **properties: Any,
) -> Axes:
    """Mean absolute gradient against abs(z), one line per run, and the number of signs that the clamp changes.

    Parameters
    ----------
    data : run or path, sequence, mapping of labels to runs, or DataFrame
        Runs recorded with the quantity grad; the legend shows their labels. Or a table as
        `recu_analysis.analysis.mask.gradients` gives it. Its column run, if there is one, names the lines.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in order. By default the color of its arm in all figures.
    label : str, optional
        The name of the run in the legend, if there is only one.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default the last window.
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
        If the gradients of a run were not recorded.
    WindowNotFoundError
        If there is no such window with updates.
    """
    from recu_analysis.plots.mask import mask

    found = shown(data, lambda runs: query(runs, Asked(windows=windows)), palette)
    return mask(found.table, ax=ax, palette=found.palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Colored]:
    """`gradients` of all runs, by default in their last window, with a column run at the end."""
    windows = asked.windows
    spans = {label: last_window(run) if windows is None else span_of(run, windows) for label, run in runs.items()}
    tables = gathered({label: gradients_query(run, span=spans[label]) for label, run in runs.items()})
    labeled = tables.then(
        lambda found: pd.concat([table.assign(run=label) for label, table in found.items()], ignore_index=True)
    )
    return colored(runs, labeled, spans_sentence(runs, spans))


def draw(data: Colored, asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One panel, one line per run, with the legend above it."""
    from recu_analysis.figures.grid import legend_once
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.mask import mask

    data = data.painted(asked.palette)
    figure, axes = panels(1, "column", 0.85)
    mask(data.table, ax=axes[0], palette=data.palette)
    legend_once(figure, axes)
    return figure, data.table


FIGURE = FigureSpec(
    query,
    draw,
    "ReCU is a mask on the gradient: gradient against distance",
    "Mean absolute loss gradient of the latent weights against their distance from zero; 1 is the mean of the layer. "
    "Every point is a twentieth of each layer's weights, averaged over the layers. Bands: "
    r"95 % intervals over output channels. The clamp stops the gradient of the weights beyond $Q(\tau)$. It changes "
    r"no sign of a weight, and so no output. The count is over all weights at the end of the training, four levels of "
    r"$\tau$ and two scales.",
    takes=("windows", "palette"),
    note=note_of,
)
