"""What several figures share: what they show of runs or of a table, colors, an axis of epochs or windows, panels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.errors import InputError
from recu_analysis.store.run import as_run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run

#: Levels of a curve over all tau, from just above 0.5, which is not one, to 1.
ALL_LEVELS = (0.5 + 1e-9, 1.0)
#: The layer of the paper's Fig. 2.
FIG2_LAYER = "layer2.0.conv2"
#: Epochs of the paper's training on CIFAR-10.
PAPER_EPOCHS = 600


def concat_runs(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of several runs as one, whose first column, run, has their labels."""
    labeled = [table.assign(run=label) for label, table in tables.items()]
    return pd.concat(labeled, ignore_index=True)[["run", *next(iter(tables.values())).columns]]


class Colored(NamedTuple):
    """A table of several runs or arms, and the look of each by its label."""

    table: pd.DataFrame
    palette: AnyPalette | None


def colored(runs: Runs, query: Query[pd.DataFrame]) -> Query[Colored]:
    """A query of runs, with the look of each run."""
    from recu_analysis.plots.arm_colors import of_runs

    return query.then(lambda table: Colored(table, of_runs(runs)))


def shown(
    data: SeveralRuns | pd.DataFrame, query: Callable[[Runs], Query[Colored]], palette: AnyPalette | None
) -> Colored:
    """What a plot of several runs shows: the caller's own table, or what a query finds of the runs.

    In the colors of the caller, where there are some.
    """
    if isinstance(data, pd.DataFrame):
        return Colored(data if "run" in data else data.assign(run="run"), palette)
    found = query(as_runs(data)).run()
    return found if palette is None else found._replace(palette=palette)


def table_of(data: OneRun | pd.DataFrame, query: Callable[[Run], Query[pd.DataFrame]]) -> pd.DataFrame:
    """What a plot of one run shows: the caller's own table, or what a query finds of the run."""
    return data if isinstance(data, pd.DataFrame) else query(as_run(data)).run()


def default_layer(run: Run) -> str:
    """The layer of the paper's Fig. 2, or one in the middle of a network that has none of that name."""
    names = run.layer_names
    return FIG2_LAYER if FIG2_LAYER in names else names[len(names) // 2]


class Timed(NamedTuple):
    """A table with a column epoch, and whether that has epochs; else it has the numbers of windows."""

    table: pd.DataFrame
    by_epoch: bool

    def name_axis(self, ax: Axes) -> Axes:
        """Say on the horizontal axis, which is labeled as epochs, where it has windows."""
        if not self.by_epoch:
            ax.set_xlabel("window")
        return ax


def updated(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Some columns of a `layer_table`, of its windows with updates.

    Raises
    ------
    InputError
        If the table lacks one of them.
    """
    missing = [name for name in ("updates", *columns) if name not in table]
    if missing:
        raise InputError(f"the table to draw lacks the column {missing[0]}; give what ra.layer_table returns, or a run")
    return table.loc[table["updates"] > 0, columns]


def over_time(table: pd.DataFrame) -> Timed:
    """The rows of a table whose windows have an epoch; where none was marked at all, windows are counted instead."""
    if "epoch" not in table or "window" not in table:
        raise InputError(
            "the table to draw lacks the column epoch or window; give the table of a run, or the run itself"
        )
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
