"""Fit a figure to any width: long labels on two lines, labels at the outer panels only, one legend for all panels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from recu_analysis.figures.print.style import current_venue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# A space outside of mathematics: an even number of dollar signs follows it.
_SPACE = re.compile(r" (?=[^$]*(?:\$[^$]*\$[^$]*)*$)")


def fit_labels(figure: Figure) -> None:
    """Break axis labels and titles that are longer than the side of their panel."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        box = axes.get_window_extent()
        for label, room in ((axes.xaxis.label, box.width), (axes.yaxis.label, box.height), (axes.title, box.width)):
            extent = label.get_window_extent()
            if max(extent.width, extent.height) > 1.08 * room:
                _break(label)


def _break(label: Text) -> None:
    """Replace the space nearest to the middle by a line break."""
    text = label.get_text()
    spaces = [found.start() for found in _SPACE.finditer(text)]
    if spaces and "\n" not in text:
        at = min(spaces, key=lambda space: abs(space - len(text) / 2))
        label.set_text(f"{text[:at]}\n{text[at + 1 :]}")


def legend_above(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend above all panels."""
    venue = current_venue()
    # A letter is about half as wide as high. The sample of a line is as wide as eight letters.
    letter = (0.6 if venue.sans else 0.5) * (venue.font_size - 1.0) / 72.0
    widest = (max(len(str(handle.get_label())) for handle in handles) + 8) * letter
    columns = min(len(handles), max(1, int(figure.get_figwidth() / widest)))
    figure.legend(handles=list(handles), loc="outside upper center", ncols=columns)


def shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Replace the legends of all panels by one above them: that of the first panel."""
    handles, _ = axes[0].get_legend_handles_labels()
    for ax in axes:
        legend = ax.get_legend()
        if legend is not None:
            legend.remove()
    legend_above(figure, handles)


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
