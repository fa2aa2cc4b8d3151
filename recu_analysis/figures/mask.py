"""What ReCU is: a mask on the gradient, which changes no output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.mask import gradients_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import colored, shown
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette


def plot_mask(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Mean absolute gradient against abs(z), one line a run, and how many signs the clamp changes.

    Parameters
    ----------
    data : run or path, sequence, mapping of labels to runs, or DataFrame
        Runs that were recorded with the quantity grad, by the labels that the legend gives them. Or a table as
        `recu_analysis.analysis.mask.gradients` gives it; its column run, where it has one, names the lines.
    ax : Axes, optional
        pyplot's current one by default.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in their order. By default that of its arm in all figures.
    label : str, optional
        What the legend calls the run, where it is one.
    **properties
        Of the lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If what is given is no run and no such table, or the palette, the label or a property does not fit.
    NotRecordedError
        If a run does not keep the gradients.
    """
    from recu_analysis.plots.mask import mask

    found = shown(data, query, palette)
    return mask(found.table, ax=ax, palette=found.palette, label=label, **properties)


def query(runs: Runs) -> Query[Colored]:
    """`gradients` of all runs, with a column run at the end."""
    tables = gathered({label: gradients_query(run) for label, run in runs.items()})
    labeled = tables.then(
        lambda found: pd.concat([table.assign(run=label) for label, table in found.items()], ignore_index=True)
    )
    return colored(runs, labeled)


def draw(data: Colored) -> tuple[Figure, pd.DataFrame]:
    """One panel, a line a run."""
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.mask import mask

    figure, axes = panels(1, "column", 0.85)
    mask(data.table, ax=axes[0], palette=data.palette)
    return figure, data.table


FIGURE = FigureSpec(
    query,
    draw,
    "ReCU is a mask on the gradient: gradient against distance",
    "Mean absolute loss gradient of the latent weights against their distance from zero, in the last window; 1 is "
    "the mean of the layer. Every point is a twentieth of each layer's weights, averaged over the layers; bands "
    r"are 95 % intervals over output channels. The clamp stops the gradient of the weights beyond $Q(\tau)$ and "
    "changes no sign of a weight, and so no output: the count is over all weights, four levels of tau and two "
    "scales.",
)
