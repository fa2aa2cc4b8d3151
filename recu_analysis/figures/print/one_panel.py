"""One panel of a figure alone, with the labels that its neighbors showed for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def keep_panel(figure: Figure, number: int) -> None:
    """Remove all panels but one, which then fills the figure.

    Parameters
    ----------
    figure : Figure
        A figure of `recu_analysis.figures.print.style.panels`.
    number : int
        1 is the first panel, in the order of reading.

    Raises
    ------
    InputError
        If there is no such panel.
    """
    panels = [axes for axes in figure.axes if axes.get_subplotspec() is not None]
    if not 1 <= number <= len(panels):
        raise InputError(f"this figure has the panels 1 to {len(panels)}; there is no panel {number}")
    chosen = panels[number - 1]
    bars = _color_bars(chosen)
    for axes in set(figure.axes) - {chosen, *bars}:
        axes.remove()
    for bar in bars:
        # A color bar of several panels is now of this one.
        bar._colorbar_info["parents"] = [chosen]  # type: ignore[attr-defined]
    for label in (figure._supxlabel, figure._supylabel):  # type: ignore[attr-defined]
        if label is not None:
            label.remove()
    figure._supxlabel = figure._supylabel = None  # type: ignore[attr-defined]
    chosen.set_subplotspec(figure.add_gridspec(1, 1)[0])
    for axis in (chosen.xaxis, chosen.yaxis):
        axis.label.set_visible(True)
    chosen.tick_params(labelbottom=True, labelleft=True)


def _color_bars(axes: Axes) -> list[Axes]:
    bars = (drawn.colorbar for drawn in (*axes.collections, *axes.images))
    return [bar.ax for bar in bars if bar is not None]
