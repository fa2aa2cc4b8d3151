"""The registry of figures: every figure and table of the paper by its name, and its query."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.query import attempt
from recu_analysis.errors import InputError, RecuError, unknown
from recu_analysis.figures.paper_tables import TABLES, PaperTable

if TYPE_CHECKING:
    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import FigureSpec, Runs

# Each name is a module of this package. Its figure is FIGURE.
_NAMES = (
    *("fig2", "magnitude", "silence", "fliplaw", "lockin", "fig5", "initscale", "layermap", "qe", "scores", "mask"),
    *("claims", "fig3", "fig4", "schedule", "tradeoff"),
)
FIGURES: dict[str, FigureSpec[Any] | PaperTable] = {
    **{name: import_module(f"recu_analysis.figures.{name}").FIGURE for name in _NAMES},
    **TABLES,
}


def known_figure(name: str) -> FigureSpec[Any] | PaperTable:
    """The figure of that name; InputError with similar names if there is none."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name]


def figure_query(name: str, runs: Runs) -> Query[Any]:
    """The query of a figure. Its result is an error if the runs lack the data of the figure.

    Gather the queries of several figures to answer them in one pass over the runs.
    `recu_analysis.figures.drawing.draw_figure` then draws each result.

    Parameters
    ----------
    name : str
        A key of `FIGURES`.
    runs : mapping of str to Run
        Runs by the labels that the figure gives them.

    Raises
    ------
    InputError
        If there is no such figure.
    """
    figure = known_figure(name)

    def make() -> Query[Any]:
        if figure.runs and not runs:
            raise InputError(f"the figure {name} needs runs; give at least one run directory")
        return figure.query(runs)

    return attempt(make, RecuError)
