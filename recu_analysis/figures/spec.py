"""A figure of the registry: its query, its drawing and its caption."""

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
        From runs to the query of the data of the figure. Only this query reads runs.
    draw : callable
        From the result of the query to the figure, and the table of its data.
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
