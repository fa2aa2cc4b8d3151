"""How signs lock in: weights that never flip again after each epoch, beside the autocorrelation to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.analysis.flips import flip_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import concat_runs, over_time, panel_each
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run


def plot_lock_in(run: Run, ax: Axes | None = None) -> Axes:
    """Share of the weights that never flip again after each epoch, beside the autocorrelation to the end.

    Parameters
    ----------
    run : Run
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    return _panel(_of_run(run).run(), ax)


def query(runs: Runs) -> Query[dict[str, Timed]]:
    """`flip_table` of each run."""
    return gathered({label: _of_run(run) for label, run in runs.items()})


def draw(tables: Mapping[str, Timed]) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run."""
    figure, axes = panel_each(tables)
    for label, timed in tables.items():
        _panel(timed, axes[label]).set_title(label)
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def _of_run(run: Run) -> Query[Timed]:
    return flip_table_query(run).then(over_time)


def _panel(timed: Timed, ax: Axes | None) -> Axes:
    from recu_analysis.plots.flips import lock_in

    return timed.name_axis(lock_in(timed.table, ax))


FIGURE = FigureSpec(
    query,
    draw,
    "weights that never flip again, beside autocorrelation",
    "Share of the weights that do not change sign again in the rest of the training, after each epoch. Thin: one "
    "layer. Thick: the median over layers. Dashed: cosine of $z$ and $z$ at the end; where it is near 1 nothing "
    "moves any more, and being locked in says little.",
)
