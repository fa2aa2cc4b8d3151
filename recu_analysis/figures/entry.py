"""One figure or table of the registry: how it is made, what its caption says, and whether it needs runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from recu_analysis.analysis.engine import Asked
    from recu_analysis.store.run import Run

    #: Runs by the labels that figures give them.
    Runs = Mapping[str, Run]


def _nothing(_: Runs) -> list[Asked[Any]]:
    return []


@dataclass(frozen=True, slots=True)
class Entry:
    """A figure of the registry.

    Attributes
    ----------
    draw : callable
        From runs to the figure and the data that it shows.
    title : str
        A few words, for a list.
    caption : str
        Plain text with mathematics between dollar signs.
    runs : bool
        Whether it shows runs; False for closed forms.
    asks : callable
        What it asks of runs, so that several figures read them once; raises what drawing it would.
    """

    draw: Callable[[Runs], tuple[Figure, pd.DataFrame]]
    title: str
    caption: str
    runs: bool = True
    asks: Callable[[Runs], list[Asked[Any]]] = _nothing


@dataclass(frozen=True, slots=True)
class TableEntry:
    """A table of the paper, which holds its reported values without any run.

    Attributes
    ----------
    title : str
        A few words, for a list.
    runs : bool
        Always False.
    """

    title: str
    runs: bool = False
