"""What every plot does: find its Axes, check its table and its palette, and restyle what it drew."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.artist import ArtistInspector
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recu_analysis.analysis.markup import in_mathtext
from recu_analysis.analysis.vocabulary import statistic
from recu_analysis.errors import InputError, kind_of_value, unknown
from recu_analysis.plots.arm_colors import looks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from matplotlib.artist import Artist

    from recu_analysis.plots.arm_colors import AnyPalette


def target(ax: Axes | None) -> Axes:
    """The Axes to draw into, pyplot's current one by default, without its upper and right spines."""
    axes = plt.gca() if ax is None else ax
    if not isinstance(axes, Axes):
        raise InputError(f"ax must be one matplotlib Axes, such as axes[0] of several, not {kind_of_value(ax)}")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def require(data: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that a table is one, and that it has these columns and at least one row.

    Raises
    ------
    InputError
        Naming every column that is missing.
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
    """Label and unit of a column as an axis has them, for numbers times its factor."""
    return in_mathtext(statistic(name).heading)


def label_of(name: str) -> str:
    """The label of a column, for numbers as they are in it."""
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
        If a run or arm is not in the palette, or there is a label for several.
    """
    groups = [(str(name), rows) for name, rows in data.groupby(column, sort=False, observed=True)]
    one_series(len(groups), label, column)
    looks = looks_of([name for name, _ in groups], palette, column)
    for name, rows in groups:
        yield name if label is None else label, rows.sort_values(order), *looks[name]


def one_series(count: int, label: str | None, column: str) -> None:
    """InputError where a label is given for several series, which have labels of their own."""
    if label is not None and count > 1:
        raise InputError(
            f"label={label!r:.60} names one {column}, and {count} are drawn; name each by its key in a mapping, or in "
            f"the column {column} of the table"
        )


def part_label(part: str, label: str | None) -> str:
    """What the legend calls a part of a plot, such as its tail, where the plot may have a label."""
    return part if label is None else f"{label}, {part}"


def restyle(artist: Artist, properties: Mapping[str, Any]) -> None:
    """Give what was drawn the properties that the caller asked for, over those of the plot.

    Raises
    ------
    InputError
        If the artist has no such property, or not that value of it.
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
        raise InputError(f"{kind} cannot be drawn so: {error!s:.200}") from None
