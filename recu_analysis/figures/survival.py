"""The hazard of a first flip over the decay time T: tail and core beside noise alone, a panel for each run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.query import gather, gathered, require_one_kind
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.analysis.survival import survival_query
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import (
    NOISE_ALONE,
    short_query,
    short_sentence,
    spans_of,
    spans_sentence,
    unknown_noise,
)
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun


class Survived(NamedTuple):
    """The table of each run, the labels of runs whose windows are too short, and which windows are shown."""

    tables: dict[str, pd.DataFrame]
    short: list[str]
    windows: str


def plot_survival(
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
    """Hazard of a first flip over the decay time T, of tail and core, beside noise alone.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.survival` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of tail and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default the final windows.
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
        If `data` is of another type or lacks a column, the run has no decay time, or the palette, the label or a
        property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    """
    from recu_analysis.plots.survival import hazard

    table = table_of(data, lambda run: survival_query(run, choose(run, windows), layers, tail_tau))
    return hazard(table, ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Survived]:
    """`survival` of each run, by default over final windows of equal length."""
    for run in runs.values():
        require_one_kind(select_layers(run, asked.layers))
    spans = spans_of(runs, asked.windows)
    sentence = spans_sentence(runs, spans, final=asked.windows is None)
    each = {
        label: gather(survival_query(run, spans[label], asked.layers), short_query(run, spans[label], asked.windows))
        for label, run in runs.items()
    }
    return gathered(each).then(
        lambda found: Survived(
            {label: table for label, (table, _) in found.items()},
            [label for label, (_, short) in found.items() if short],
            sentence,
        )
    )


def draw(data: Survived, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, on the same axes, with one legend; pale where windows are too short."""
    from recu_analysis.figures.grid import panels_alike
    from recu_analysis.plots.survival import hazard
    from recu_analysis.plots.too_short import PALE

    figure, axes = panels_alike(data.tables, lambda ax, table: hazard(table, ax=ax))
    for ax, label in zip(axes, data.tables, strict=True):
        if label in data.short:
            for line in ax.get_lines():
                line.set_alpha(PALE)
    return figure, concat_runs(data.tables)


def note(data: Survived) -> str:
    """Which windows are shown, for which runs noise alone is not known, and whether they are too short to tell."""
    unknown = unknown_noise({label: table["hazard_null"] for label, table in data.tables.items()})
    return " ".join(part for part in (data.windows, unknown, short_sentence(data.short)) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "hazard of a first flip over the decay time",
    "First flips per unit of decay time $T$, of the weights that have not flipped since the start of the windows, for "
    "tail and core. The tail is the 30 % of a layer's weights with the largest $|z|$ at that start. A point is the "
    "middle of a span; within a window, $T$ is interpolated by updates. Thin: one layer. Thick: the median of layers. "
    f"{NOISE_ALONE} Noise alone has a hazard that settles, too, so a constant hazard is no evidence of lock-in. No "
    "interval is shown: the flips of one training share the noise of its minibatches.",
    takes=("layers", "windows"),
    note=note,
)
