"""Standard scores of a layer over the training, with fitted distributions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.fits import window_at
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.scores import score_histogram_query
from recu_analysis.figures.shared import FIG2_LAYER, concat_runs, default_layer, same_limits, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run


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
    data : run, path or DataFrame
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
        return score_histogram_query(run, layer or default_layer(run), window_at(run, windows).number)

    return score_density(table_of(data, scores), ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[dict[str, pd.DataFrame]]:
    """`score_histogram` of the `default_layer` of each run, with a column layer."""
    return gathered({label: _of_run(run) for label, run in runs.items()})


def draw(tables: Mapping[str, pd.DataFrame], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One row of moments per run, on the same axes, with one legend."""
    from recu_analysis.figures.print.fitting import outer_labels, shared_legend
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.scores import score_density

    cells = [
        (f"{label}, {_moment(rows)}", rows)
        for label, table in tables.items()
        for _, rows in table.groupby("window", sort=False)
    ]
    in_row, left = divmod(len(cells), len(tables))
    figure, axes = panels(len(cells), together=None if left else in_row)
    for ax, (title, rows) in zip(axes, cells, strict=True):
        score_density(rows, ax=ax).set_title(title)
    same_limits(axes)
    outer_labels(axes)
    shared_legend(figure, axes)
    return figure, concat_runs(tables)


def _of_run(run: Run) -> Query[pd.DataFrame]:
    layer = default_layer(run)
    return score_histogram_query(run, layer).then(lambda table: table.assign(layer=layer))


def _moment(rows: pd.DataFrame) -> str:
    window, epoch = rows["window"].iloc[0], rows["epoch"].iloc[0]
    if window == 0:
        return "start"
    return f"window {window}" if math.isnan(epoch) else f"after epoch {epoch:g}"


FIGURE = FigureSpec(
    query,
    draw,
    "standard scores of a layer over the training, with fitted distributions",
    f"Density of the standard scores $z$ of {FIG2_LAYER} (of a layer in the middle, if a run has no such layer). "
    "Lines: Laplace, normal and generalised normal distributions, fitted by maximum likelihood. The number is the "
    "shape of the generalised normal (1: Laplace, 2: normal).",
)
