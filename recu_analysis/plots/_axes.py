"""The common steps of every plot: find its Axes, check its table and its palette, set properties of artists."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.artist import ArtistInspector
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recu_analysis.analysis.column_names import statistic
from recu_analysis.analysis.markup import in_mathtext
from recu_analysis.errors import InputError, kind_of_value, unknown
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.names import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.artist import Artist

    from recu_analysis.plots.arm_colors import AnyPalette


def target(ax: Axes | None) -> Axes:
    """The Axes to draw into, pyplot's current one by default, without its upper and right spines."""
    axes = _current() if ax is None else ax
    if not isinstance(axes, Axes):
        raise InputError(f"ax must be one matplotlib Axes, such as axes[0] of several, not {kind_of_value(ax)}")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _current() -> Axes:
    """The current Axes of pyplot, which is imported only here, because it needs the backend of the user."""
    import matplotlib.pyplot as plt

    return plt.gca()


def require(data: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that a table is a DataFrame with these columns and at least one row.

    Raises
    ------
    InputError
        If it is not. The message names every missing column.
    """
    if not isinstance(data, pd.DataFrame):
        raise InputError(f"the table to draw must be a DataFrame, not {kind_of_value(data)}")
    missing = [name for name in columns if name not in data.columns]
    if missing:
        raise InputError(f"the table to draw lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    if data.empty:
        raise InputError("the table to draw has no rows")


def epochs(axes: Axes) -> None:
    """Label the x axis as epochs, with whole numbers as ticks."""
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel(heading_of("epoch"))


def heading_of(name: str) -> str:
    """Label and unit of a column for an axis. The numbers are multiplied by its factor."""
    return in_mathtext(statistic(name).heading)


def label_of(name: str) -> str:
    """Label of a column for an axis. The numbers are those of the column."""
    return in_mathtext(statistic(name).label)


def by_run(
    data: pd.DataFrame,
    order: str,
    column: str = "run",
    palette: AnyPalette | None = None,
    label: str | None = None,
) -> Iterator[tuple[str, pd.DataFrame, str, str]]:
    """Label, rows sorted by the column `order`, color and marker of every run or arm, in order of appearance.

    Raises
    ------
    InputError
        If a run or arm is not in the palette, or one label is given for several.
    """
    groups = [(str(name), rows) for name, rows in data.groupby(column, sort=False, observed=True)]
    one_series(len(groups), label, column)
    looks = looks_of([name for name, _ in groups], palette, column)
    for name, rows in groups:
        yield text_of(name if label is None else label), rows.sort_values(order), *looks[name]


def one_series(count: int, label: str | None, column: str) -> None:
    """InputError if one label is given for several series."""
    if label is not None and count > 1:
        raise InputError(
            f"label={label!r:.60} names one {column}, and {count} are drawn; give the names as keys of a mapping, "
            f"or in the column {column} of the table"
        )


def part_label(part: str, label: str | None) -> str:
    """The name of a part of a plot, such as its tail, in the legend; with the label of the plot if there is one."""
    return part if label is None else f"{label}, {part}"


def restyle(artist: Artist, properties: Mapping[str, Any]) -> None:
    """Set the caller's properties on an artist. They replace those of the plot.

    Raises
    ------
    InputError
        If the artist has no such property, or does not take its value.
    """
    if not properties:
        return
    inspector, kind = ArtistInspector(artist), type(artist).__name__
    known = {*inspector.get_setters(), *chain.from_iterable(inspector.get_aliases().values())}
    for name in properties:
        if name not in known:
            raise unknown(f"property of {kind}", name, sorted(known))
    try:
        artist.set(**properties)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind} does not take these properties: {error!s:.200}") from None
