"""The causes of silence by layer: a stacked bar for each layer, with the undetermined share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from recu_analysis.analysis.causes import UNTRIED, causes_query, chosen_before, is_untried
from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.figures.layer_choice import cut_sentence, short_names
from recu_analysis.figures.shared import table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import spans_of, spans_sentence

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

# The least height of a bar in inches; lower bars stand for neighboring layers together.
_LOWEST_BAR: Final = 2.5 / 72.0
# Legend, title and axis of a panel, in lines of text.
_AROUND: Final = 5.5


class Caused(NamedTuple):
    """The table of each run, and which windows are shown."""

    tables: dict[str, pd.DataFrame]
    windows: str


def plot_causes(
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
    """Shares of the causes of silence, of the silent weights of the tail: a stacked bar for each layer.

    Parameters
    ----------
    data : one run, its path, or DataFrame
        A run with gradient-stats. Or a table as `recu_analysis.causes` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of the causes, by their names or in the order of their rules.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    windows : int, slice, str or WindowSpan, optional
        The windows that are tested, such as "8:13" (without 13). By default the final windows.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail.
    **properties
        Properties of the bars, as `matplotlib.patches.Rectangle` has them: alpha, hatch and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    NotRecordedError
        If the run was recorded without gradient-stats.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window before the tested ones.
    """
    from recu_analysis.plots.causes import causes

    table = table_of(data, lambda run: causes_query(run, choose(run, windows), layers, tail_tau))
    return causes(table, ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Caused]:
    """`causes` of each run, by default over final windows of equal length."""
    spans = spans_of(runs, asked.windows)
    chosen = spans_sentence(runs, {label: chosen_before(run, spans[label]) for label, run in runs.items()})
    tested = spans_sentence(runs, spans)
    each = {label: causes_query(run, spans[label], asked.layers) for label, run in runs.items()}
    return gathered(each).then(lambda found: Caused(found, f"Chosen: {chosen} Tested: {tested}"))


def draw(data: Caused, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each run, with one legend; a bar for each layer, or for several if they are too many; then noise."""
    from recu_analysis.figures.grid import label_once, legend_once, panel_each
    from recu_analysis.figures.print.style import current_venue
    from recu_analysis.plots.causes import NOISE, causes, names_of_bars, neighbors
    from recu_analysis.plots.heat_map import name_rows

    line = 1.15 * current_venue().font_size / 72.0
    table = concat_runs(data.tables)
    names = list(dict.fromkeys(table.loc[table["row"] == "layer", "layer"]))
    figure, axes = panel_each(data.tables, _aspect(len(data.tables), len(names), line))
    specs = [ax.get_subplotspec() for ax in axes]
    rows = max(spec.rowspan.stop for spec in specs if spec)
    high = max(figure.get_figheight() / rows - _AROUND * line, line)
    short = short_names(names)
    for ax, each in zip(axes, data.tables.values(), strict=True):
        few, size = neighbors(each, int(high / _LOWEST_BAR))
        causes(few, ax=ax)
        name_rows(ax, [short.get(name, NOISE) for name in names_of_bars(few)], int(high / line))
        if size > 1:
            title = f"a bar: {size} layers"
            ax.set_title(f"{ax.get_title()}, {title}" if len(axes) > 1 else title)
    if len({tuple(dict.fromkeys(each["layer"])) for each in data.tables.values()}) == 1:
        label_once(figure, axes)
    legend_once(figure, axes)
    return figure, table


def _aspect(runs: int, layers: int, line: float) -> float:
    """Height of a panel over its width, with a line of text for each layer if that is not too high."""
    from recu_analysis.figures.grid import figure_width

    width = figure_width() / min(runs, 3)
    return min(max(0.4, (layers + 2) * line / width), 2.2)


def note(data: Caused) -> str:
    """Which windows are shown, what the names of layers lack, and which rules were not tried."""
    names = [name for table in data.tables.values() for name in table.loc[table["row"] == "layer", "layer"]]
    untried = any(is_untried(table) for table in data.tables.values())
    reason = f"{UNTRIED[0].upper()}{UNTRIED[1:]}." if untried else ""
    return " ".join(part for part in (data.windows, cut_sentence(names), reason) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "causes of silence, by layer",
    "Why weights that stand far from zero stay silent: of the weights of the tail that did not change their sign in "
    "some windows, the shares by cause in the windows after. The first rule that a weight meets decides, from left to "
    "right; slow channels are a part of their own. Undetermined: no rule explains the silence. The last bar is what "
    "noise alone would give: of the weights that no other rule explains, 5 % held and 5 % opposed.",
    takes=("layers", "windows"),
    note=note,
)
