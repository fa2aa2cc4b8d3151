"""The restored fraction rho of tail and core, by layer and window, beside the band of noise alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.earned import NO_RHO, each_earned_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.selection import known_windows, select_windows, span_of
from recu_analysis.figures.captions import quoted
from recu_analysis.figures.shared import over_time, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import length_sentence
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run


def plot_rho(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    **properties: Any,
) -> Axes:
    """The restored fraction rho of tail and core over the epochs, beside the band of noise alone.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run; the band needs gradient-stats. Or a table as `recu_analysis.earned` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of tail and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13).
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail.
    **properties
        Properties of the two thick lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

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
    from recu_analysis.plots.rho import rho

    timed = over_time(table_of(data, lambda run: each_window_query(run, windows, layers, tail_tau)))
    return timed.name_axis(rho(timed.table, ax=ax, palette=palette, label=label, **properties))


def each_window_query(
    run: Run, windows: Windows | None, layers: Sequence[str] | str | None, tail_tau: TailTau = TAIL_TAU
) -> Query[pd.DataFrame]:
    """`earned` of each window that a caller asked for; by default of all since the last gap."""
    chosen = known_windows(run) if windows is None else select_windows(run, span_of(run, windows))
    return each_earned_query(run, chosen, layers, tail_tau)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """`earned` of each run, of the windows that a caller asked for."""
    tables = {label: each_window_query(run, asked.windows, asked.layers) for label, run in runs.items()}
    return gathered(tables).then(lambda found: {label: over_time(table) for label, table in found.items()})


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend."""
    from recu_analysis.figures.grid import panels_alike
    from recu_analysis.plots.rho import rho

    figure, _ = panels_alike(tables, lambda ax, timed: timed.name_axis(rho(timed.table, ax=ax)))
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def note(tables: Mapping[str, Timed]) -> str:
    """How long a window is, and which runs have none, or only an approximate rho."""
    about = [quoted(label) for label, timed in tables.items() if not timed.table["exact_split"].all()]
    approximate = f"Approximate, without a band: {together(about)}, without gradient-stats." if about else ""
    exact = (timed.table for timed in tables.values() if timed.table["exact_split"].all())
    without = any(table["rho"].isna().all() for table in exact)
    reason = f"{NO_RHO[0].upper()}{NO_RHO[1:]}." if without else ""
    return " ".join(part for part in (length_sentence(tables), approximate, reason) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "restored fraction of tail and core, by layer and window",
    r"The restored fraction $\rho$: the part of what decay takes from the weights of a group in a window that "
    "gradients restore. 0 is noise, 1 is held where it stands, below 0 is pushed off. The tail is the 30 % of a "
    "layer's weights with the largest $|z|$ at the start of the window. Thin: one layer. Thick: the median over "
    r"layers. Band: where noise alone would leave $\rho$ of all weights of a layer, for all layers of a window at once "
    "in 95 % of windows, from the recorded gradients along the start, in the median over layers; groups of fewer "
    "weights scatter more. Single layers far outside are cut off.",
    takes=("layers", "windows"),
    note=note,
)
