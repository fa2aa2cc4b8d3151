"""Maps of all layers over the epochs: dead weights, silent weights, mobility, or another statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.layers import layer_table_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.figures.layer_choice import cut_sentence, short_names
from recu_analysis.figures.shared import moving_numbers, over_time, table_of, updated
from recu_analysis.figures.spec import OWN_CHOICE, Asked, FigureSpec
from recu_analysis.figures.window_notes import length_sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import OneRun, Run

#: The statistics of the figure.
MAPS = ("dead_fraction", "silent_fraction", "mobility")
# The thinnest row that can be seen, in inches; thinner rows are means of neighbors.
_THINNEST = 1.5 / 72.0
# The least height of a map in inches.
_LOWEST_MAP = 0.3


def plot_heat_map(
    data: OneRun | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    quantity: str = "dead_fraction",
    **properties: Any,
) -> Axes:
    """A statistic of every layer (rows) in every window (columns).

    Shares have colors from 0 to 100 %. Hatched: the window is too short to tell dead weights from slow ones.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run. Or a table as `recu_analysis.layer_table` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the lowest value to the highest, blended. By default the color map cividis.
    label : str, optional
        The title. By default the quantity and its unit.
    windows : int, slice, str or WindowSpan, optional
        Only these windows, such as "8:13" (without 13).
    layers : str or sequence of str, optional
        Patterns of layer names.
    quantity : str
        Any column of `recu_analysis.layer_table` with numbers, such as mobility or gennorm_shape.
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
    from recu_analysis.plots.heat_map import heat_map

    table = table_of(data, lambda run: _of_run(run, Asked(layers, windows)))
    timed = over_time(updated(table, [str(name) for name in table]))
    axes = heat_map(timed.table, quantity=quantity, ax=ax, palette=palette, label=label, **properties)
    return timed.name_axis(axes)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[dict[str, Timed]]:
    """The columns of `layer_table` for the maps, over the windows with updates of each run."""
    return gathered({label: _of_run(run, asked).then(_timed) for label, run in runs.items()})


def _of_run(run: Run, asked: Asked) -> Query[pd.DataFrame]:
    return layer_table_query(run, numbers=moving_numbers(run, asked.windows), layers=asked.layers)


def draw(tables: Mapping[str, Timed], _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A row of maps for each run, together no higher than the page. Each quantity has one scale and one color bar."""
    from recu_analysis.figures.grid import label_once, shown_name
    from recu_analysis.plots._axes import heading_of
    from recu_analysis.plots.heat_map import binned, draw_cells, limits_of, name_rows, tidy

    data = concat_runs({label: timed.table for label, timed in tables.items()})
    short = short_names(data["layer"])
    bars: dict[str, Colorbar] = {}
    figure, rows, heights = _layout([timed.table["layer"].nunique() for timed in tables.values()])
    for row, high, (label, timed) in zip(rows, heights, tables.items(), strict=True):
        table, size = binned(timed.table, [*MAPS, "autocorrelation_null"], int(high / _THINNEST))
        for ax, name in zip(row, MAPS, strict=True):
            mesh = draw_cells(table, ax, name, limits_of(data, name))
            timed.name_axis(ax)
            if row is rows[0]:
                column = [each[MAPS.index(name)] for each in rows]
                bars[name] = figure.colorbar(mesh, ax=column, location="top", aspect=25, pad=0.04)
                bars[name].set_label(heading_of(name), labelpad=5.0, fontsize="small")
                tidy(bars[name], mesh)
            mesh.colorbar = bars[name]
        for ax in row:
            name_rows(ax, [short[name] for name in dict.fromkeys(table["layer"])], int(high / _line()))
        binning = f"a row: the mean of {size} layers" if size > 1 else ""
        title = ", ".join(part for part in (label if len(tables) > 1 else "", binning) if part)
        row[0].set_title(shown_name(title, figure.get_figwidth()), loc="left")
    label_once(figure, [ax for row in rows for ax in row])
    return figure, data


def _line() -> float:
    """The height of a line of tick labels, in inches."""
    from recu_analysis.figures.print.style import current_venue

    return 1.1 * current_venue().font_size / 72.0


def _layout(counts: Sequence[int]) -> tuple[Figure, list[list[Axes]], list[float]]:
    """The figure, its rows of panels, and their heights in inches, for so many layers in each run.

    InputError if the page is too low for a row each.
    """
    from recu_analysis.figures.grid import most_height
    from recu_analysis.figures.print.style import current_venue, panels, rows_do_not_fit

    figure, (first,) = panels(1)
    first.remove()
    around = (7.5 + 1.7 * len(counts)) * _line()
    wanted = [max(3, count) * _line() for count in counts]
    squeezed = min(1.0, (most_height() - around) / sum(wanted))
    heights = [max(_LOWEST_MAP, squeezed * high) for high in wanted]
    if around + sum(heights) > current_venue().height:
        raise rows_do_not_fit(len(counts))
    figure.set_figheight(around + sum(heights))
    places = figure.add_gridspec(len(counts), len(MAPS), height_ratios=heights)
    rows = [[figure.add_subplot(places[at, column]) for column in range(len(MAPS))] for at in range(len(counts))]
    return figure, rows, heights


def _timed(table: pd.DataFrame) -> Timed:
    return over_time(updated(table, ["window", "epoch", "layer", *MAPS, "autocorrelation_null"]))


def note(tables: Mapping[str, Timed]) -> str:
    """How long a window is, and what the names of layers lack."""
    names = [name for timed in tables.values() for name in timed.table["layer"]]
    return " ".join(part for part in (length_sentence(tables), cut_sentence(names)) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "dead and silent weights and mobility, by layer and window",
    "Every layer (rows, in the order of the network) in every window: share of dead weights (in the tail and without "
    "a change of sign), share of silent weights (without a change of sign), and mobility (mean absolute change of $z$ "
    "per update). Hatched: the null autocorrelation is above 1/2, so the window is too short to tell dead weights from "
    "slow ones. A cell has one number, so noise alone is not in the maps: the figure silence shows it.",
    takes=("layers", "windows"),
    note=note,
)
