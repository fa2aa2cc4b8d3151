"""What several figures share: one table of runs, their colors, an axis of epochs or windows, a panel each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import Palette

#: Levels of a curve over all tau, from just above 0.5, which is not one, to 1.
ALL_LEVELS = (0.5 + 1e-9, 1.0)
#: Epochs of the paper's training on CIFAR-10.
PAPER_EPOCHS = 600


def concat_runs(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of several runs as one, whose first column, run, has their labels."""
    labeled = [table.assign(run=label) for label, table in tables.items()]
    return pd.concat(labeled, ignore_index=True)[["run", *next(iter(tables.values())).columns]]


class Colored(NamedTuple):
    """A table of several runs or arms, and the look of each by its label."""

    table: pd.DataFrame
    palette: Palette


def colored(runs: Runs, query: Query[pd.DataFrame]) -> Query[Colored]:
    """A query of runs, with the look of each run."""
    from recu_analysis.plots.arm_colors import of_runs

    return query.then(lambda table: Colored(table, of_runs(runs)))


class Timed(NamedTuple):
    """A table with a column epoch, and whether that has epochs; else it has the numbers of windows."""

    table: pd.DataFrame
    by_epoch: bool

    def name_axis(self, ax: Axes) -> Axes:
        """Say on the horizontal axis, which is labeled as epochs, where it has windows."""
        if not self.by_epoch:
            ax.set_xlabel("window")
        return ax


def over_time(table: pd.DataFrame) -> Timed:
    """The rows of a table whose windows have an epoch; where none was marked at all, windows are counted instead."""
    by_epoch = bool(table["epoch"].notna().any())
    epoch = table["epoch"] if by_epoch else table["window"].astype(float)
    return Timed(table.assign(epoch=epoch).dropna(subset="epoch"), by_epoch)


def panel_each(labels: Collection[str]) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel for each run, by their labels; call it within `style`."""
    from recu_analysis.figures.print.style import panels

    figure, axes = panels(len(labels), "page" if len(labels) > 1 else "column")
    return figure, dict(zip(labels, axes, strict=True))


def same_limits(axes: Sequence[Axes]) -> None:
    """Give all panels the same limits: as wide and as high as the widest and the highest, from the highest bottom."""
    limits = [(*ax.get_xlim(), *ax.get_ylim()) for ax in axes]
    left, right, bottom, top = zip(*limits, strict=True)
    for ax in axes:
        ax.set_xlim(min(left), max(right))
        ax.set_ylim(max(bottom), max(top))
