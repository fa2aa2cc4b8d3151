"""What every plot does first: find its Axes and check that its table has what it draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from recu_analysis.analysis.markup import in_mathtext
from recu_analysis.analysis.vocabulary import statistic
from recu_analysis.errors import InputError, unknown
from recu_analysis.plots.arm_colors import by_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import Palette


def target(ax: Axes | None) -> Axes:
    """The Axes to draw into, pyplot's current one by default, without its upper and right spines."""
    axes = plt.gca() if ax is None else ax
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def require(data: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that a table has these columns and at least one row.

    Raises
    ------
    InputError
        Naming every column that is missing.
    """
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
    data: pd.DataFrame, order: str, column: str = "run", palette: Palette | None = None
) -> Iterator[tuple[str, pd.DataFrame, str, str]]:
    """Label, rows sorted by the column `order`, color and marker of every run or arm, in order of appearance.

    Raises
    ------
    InputError
        If there is a palette, and a run or arm is not in it.
    """
    groups = [(str(label), rows) for label, rows in data.groupby(column, sort=False, observed=True)]
    looks = by_order(label for label, _ in groups) if palette is None else palette
    for label, rows in groups:
        if label not in looks:
            raise unknown(f"{column} of the palette", label, looks)
        yield label, rows.sort_values(order), *looks[label]
