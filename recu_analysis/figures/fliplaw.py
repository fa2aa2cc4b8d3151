"""The flip law: flips measured in every layer and window against those that it predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.analysis.flips import flip_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import colored, concat_runs
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Runs


def plot_flip_law(runs: Runs, ax: Axes | None = None) -> Axes:
    """Measured flip ratio of every layer and window against that of the flip law.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels that the legend gives them.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.flips import flip_law

    data = query(runs).run()
    return flip_law(data.table, ax, palette=data.palette)


def query(runs: Runs) -> Query[Colored]:
    """`flip_table` of all runs."""
    tables = gathered({label: flip_table_query(run) for label, run in runs.items()})
    return colored(runs, tables.then(concat_runs))


def draw(data: Colored) -> tuple[Figure, pd.DataFrame]:
    """One panel, a point a layer and window."""
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.flips import flip_law

    figure, axes = panels(1, "column", 0.92)
    flip_law(data.table, axes[0], palette=data.palette)
    return figure, data.table


FIGURE = FigureSpec(
    query,
    draw,
    "the flip law: measured against predicted flips",
    "Flips per 1000 weights and update, measured against predicted by the density of $z$ at 0 times the mobility. "
    "A point is a layer in a window; dashed: equal.",
)
