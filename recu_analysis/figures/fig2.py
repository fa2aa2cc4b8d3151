"""The paper's Fig. 2: a histogram of a layer's latent weights, with the dead ones in red."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.histogram import weight_histogram_query
from recu_analysis.analysis.query import gather, gathered
from recu_analysis.analysis.silence import null_dead_query
from recu_analysis.figures.layer_choice import choose_layers, default_layer
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import short_query, short_sentence, spans_of, spans_sentence, unknown_noise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.layer_choice import LayerChoice
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run

#: Width of a bin, in standard deviations. All runs have the same bins.
BIN: Final = 0.1
#: A panel this wide, in inches, has room for an inset.
_WIDE: Final = 2.2


class Histograms(NamedTuple):
    """What is shown of each run and layer.

    Attributes
    ----------
    tables : dict of (run, layer) to DataFrame
    short : dict of run to bool
        Whether its windows are too short to tell.
    nulls : dict of (run, layer) to float
        The share of dead weights that noise alone would give.
    choice : LayerChoice
    windows : str
        The windows, as a sentence.
    """

    tables: dict[tuple[str, str], pd.DataFrame]
    short: dict[str, bool]
    nulls: dict[tuple[str, str], float]
    choice: LayerChoice
    windows: str


def plot_dead_weights(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layer: str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    **properties: Any,
) -> Axes:
    """Histogram of a layer's latent weights, the tail pale red, tail and silent red (the paper's Fig. 2).

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.analysis.histogram.weight_histogram` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of dead, tail_active and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default the final windows. The figure shows the
        weights at their start.
    layer : str, optional
        Name of the layer, or a pattern that only its name matches. By default layer2.0.conv2, as in the paper; if the
        network has no such layer, one in its middle.
    tail_tau : float or "window"
        Level of the tail.
    **properties
        Properties of the bars, as `matplotlib.patches.StepPatch` has them: color, alpha, linewidth and so on.

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
    from recu_analysis.plots.weights import dead_weight_histogram

    def histogram(run: Run) -> Query[pd.DataFrame]:
        return weight_histogram_query(
            run, default_layer(run) if layer is None else layer, choose(run, windows), tail_tau=tail_tau, width=BIN
        )

    return dead_weight_histogram(table_of(data, histogram), ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Histograms]:
    """`weight_histogram` of the chosen layers of each run, by default over its final windows."""
    choice, spans = choose_layers(runs, asked.layers), spans_of(runs, asked.windows)
    places = [(label, layer) for label in runs for layer in choice.layers[label]]
    tables = gathered(
        {(label, layer): weight_histogram_query(runs[label], layer, spans[label], width=BIN) for label, layer in places}
    )
    short = gathered({label: short_query(run, spans[label], asked.windows) for label, run in runs.items()})
    nulls = gathered({(label, layer): null_dead_query(runs[label], layer, spans[label]) for label, layer in places})
    windows = spans_sentence(runs, spans, final=asked.windows is None)
    return gather(tables, short, nulls).then(lambda found: Histograms(found[0], found[1], found[2], choice, windows))


def draw(data: Histograms, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run and layer, on the same axes, with one legend."""
    from recu_analysis.figures.grid import label_once, layer_panels, same_limits
    from recu_analysis.figures.print.fitting import legend_above
    from recu_analysis.plots.weights import dead_weight_bars, legend_entries, magnify_foot

    figure, panels = layer_panels(data.choice)
    for place, ax in panels.items():
        dead_weight_bars(data.tables[place], ax, short=data.short[place[0]], null=data.nulls[place])
    axes = list(panels.values())
    same_limits(axes)
    label_once(figure, axes)
    legend_above(figure, legend_entries())
    figure.draw_without_rendering()
    for place, ax in panels.items():
        if ax.get_window_extent().width > _WIDE * figure.dpi:
            magnify_foot(data.tables[place], ax, short=data.short[place[0]])
    labeled = [
        table.assign(tail_silent_fraction_null=data.nulls[run, layer], run=run, layer=layer)
        for (run, layer), table in data.tables.items()
    ]
    joined = pd.concat(labeled, ignore_index=True)
    return figure, joined[["run", "layer", *joined.columns[:-2]]]


def note(data: Histograms) -> str:
    """Which layers and windows are shown, and for which runs noise alone is not known."""
    pale = short_sentence(label for label, short in data.short.items() if short)
    nulls = {label: [null for (run, _), null in data.nulls.items() if run == label] for label in data.short}
    return " ".join(part for part in (data.choice.sentence, data.windows, unknown_noise(nulls), pale) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "dead weights of a layer (the paper's Fig. 2)",
    "Latent weights of a layer at the start of some windows, in standard deviations of their channel. Pale red: the "
    "tail, the 30 % of the weights with the largest $|z|$. Red: the weights of the tail whose sign never changes in "
    "these windows. The red number is their share of the layer. The number below it is the share by noise alone, that "
    "is, for weights with the same start that decay and noise of the measured size moved, under the recorded learning "
    "rates.",
    takes=("layers", "windows"),
    note=note,
)
