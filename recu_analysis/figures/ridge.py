"""The density of a layer's standard scores over the training, one curve a window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd

from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.scores import score_histogram_query
from recu_analysis.figures.layer_choice import choose_layers, default_layer, moments
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.layer_choice import LayerChoice
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.store.run import OneRun, Run

#: Curves that are shown.
MOST_WINDOWS: Final = 12
#: Bins over the whole range of z.
_BINS: Final = 101


class Densities(NamedTuple):
    """The density of each run and layer, and which layers are shown."""

    tables: dict[tuple[str, str], pd.DataFrame]
    choice: LayerChoice


def plot_ridge(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """Density of a layer's standard scores over the training, one filled curve a window, the first on top.

    The curves are histograms with 101 bins, not smoothed, on one scale. Dotted lines mark z = -1, 0 and 1.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.analysis.scores.score_histogram` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the first window to the last, blended. By default from light to dark blue.
    label : str, optional
        The title. By default none.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13). At most 12, evenly spaced, are shown.
    layer : str, optional
        Name of the layer, or a pattern that only its name matches. By default layer2.0.conv2, as in the paper; if the
        network has no such layer, one in its middle.
    **properties
        Properties of the filled curves, as `matplotlib.collections.FillBetweenPolyCollection` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or the run has none of the windows.
    """
    from recu_analysis.plots.ridge import ridge

    def densities(run: Run) -> Query[pd.DataFrame]:
        return _of_run(run, default_layer(run) if layer is None else layer, windows)

    return ridge(table_of(data, densities), ax=ax, palette=palette, label=label, **properties)


def _of_run(run: Run, layer: str, windows: Windows | None) -> Query[pd.DataFrame]:
    return score_histogram_query(run, layer, bins=_BINS, numbers=moments(run, windows, MOST_WINDOWS))


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Densities]:
    """`score_histogram` of the chosen layers of each run, at the end of at most 12 windows."""
    choice = choose_layers(runs, asked.layers)
    tables = {
        (label, layer): _of_run(run, layer, asked.windows)
        for label, run in runs.items()
        for layer in choice.layers[label]
    }
    return gathered(tables).then(lambda found: Densities(found, choice))


def draw(data: Densities, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run and layer, with the same range of z."""
    from recu_analysis.figures.grid import label_once, layer_panels, same_limits
    from recu_analysis.plots.ridge import ridge

    figure, panels = layer_panels(data.choice, aspect=0.9)
    highest = max(float(table["density"].max()) for table in data.tables.values())
    for place, ax in panels.items():
        ridge(data.tables[place], ax=ax, highest=highest)
    axes = list(panels.values())
    if len({tuple(label.get_text() for label in ax.get_yticklabels()) for ax in axes}) == 1:
        same_limits(axes)
        label_once(figure, axes)
    _thin_labels(figure, axes)
    columns = ["window", "epoch", "left", "right", "density"]
    joined = pd.concat([table[columns].assign(run=run, layer=layer) for (run, layer), table in data.tables.items()])
    return figure, joined[["run", "layer", *columns]].reset_index(drop=True)


def _thin_labels(figure: Figure, axes: Sequence[Axes]) -> None:
    """Label only so many curves, evenly spaced, that their labels do not overlap."""
    figure.draw_without_rendering()
    for ax in axes:
        low, high = ax.get_ylim()
        room = ax.get_window_extent().height / (high - low)
        labels = ax.get_yticklabels()  # none where the panel to the left has them
        step = math.ceil(max([label.get_window_extent().height for label in labels], default=0.0) / room) or 1
        if step > 1:
            ax.set_yticks(ax.get_yticks()[::step], [label.get_text() for label in labels[::step]])


def note(data: Densities) -> str:
    """Which layers are shown."""
    return data.choice.sentence


FIGURE = FigureSpec(
    query,
    draw,
    "density of the weights of a layer over the training, one curve a window",
    "Density of the standard scores $z$ of a layer at the end of windows, the first on top: at most 12 windows, evenly "
    "spaced. Each curve is a histogram, not smoothed; all curves have one scale. Dotted: $z$ = -1, 0 and 1.",
    takes=("layers", "windows"),
    note=note,
)
