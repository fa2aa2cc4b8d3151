"""A figure of the registry: its query, its drawing and its caption, and what a caller may ask of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import Run

    #: Runs by the labels that figures give them.
    Runs = Mapping[str, Run]

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller asks a figure to show instead of its own choice; None is the figure's choice.

    Attributes
    ----------
    layers : str or sequence of str, optional
        Names of layers, or patterns.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers.
    palette : mapping of str to color, or sequence of colors, optional
        Colors of runs or arms by their labels, or in their order.
    """

    layers: Sequence[str] | str | None = None
    windows: Windows | None = None
    palette: AnyPalette | None = None

    def given(self) -> list[str]:
        """The names of what is asked for."""
        return [each.name for each in fields(self) if getattr(self, each.name) is not None]


#: Nothing is asked for.
OWN_CHOICE = Asked()


def nothing_to_add(_: Any) -> str:
    """The note of a figure whose caption is the same for all data."""
    return ""


@dataclass(frozen=True, slots=True)
class FigureSpec(Generic[Data]):
    """A figure of the registry.

    Attributes
    ----------
    query : callable
        From runs and what is asked for to the query of the data of the figure. Only this query reads runs.
    draw : callable
        From the result of the query, and what is asked for, to the figure and the table of its data.
    title : str
        A few words, for a list.
    caption : str
        Plain text with mathematics between dollar signs.
    runs : bool
        Whether it shows runs; False for closed forms.
    takes : tuple of str
        The fields of `Asked` that it heeds. Others are refused.
    note : callable
        From the result of the query to sentences at the end of the caption, such as the layer that is shown.
    """

    query: Callable[[Runs, Asked], Query[Data]]
    draw: Callable[[Data, Asked], tuple[Figure, pd.DataFrame]]
    title: str
    caption: str
    runs: bool = True
    takes: tuple[str, ...] = ()
    note: Callable[[Data], str] = nothing_to_add
