"""What a figure of the registry is: what it asks of runs, how that is drawn, and what its caption says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.store.run import Run

    #: Runs by the labels that figures give them.
    Runs = Mapping[str, Run]

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True)
class FigureSpec(Generic[Data]):
    """A figure of the registry.

    Attributes
    ----------
    query : callable
        From runs to the query of what the figure shows; whatever is read of runs, it reads.
    draw : callable
        From what the query found to the figure, and the table of what it shows.
    title : str
        A few words, for a list.
    caption : str
        Plain text with mathematics between dollar signs.
    runs : bool
        Whether it shows runs; False for closed forms.
    """

    query: Callable[[Runs], Query[Data]]
    draw: Callable[[Data], tuple[Figure, pd.DataFrame]]
    title: str
    caption: str
    runs: bool = True
