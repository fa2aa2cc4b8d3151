"""What ReCU is: a mask on the gradient, which changes no output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.mask import gradients_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import colored
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Runs


def plot_mask(runs: Runs, ax: Axes | None = None) -> Axes:
    """Mean absolute gradient against abs(z), one line a run, and how many signs the clamp changes.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels that the legend gives them, recorded with the quantity grad.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    NotRecordedError
        If a run does not keep the gradients.
    """
    from recu_analysis.plots.mask import mask

    data = query(runs).run()
    return mask(data.table, ax, palette=data.palette)


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
    mask(data.table, axes[0], palette=data.palette)
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
