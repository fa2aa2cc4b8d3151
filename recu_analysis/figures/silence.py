"""Silent weights of tail and core over the epochs, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import concat_runs, over_time, panel_each
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run

_COLUMNS = ["window", "epoch", "layer", "silent_fraction_tail", "silent_fraction_core"]


def plot_silence(run: Run, ax: Axes | None = None, *, tail_tau: TailTau = TAIL_TAU) -> Axes:
    """Silent fraction of tail and core of every layer over the epochs.

    Parameters
    ----------
    run : Run
    ax : Axes, optional
    tail_tau : float or "window"

    Returns
    -------
    Axes
    """
    return _panel(_of_run(run, tail_tau).run(), ax)


def query(runs: Runs) -> Query[dict[str, Timed]]:
    """What `layer_table` has of silence, of the windows with updates of each run."""
    return gathered({label: _of_run(run, TAIL_TAU) for label, run in runs.items()})


def draw(tables: Mapping[str, Timed]) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run."""
    figure, axes = panel_each(tables)
    for label, timed in tables.items():
        _panel(timed, axes[label]).set_title(label)
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def _of_run(run: Run, tail_tau: TailTau) -> Query[Timed]:
    table = layer_table_query(run, tail_tau)
    return table.then(lambda found: over_time(found.loc[found["updates"] > 0, _COLUMNS]))


def _panel(timed: Timed, ax: Axes | None) -> Axes:
    from recu_analysis.plots.dynamics import silence

    return timed.name_axis(silence(timed.table, ax))


FIGURE = FigureSpec(
    query,
    draw,
    "silent weights of tail and core over the epochs",
    "Share of the weights without a change of sign in an epoch, for the tail (the 30 % of a layer's weights with "
    "the largest $|z|$ when the epoch begins) and the core. Thin: one layer. Thick: the median over layers.",
)
