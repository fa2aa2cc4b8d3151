"""Fit a figure to any width: long labels on two lines, labels at the outer panels only, one legend for all panels."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# A space outside of mathematics: an even number of dollar signs follows it.
_SPACE = re.compile(r" (?=[^$]*(?:\$[^$]*\$[^$]*)*$)")
# A letter of a text, with the backslash that escapes it.
_LETTER = re.compile(r"\\.|.", re.DOTALL)


def fit_labels(figure: Figure) -> None:
    """Break axis labels and titles that are longer than the side of their panel."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_window_extent()
        for label, room in ((axes.xaxis.label, box.width), (axes.yaxis.label, box.height), (axes.title, box.width)):
            extent = label.get_window_extent()
            length = max(extent.width, extent.height)
            if length > 1.08 * room:
                _break(label, room / length)


def _break(label: Text, share: float) -> None:
    """Break a text on two lines: before its unit if a line has room for `share` of the letters, else near the middle."""
    text = label.get_text()
    spaces = [found.start() for found in _SPACE.finditer(text)]
    if not spaces or "\n" in text:
        return

    def longest(at: int) -> int:
        return max(at, len(text) - at)

    at = min(spaces, key=longest)
    before_unit = [space for space in spaces if text.startswith((" (", " per "), space)]
    if before_unit and longest(before_unit[0]) <= max(longest(at), share * len(text)):
        at = before_unit[0]
    label.set_text(f"{text[:at]}\n{text[at + 1 :]}")


def legend_above(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend above all panels, in as few rows as fit. A label that is wider than the figure loses its middle."""
    entries = list(handles)
    for columns in range(len(entries), 0, -1):
        # Rows are equally long if possible: four entries are two and two, not three and one.
        if math.ceil(len(entries) / math.ceil(len(entries) / columns)) != columns:
            continue
        legend = figure.legend(handles=entries, loc="outside upper center", ncols=columns)
        if legend.get_window_extent().width <= figure.bbox.width:
            return
        if columns > 1:
            legend.remove()
    samples = legend.get_window_extent().width - max(text.get_window_extent().width for text in legend.get_texts())
    for text in legend.get_texts():
        _shorten(text, (figure.bbox.width - samples) / text.get_window_extent().width)


def _shorten(text: Text, share: float) -> None:
    """Cut letters out of the middle of a text until about a share of its width is left."""
    letters = _LETTER.findall(text.get_text())
    if share < 1.0:
        half = max(1, int(0.95 * share * len(letters)) // 2)
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
