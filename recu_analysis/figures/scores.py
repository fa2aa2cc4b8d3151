"""Standard scores of a layer over the training, with the distributions fitted to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.scores import score_histogram, score_histogram_query
from recu_analysis.figures.fig2 import FIG2_LAYER
from recu_analysis.figures.shared import concat_runs, same_limits
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run


def plot_scores(run: Run, layer: str = FIG2_LAYER, window: int | None = None, ax: Axes | None = None) -> Axes:
    """Density of a layer's standard scores with the Laplace, normal and generalised normal fitted to them.

    Parameters
    ----------
    run : Run
    layer : str
    window : int, optional
        Number of the window at whose end they are taken; the last one by default.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.scores import score_density

    number = window if window is not None or not len(run.windows) else run.windows[-1].number
    return score_density(score_histogram(run, layer=layer, windows=number), ax)


def query(runs: Runs) -> Query[dict[str, pd.DataFrame]]:
    """`score_histogram` of the paper's layer, or one in the middle, of each run, with a column layer."""
    return gathered({label: _of_run(run) for label, run in runs.items()})


def draw(tables: Mapping[str, pd.DataFrame]) -> tuple[Figure, pd.DataFrame]:
    """A row of moments for each run, on the same axes, with one legend."""
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
        score_density(rows, ax).set_title(title)
    same_limits(axes)
    outer_labels(axes)
    shared_legend(figure, axes)
    return figure, concat_runs(tables)


def _of_run(run: Run) -> Query[pd.DataFrame]:
    names = run.layer_names
    layer = FIG2_LAYER if FIG2_LAYER in names else names[len(names) // 2]
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
    f"Density of the standard scores $z$ of {FIG2_LAYER} (of a layer in the middle, where a run has none of that "
    "name), with the Laplace, normal and generalised normal distributions of maximum likelihood; the number is the "
    "shape of the last (1 Laplace, 2 normal).",
)
