"""Parts that several figures share: data of runs or of a table, colors, an axis of epochs or windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.selection import select_windows, span_of
from recu_analysis.errors import InputError
from recu_analysis.store.run import as_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun, Run

#: The range of a curve over all levels tau. 0.5 itself is not a level.
ALL_LEVELS = (0.5 + 1e-9, 1.0)
#: The sentence of a caption about the final windows.
FINAL_WINDOWS = (
    "The final windows are the shortest run of last windows with a null autocorrelation of at most 1/2, or all "
    "of the training if there is no such run."
)
#: Epochs of the paper's training on CIFAR-10.
PAPER_EPOCHS = 600


class Colored(NamedTuple):
    """A table of several runs or arms, the look of each by its label, and sentences for the caption."""

    table: pd.DataFrame
    palette: AnyPalette | None
    note: str = ""

    def painted(self, palette: AnyPalette | None) -> Colored:
        """The same table in the caller's colors, if there are any."""
        return self if palette is None else self._replace(palette=palette)


def colored(runs: Runs, query: Query[pd.DataFrame], note: str = "") -> Query[Colored]:
    """A query of runs, with the look of each run, and sentences for the caption."""
    from recu_analysis.plots.arm_colors import of_runs

    return query.then(lambda table: Colored(table, of_runs(runs), note))


def note_of(data: Colored) -> str:
    """The sentences for the caption."""
    return data.note


def shown(
    data: SeveralRuns | pd.DataFrame, query: Callable[[Runs], Query[Colored]], palette: AnyPalette | None
) -> Colored:
    """The data of a plot of several runs: the caller's own table, or the result of a query.

    The caller's palette, if there is one, replaces the looks of the runs.
    """
    if isinstance(data, pd.DataFrame):
        return Colored(data if "run" in data else data.assign(run="run"), palette)
    return query(as_runs(data)).run().painted(palette)


def table_of(data: OneRun | pd.DataFrame, query: Callable[[Run], Query[pd.DataFrame]]) -> pd.DataFrame:
    """The data of a plot of one run: the caller's own table, or the result of a query.

    Raises
    ------
    InputError
        If several runs are given, or a table of several.
    """
    if not isinstance(data, pd.DataFrame):
        return query(as_run(data)).run()
    labels = list(data["run"].unique()) if "run" in data else []
    if len(labels) > 1:
        raise InputError(
            f"the table to draw holds {len(labels)} runs; give the rows of one, such as table[table.run == "
            f"{labels[0]!r}]"
        )
    return data


def moving_numbers(run: Run, windows: Windows | None) -> list[int] | None:
    """The numbers of the windows with updates that a caller asked for; None for all windows."""
    return None if windows is None else [each.number for each in select_windows(run, span_of(run, windows))]


class Timed(NamedTuple):
    """A table with a column epoch, and whether that column holds epochs or the numbers of windows."""

    table: pd.DataFrame
    by_epoch: bool

    def name_axis(self, ax: Axes) -> Axes:
        """Label the horizontal axis as windows if it does not show epochs."""
        if not self.by_epoch:
            ax.set_xlabel("window")
        return ax


def updated(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Some columns of a `layer_table`, for windows with updates.

    Raises
    ------
    InputError
        If the table lacks one of the columns.
    """
    missing = [name for name in ("updates", *columns) if name not in table]
    if missing:
        raise InputError(f"the table to draw lacks the column {missing[0]}; give a table from ra.layer_table, or a run")
    return table.loc[table["updates"] > 0, columns]


def over_time(table: pd.DataFrame) -> Timed:
    """The rows of a table that have an epoch. If no row has one, the numbers of windows take their place."""
    if "epoch" not in table or "window" not in table:
        raise InputError(
            "the table to draw lacks the column epoch or window; give the table of a run, or the run itself"
        )
    by_epoch = bool(table["epoch"].notna().any())
    epoch = table["epoch"] if by_epoch else table["window"].astype(float)
    return Timed(table.assign(epoch=epoch).dropna(subset="epoch"), by_epoch)
