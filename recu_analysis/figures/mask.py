"""ReCU is a mask on the gradient: it changes no output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.mask import gradients_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import colored, shown
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette


def plot_mask(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
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
    """
    from recu_analysis.plots.mask import mask

    found = shown(data, query, palette)
    return mask(found.table, ax=ax, palette=found.palette, label=label, **properties)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[Colored]:
    """`gradients` of all runs, with a column run at the end."""
    tables = gathered({label: gradients_query(run) for label, run in runs.items()})
    labeled = tables.then(
        lambda found: pd.concat([table.assign(run=label) for label, table in found.items()], ignore_index=True)
    )
    return colored(runs, labeled)


def draw(data: Colored, asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One panel, one line per run."""
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.mask import mask

    data = data.painted(asked.palette)
    figure, axes = panels(1, "column", 0.85)
    mask(data.table, ax=axes[0], palette=data.palette)
    return figure, data.table


FIGURE = FigureSpec(
    query,
    draw,
    "ReCU is a mask on the gradient: gradient against distance",
    "Mean absolute loss gradient of the latent weights against their distance from zero, in the last window; 1 is "
    "the mean of the layer. Every point is a twentieth of each layer's weights, averaged over the layers. Bands: "
    r"95 % intervals over output channels. The clamp stops the gradient of the weights beyond $Q(\tau)$. It changes "
    r"no sign of a weight, and so no output. The count is over all weights, four levels of $\tau$ and two scales.",
    takes=("palette",),
)
