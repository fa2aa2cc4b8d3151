"""The registry of figures: every figure and table of the paper by its name, and its query."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.query import attempt
from recu_analysis.errors import InputError, RecuError, unknown
from recu_analysis.figures.paper_tables import TABLES, PaperTable
from recu_analysis.figures.spec import OWN_CHOICE

if TYPE_CHECKING:
    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Asked, FigureSpec, Runs

# Each name is a module of this package. Its figure is FIGURE.
_NAMES = (
    *("fig2", "ridge", "magnitude", "silence", "layers", "fliplaw", "lockin", "survival", "mobility", "rho", "split"),
    *("causes", "trajectories"),
    *("fig5", "initscale", "layermap", "qe", "scores", "mask"),
    *("claims", "length", "fig3", "fig4", "schedule", "tradeoff", "ternary"),
    *("transitions", "occupancy", "oscillation"),
)
#: Figures of weights with more than two levels, and figures of any weights; all others are of signs.
OF_LEVELS = frozenset({"transitions", "occupancy", "oscillation"})
OF_ANY = frozenset({"fig5", "trajectories", "fliplaw", "lockin", "magnitude", "survival", "causes", "rho", "split"})
FIGURES: dict[str, FigureSpec[Any] | PaperTable] = {
    **{name: import_module(f"recu_analysis.figures.{name}").FIGURE for name in _NAMES},
    **TABLES,
}


def known_figure(name: str) -> FigureSpec[Any] | PaperTable:
    """The figure of that name; InputError with similar names if there is none."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name]


def fitting(runs: Runs) -> list[str]:
    """Names of the figures that hold for some layer of such runs, by its number of levels; closed forms always do."""
    binary = {spec.quantizer.binary for run in runs.values() for spec in run.header.layers}

    def fits(name: str) -> bool:
        if not FIGURES[name].runs or name in OF_ANY or name in TABLES:
            return bool(runs) or not FIGURES[name].runs
        return (name not in OF_LEVELS) in binary

    return [name for name in FIGURES if fits(name)]


def check_asked(name: str, asked: Asked) -> None:
    """InputError if the figure or table of this name does not heed all that is asked for."""
    takes = known_figure(name).takes
    for each in asked.given():
        if each not in takes:
            known = [other for other, figure in FIGURES.items() if each in figure.takes]
            raise InputError(f"the figure {name} takes no {each}; these figures do: {', '.join(known)}")


def figure_query(name: str, runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Any]:
    """The query of a figure. Its result is an error if the runs lack the data of the figure.

    Gather the queries of several figures to answer them in one pass over the runs.
    `recu_analysis.figures.drawing.write_figure` then draws each result.

    Parameters
    ----------
    name : str
        A key of `FIGURES`.
    runs : mapping of str to Run
        Runs by the labels that the figure gives them.
    asked : Asked, optional
        Layers, windows and colors. By default the figure's own choice.

    Raises
    ------
    InputError
        If there is no such figure, or it does not take what is asked for.
    """
    figure = known_figure(name)
    check_asked(name, asked)

    def make() -> Query[Any]:
        if figure.runs and not runs:
            raise InputError(f"the figure {name} needs runs; give at least one run directory")
        return figure.query(runs, asked)

    return attempt(make, RecuError)
