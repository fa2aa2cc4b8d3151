"""Fit a figure to any width: long labels on two lines, labels at the outer panels only, one legend for all panels."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.figures.print.style import current_venue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text

# A space outside of mathematics: an even number of dollar signs follows it.
_SPACE = re.compile(r" (?=[^$]*(?:\$[^$]*\$[^$]*)*$)")
# Entries of a legend that may stand in one column.
_ONE_COLUMN = 4
# How much longer than the side of its panel a line of a vertical label may be: there is room above and below.
_OVER = 1.25
# A letter of a text, with the backslash that escapes it.
_LETTER = re.compile(r"\\.|.", re.DOTALL)


def fit_labels(figure: Figure) -> None:
    """Break axis labels and titles that are longer than the side of their panel; cut titles that are then too long."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_window_extent()
        for label, room in ((axes.xaxis.label, box.width), (axes.yaxis.label, box.height), (axes.title, box.width)):
            extent = label.get_window_extent()
            length = max(extent.width, extent.height)
            if length > 1.08 * room:
                _break(label, room * (_OVER if label is axes.yaxis.label else 1.0))
        edge = figure.bbox.x1
        centered = min(1.08 * box.width, 2.0 * edge - box.x0 - box.x1)
        left: Text = axes._left_title  # type: ignore[attr-defined]  # above a row of panels; it has no public name
        for title, room in ((axes.title, centered), (left, edge - box.x0)):
            if title.get_window_extent().width > room:
                _shorten(title, room)


def _break(label: Text, room: float) -> None:
    """Break a text on two lines: before its unit if both fit in `room`, else near the middle."""
    text = label.get_text()
    spaces = [found.start() for found in _SPACE.finditer(text)]
    if not spaces or "\n" in text:
        return
    before_unit = [space for space in spaces if text.startswith((" (", " per "), space)]
    for at in (*before_unit[:1], min(spaces, key=lambda space: max(space, len(text) - space))):
        label.set_text(f"{text[:at]}\n{text[at + 1 :]}")
        extent = label.get_window_extent()
        if max(extent.width, extent.height) <= room:
            return


def legend_above(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend above all panels, in as few rows as fit; a label that is wider than its column loses its middle.

    More than four entries have at least two columns. A legend of more than two rows makes the figure higher, up to the
    height of the page.
    """
    entries = list(handles)
    least = 1 if len(entries) <= _ONE_COLUMN else 2
    for columns in range(len(entries), least - 1, -1):
        # Rows are equally long if possible: four entries are two and two, not three and one.
        if math.ceil(len(entries) / math.ceil(len(entries) / columns)) != columns:
            continue
        legend = figure.legend(handles=entries, loc="outside upper center", ncols=columns)
        if legend.get_window_extent().width <= figure.bbox.width:
            break
        if columns > least:
            legend.remove()
    else:
        _shorten_all(legend, columns, figure.bbox.width)
    rows, height = math.ceil(len(entries) / columns), figure.get_figheight()
    more = (1 - 2 / rows) * legend.get_window_extent().height / figure.dpi
    figure.set_figheight(max(height, min(height + more, current_venue().height)))


def _shorten_all(legend: Legend, columns: int, room: float) -> None:
    """Shorten the labels of a legend, so that its columns fit in a width."""
    widths = [text.get_window_extent().width for text in legend.get_texts()]
    samples = legend.get_window_extent().width - sum(max(part) for part in np.array_split(widths, columns))
    for text in legend.get_texts():
        _shorten(text, (room - samples) / columns)


def _shorten(text: Text, room: float) -> None:
    """Cut letters out of the middle of a text until it is no wider than `room`, or two letters are left."""
    letters = _LETTER.findall(text.get_text())
    half = len(letters) // 2
    while text.get_window_extent().width > room and half > 1:
        half -= 1
        text.set_text("".join([*letters[:half], "\N{HORIZONTAL ELLIPSIS}", *letters[-half:]]))


def shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Replace the legends of all panels by one above them: that of the first panel."""
    handles, _ = axes[0].get_legend_handles_labels()
    for ax in axes:
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
    legend_above(figure, handles)


def share_x_label(figure: Figure, axes: Sequence[Axes]) -> None:
    """Label the horizontal axes that all panels have in common once: below them, or below the last of a column."""
    for ax in axes[:-1]:
        ax.xaxis.label.set_visible(False)
    if len({spec.colspan.start for ax in axes if (spec := ax.get_subplotspec())}) > 1:
        axes[-1].xaxis.label.set_visible(False)
        figure.supxlabel(axes[-1].get_xlabel(), fontsize="medium")
    else:
        for ax in axes[:-1]:
            ax.tick_params(labelbottom=False)


def outer_labels(axes: Sequence[Axes]) -> None:
    """Keep axis labels and tick labels only where no panel is to the left or below."""
    cells = {}
    for ax in axes:
        spec = ax.get_subplotspec()
        if spec is not None:
            cells[spec.rowspan.start, spec.colspan.start] = ax
    for (row, column), ax in cells.items():
        if (row + 1, column) in cells:
            ax.tick_params(axis="x", labelbottom=False)
            ax.xaxis.label.set_visible(False)
        if (row, column - 1) in cells:
            ax.tick_params(axis="y", labelleft=False)
            ax.yaxis.label.set_visible(False)
