"""Silent weights of tail and core over the epochs, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.silence import with_null_silence
from recu_analysis.figures.shared import moving_numbers, over_time, table_of, updated
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import NOISE_ALONE, PALE_WINDOWS, length_sentence, unknown_noise

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

_COLUMNS = ["window", "epoch", "layer", "silent_fraction_tail", "silent_fraction_core"]
# What noise alone would give; the caller's own table may lack these.
_NULLS = ["autocorrelation_null", "silent_fraction_tail_null", "silent_fraction_core_null"]


def plot_silence(
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
    """Share of silent weights of tail and core over the epochs: thin: a layer; thick: the median.

    Pale dashed lines are what noise alone would give. Windows that are too short to tell dead weights from slow
    ones (null autocorrelation above 1/2) are pale.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.layer_table` gives it, which has no shares that noise alone would give.
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
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    """

    def silence(run: Run) -> Query[pd.DataFrame]:
        return _table(run, layers, windows, tail_tau)

    return _panel(_timed(table_of(data, silence)), ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """The columns of `layer_table` about silence, for the windows with updates of each run."""
    return gathered({label: silence_query(run, asked) for label, run in runs.items()})


def silence_query(run: Run, asked: Asked) -> Query[Timed]:
    """The columns of `layer_table` about silence, for the layers and windows that a caller asked for."""
    return _table(run, asked.layers, asked.windows, TAIL_TAU).then(_timed)


def _table(
    run: Run, layers: Sequence[str] | str | None, windows: Windows | None, tail_tau: TailTau
) -> Query[pd.DataFrame]:
    numbers = moving_numbers(run, windows)
    table = layer_table_query(run, tail_tau, numbers=numbers, layers=layers)
    return with_null_silence(run, table, tail_tau, numbers=numbers, layers=layers)


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend."""
    from recu_analysis.figures.grid import panels_alike

    figure, _ = panels_alike(tables, lambda ax, timed: _panel(timed, ax))
    return figure, concat_runs({label: timed.table for label, timed in tables.items()})


def _timed(table: pd.DataFrame) -> Timed:
    known = [name for name in _NULLS if name in table]
    return over_time(updated(table, [*_COLUMNS, *known]))


def _panel(timed: Timed, ax: Axes | None, **looks: Any) -> Axes:
    from recu_analysis.plots.dynamics import silence

    return timed.name_axis(silence(timed.table, ax=ax, **looks))


def note(tables: dict[str, Timed]) -> str:
    """How long a window is, for which runs noise alone is not known, and whether windows are too short to tell."""
    return " ".join(part for part in (length_sentence(tables), unknown_silence(tables), PALE_WINDOWS) if part)


def unknown_silence(tables: Mapping[str, Timed]) -> str:
    """The sentence of a caption about runs for which the silence of noise alone is not known; empty if none."""
    return unknown_noise({label: timed.table["silent_fraction_tail_null"] for label, timed in tables.items()})


FIGURE = FigureSpec(
    query,
    draw,
    "silent weights of tail and core over the epochs",
    "Share of the weights whose sign did not change in a window, for tail and core. The tail is the 30 % of a layer's "
    "weights with the largest $|z|$ at the start of the window. A marker is the end of a window. Thin: one layer. "
    f"Thick: the median over layers. {NOISE_ALONE}",
    takes=("layers", "windows"),
    note=note,
)
