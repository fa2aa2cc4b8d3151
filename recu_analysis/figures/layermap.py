"""Maps of all layers over the epochs: dead weights, silent weights, mobility."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.figures.shared import concat_runs, over_time, table_of, updated
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.store.run import OneRun, Run

_MAPS = ("dead_fraction", "silent_fraction", "mobility")


def plot_heat_map(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    layers: Sequence[str] | str | None = None,
    quantity: str = "dead_fraction",
    **properties: Any,
) -> Axes:
    """Share of dead or silent weights, or mobility, of every layer (rows) in every epoch (columns).

    Parameters
    ----------
    data : run, path or DataFrame
        A run. Or a table as `recu_analysis.layer_table` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the lowest value to the highest, blended. By default the color map cividis.
    label : str, optional
        The title. By default the quantity and its unit.
    layers : str or sequence of str, optional
        Patterns of layer names.
    quantity : {"dead_fraction", "silent_fraction", "mobility"}
    **properties
        Properties of the image, as `matplotlib.collections.QuadMesh` has them: cmap, alpha and so on.

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
    from recu_analysis.plots.layers import heat_map

    timed = _timed(table_of(data, lambda run: layer_table_query(run, layers=layers)))
    axes = heat_map(timed.table, quantity=quantity, ax=ax, palette=palette, label=label, **properties)
    return timed.name_axis(axes)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """The columns of `layer_table` for the maps, over the windows with updates of each run."""
    return gathered({label: _of_run(run) for label, run in runs.items()})


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One row of maps per run. Each quantity has one scale for all runs."""
    from recu_analysis.figures.print.fitting import outer_labels
    from recu_analysis.figures.print.style import current_venue, panels
    from recu_analysis.plots.layers import heat_map

    data = concat_runs({label: timed.table for label, timed in tables.items()})
    limits = {name: (float(data[name].min()), float(data[name].max())) for name in _MAPS}
    figure, axes = panels(len(_MAPS) * len(tables), together=len(_MAPS))
    # High enough that the names of the layers do not touch.
    names = data["layer"].nunique() * current_venue().font_size * 1.05 / 72.0
    figure.set_figheight(len({ax.get_position().y0 for ax in axes}) * (names + 0.45))
    cells = [(label, name) for label in tables for name in _MAPS]
    for ax, (label, name) in zip(axes, cells, strict=True):
        tables[label].name_axis(heat_map(tables[label].table, quantity=name, ax=ax, limits=limits[name]))
        if len(tables) > 1:
            ax.set_title(f"{label}: {ax.get_title()}")
    outer_labels(axes)
    return figure, data


def _of_run(run: Run) -> Query[Timed]:
    return layer_table_query(run).then(_timed)


def _timed(table: pd.DataFrame) -> Timed:
    return over_time(updated(table, ["window", "epoch", "layer", *_MAPS]))


FIGURE = FigureSpec(
    query,
    draw,
    "dead and silent weights and mobility, by layer and epoch",
    "Every layer in every epoch: share of dead weights (in the tail and without a change of sign), share of silent "
    "weights (without a change of sign), and mobility (mean absolute change of $z$ per update). If an epoch is too "
    "short to tell dead weights from slow ones, the whole tail (30 % of the weights) counts as dead.",
)
