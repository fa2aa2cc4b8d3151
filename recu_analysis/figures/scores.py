"""Standard scores of a layer over the training, with fitted distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd

from recu_analysis.analysis.fits import window_at
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.scores import score_histogram_query
from recu_analysis.figures.layer_choice import choose_layers, default_layer, moments
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.layer_choice import LayerChoice
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run

#: Moments of a training that are shown.
MOST_MOMENTS: Final = 3


class Scores(NamedTuple):
    """The histogram of each run and layer, and which layers are shown."""

    tables: dict[tuple[str, str], pd.DataFrame]
    choice: LayerChoice


def plot_scores(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """Density of a layer's standard scores, with fitted Laplace, normal and generalized normal distributions.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.analysis.scores.score_histogram` gives it, of one window.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of the fitted laplace, normal and gennorm, by these names or in this order.
    label : str, optional
        The name of the histogram in the legend. By default the legend leaves it out.
    windows : int, slice, str or WindowSpan, optional
        The scores are those at the end of these windows, such as 12 or ":13". By default at the end of the run.
    layer : str, optional
        Name of the layer, or a pattern that only its name matches. By default layer2.0.conv2, as in the paper; if the
        network has no such layer, one in its middle.
    **properties
        Properties of the histogram, as `matplotlib.patches.StepPatch` has them: color, alpha, linewidth and so on.

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
    from recu_analysis.plots.scores import score_density

    def scores(run: Run) -> Query[pd.DataFrame]:
        return score_histogram_query(
            run, default_layer(run) if layer is None else layer, window_at(run, windows).number
        )

    return score_density(table_of(data, scores), ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Scores]:
    """`score_histogram` of the chosen layers of each run at a few moments."""
    choice = choose_layers(runs, asked.layers)
    most = MOST_MOMENTS if choice.columns == 1 else 1
    tables = gathered(
        {
            (label, layer): score_histogram_query(run, layer, numbers=moments(run, asked.windows, most))
            for label, run in runs.items()
            for layer in choice.layers[label]
        }
    )
    return tables.then(lambda found: Scores(found, choice))


def draw(data: Scores, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A row for each run, a column for each moment, or for each of several layers; the same axes, one legend."""
    from recu_analysis.figures.grid import label_once, layer_panels, legend_once, same_limits
    from recu_analysis.plots.scores import score_density

    if data.choice.columns == 1:
        figure, axes = _moments(data)
    else:
        figure, panels = layer_panels(data.choice)
        axes = [score_density(data.tables[place], ax=ax) for place, ax in panels.items()]
    same_limits(axes)
    label_once(figure, axes)
    legend_once(figure, axes)
    joined = pd.concat([table.assign(run=run, layer=layer) for (run, layer), table in data.tables.items()])
    return figure, joined[["run", *joined.columns.drop("run")]].reset_index(drop=True)


def _moments(data: Scores) -> tuple[Figure, list[Axes]]:
    """A row of moments for each run."""
    from recu_analysis.figures.grid import grid, row_title, shown_name
    from recu_analysis.plots.scores import score_density

    rows = {place: _by_moment(table) for place, table in data.tables.items()}
    figure, cells = grid(len(rows), max(map(len, rows.values())), 0.7)
    same = len({tuple(at) for at in rows.values()}) == 1
    drawn = []
    for ((run, layer), at), row in zip(rows.items(), cells, strict=True):
        for ax in row[len(at) :]:
            ax.remove()
        for ax, (moment, table) in zip(row, at.items(), strict=False):
            drawn.append(score_density(table, ax=ax))
            if row is cells[0] or not same:
                ax.set_title(moment)
        if len(rows) > 1:
            title = run if data.choice.alike else f"{run}, {layer}"
            row_title(drawn[-1], shown_name(title, 0.8 * figure.get_figheight() / len(rows)))
    return figure, drawn


def _by_moment(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {_moment(rows): rows for _, rows in table.groupby("window", sort=False)}


def _moment(rows: pd.DataFrame) -> str:
    window, epoch = rows["window"].iloc[0], rows["epoch"].iloc[0]
    if window == 0:
        return "start"
    return f"window {window}" if math.isnan(epoch) else f"after epoch {epoch:g}"


def note(data: Scores) -> str:
    """Which layers and moments are shown."""
    if data.choice.columns > 1:
        return f"{data.choice.sentence} Shown is the end of the training, or of the chosen windows."
    return f"{data.choice.sentence} Shown are at most {MOST_MOMENTS} moments, evenly spaced."


FIGURE = FigureSpec(
    query,
    draw,
    "standard scores of a layer over the training, with fitted distributions",
    "Density of the standard scores $z$. Lines: Laplace, normal and generalized normal distributions, fitted by "
    "maximum likelihood. The number is the shape of the generalized normal (1: Laplace, 2: normal).",
    takes=("layers", "windows"),
    note=note,
)
