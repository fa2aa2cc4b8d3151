"""Small multiples: panels in rows and columns on one page, with titles, labels and a legend once for all."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeVar

from recu_analysis.analysis.short_names import distinct
from recu_analysis.figures.layer_choice import short_names
from recu_analysis.figures.print.fitting import legend_above, outer_labels
from recu_analysis.figures.print.style import current_venue, panels, rows_do_not_fit
from recu_analysis.plots.names import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.figures.layer_choice import LayerChoice

    Rows = list[list[Axes]]

Table = TypeVar("Table")

# The least width of a small panel, in inches for text of 8 points.
_NARROWEST = 1.4
# The least height of a panel, and the height of the legend, titles and labels around all, in the same way.
_LOWEST, _AROUND = 1.0, 0.9
# The least height of a panel of many rows, in the same way.
_SQUEEZED = 0.6


def most_height() -> float:
    """The height that a figure may have, in inches: nine tenths of the page, as a caption takes the rest."""
    return 0.9 * current_venue().height


def figure_width() -> float:
    """The width of a figure of several panels, in inches."""
    figure, _ = panels(1)
    return float(figure.get_figwidth())


def letter_width() -> float:
    """The width of a letter of tick labels, in inches."""
    venue = current_venue()
    return (0.6 if venue.sans else 0.5) * (venue.font_size - 1.0) / 72.0


def shown_name(name: object, inches: float) -> str:
    """A name as text that is about as wide as there is room, of at least 8 letters."""
    return text_of(name, max(8, int(inches / letter_width())))


def layer_titles(names: Iterable[str], inches: float) -> dict[str, str]:
    """Names of layers as titles that are about as wide as there is room, all different."""
    short = short_names(names)
    fitting = distinct(list(short.values()), max(8, int(inches / letter_width())))[1]
    return {name: text_of(title) for name, title in zip(short, fitting, strict=True)}


def grid(rows: int, columns: int, aspect: float = 0.62) -> tuple[Figure, Rows]:
    """A figure of panels in rows and columns, no higher than the page; call it within `style`.

    Parameters
    ----------
    rows, columns : int
        Numbers of panels.
    aspect : float
        Height of a panel over its width, if that is not too low.

    Raises
    ------
    InputError
        If there are too many rows for the page.
    """
    figure, (first,) = panels(1, "column" if columns * rows == 1 else "page")
    first.remove()
    unit = current_venue().font_size / 8.0
    high = max(_LOWEST * unit, aspect * (figure.get_figwidth() - 0.55 * unit) / columns)
    around = _AROUND * unit
    least = around + rows * _SQUEEZED * unit
    if least > current_venue().height:
        raise rows_do_not_fit(rows)
    figure.set_figheight(max(min(most_height(), around + rows * high), least))
    places = figure.add_gridspec(rows, columns)
    return figure, [[figure.add_subplot(places[row, column]) for column in range(columns)] for row in range(rows)]


def panel_each(names: Iterable[str], aspect: float = 0.62) -> tuple[Figure, list[Axes]]:
    """A panel for each name, which is its title if there are several: side by side, in rows if too narrow for that."""
    titles = list(names)
    figure, _ = panels(1, "column" if len(titles) == 1 else "page")
    venue = current_venue()
    narrowest = _NARROWEST * venue.font_size / 8.0 * (1.25 if venue.sans else 1.0)
    rows = math.ceil(len(titles) / max(1, int(figure.get_figwidth() / narrowest)))
    if len(titles) == 3 and rows > 1:
        rows = 3  # two rows would leave a quarter of the figure empty
    columns = math.ceil(len(titles) / rows)
    figure, found = grid(rows, columns, aspect)
    axes = [ax for row in found for ax in row]
    for ax in axes[len(titles) :]:
        ax.remove()
    for ax, title in zip(axes, titles if len(titles) > 1 else [], strict=False):
        ax.set_title(shown_name(title, figure.get_figwidth() / columns))
    return figure, axes[: len(titles)]


def panels_alike(tables: Mapping[str, Table], paint: Callable[[Axes, Table], object]) -> tuple[Figure, list[Axes]]:
    """A panel for each run, painted from its table: on the same axes, with labels and a legend once for all."""
    figure, axes = panel_each(tables)
    for ax, table in zip(axes, tables.values(), strict=True):
        paint(ax, table)
    same_limits(axes)
    label_once(figure, axes)
    legend_once(figure, axes)
    return figure, axes


def layer_panels(choice: LayerChoice, aspect: float = 0.62) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """A panel for each run and layer: a row for each run, or with one layer panels side by side.

    The layer is in a title only if there are several; else the caption names it.
    """
    runs = list(choice.layers)
    every = [name for names in choice.layers.values() for name in names]
    if choice.columns == 1:
        short = short_names(every)
        titles = [run if choice.alike else f"{run}, {short[choice.layers[run][0]]}" for run in runs]
        figure, axes = panel_each(titles, aspect)
        return figure, {(run, choice.layers[run][0]): ax for run, ax in zip(runs, axes, strict=True)}
    figure, rows = grid(len(runs), choice.columns, aspect)
    width, height = figure.get_figwidth() / choice.columns, figure.get_figheight() / len(runs)
    named = layer_titles(every, 0.8 * width)
    panels: dict[tuple[str, str], Axes] = {}
    for run, row in zip(runs, rows, strict=True):
        for ax, layer in itertools.zip_longest(row, choice.layers[run]):
            if layer is None:
                ax.remove()
                continue
            panels[run, layer] = ax
            if width < _NARROWEST:
                ax.locator_params(axis="x", nbins=2)
            if run == runs[0] or not choice.alike:
                ax.set_title(named[layer], fontsize="small")
        if len(runs) > 1:
            row_title(panels[run, choice.layers[run][-1]], shown_name(run, 0.8 * height))
    return figure, panels


def row_title(ax: Axes, text: str) -> None:
    """A title to the right of a row, on its last panel."""
    ax.annotate(text, (1.0, 0.5), (3.0, 0.0), "axes fraction", "offset points", rotation=270, va="center", ha="left")


def label_once(figure: Figure, axes: Sequence[Axes]) -> None:
    """Labels and tick labels at the outer panels only; a label of several panels once, in their middle."""
    outer_labels(axes)
    specs = [ax.get_subplotspec() for ax in axes]
    if len({spec.colspan.start for spec in specs if spec}) > 1:
        figure.supxlabel(axes[0].get_xlabel(), fontsize="medium")
        for ax in axes:
            ax.xaxis.label.set_visible(False)
    if len({spec.rowspan.start for spec in specs if spec}) > 1:
        figure.supylabel(axes[0].get_ylabel(), fontsize="medium")
        for ax in axes:
            ax.yaxis.label.set_visible(False)


def legend_once(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend above all panels with every entry of their legends, in place of these."""
    entries: dict[str, Artist] = {}
    for ax in axes:
        legend = ax.get_legend()
        if legend is not None:
            for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
                if handle is not None:
                    handle.set_label(text.get_text())
                    entries.setdefault(text.get_text(), handle)
            legend.remove()
    legend_above(figure, list(entries.values()))


def same_limits(axes: Sequence[Axes]) -> None:
    """Give all panels the same limits, the widest; but the highest bottom of logarithmic axes, where it is a floor."""
    limits = [(*ax.get_xlim(), *ax.get_ylim()) for ax in axes]
    left, right, bottom, top = zip(*limits, strict=True)
    for ax in axes:
        ax.set_xlim(min(left), max(right))
        ax.set_ylim((max if ax.get_yscale() == "log" else min)(bottom), max(top))
