"""The paper's Fig. 5: training and validation accuracy over the epochs, seeds as bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.arm_names import named_arms
from recu_analysis.analysis.logged import logged
from recu_analysis.analysis.query import value
from recu_analysis.errors import InputError
from recu_analysis.figures.shared import Colored, concat_runs
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run

_ACCURACIES = ("train_top1", "val_top1")
#: What a caption says of lines and bands.
BANDS = "Line: mean over the seeds of an arm; band: from the least to the greatest of them."


def plot_training(runs: Runs, quantity: str = "val_top1", ax: Axes | None = None) -> Axes:
    """A logged quantity over the epochs, one line an arm, its seeds as a band (the paper's Fig. 5).

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels; seeds of one experiment are one arm, see `recu_analysis.analysis.arms.arms`.
    quantity : {"train_top1", "val_top1", "train_loss", "val_loss"}
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.training import curves

    data = curve_data(named_arms(runs), (quantity,))
    return curves(data.table, quantity, ax, palette=data.palette)


def plot_accuracy(runs: Runs, ax: Axes | None = None) -> Axes:
    """Training and validation accuracy over the epochs, one colour a run.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels that the legend gives them.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.arm_colors import of_runs
    from recu_analysis.plots.training import accuracy

    data = concat_runs({label: _epochs(label, run, _ACCURACIES) for label, run in runs.items()})
    return accuracy(data, ax, palette=of_runs(runs))


def curve_data(found: Mapping[str, Arm], quantities: Sequence[str]) -> Colored:
    """What runs logged at each epoch: arm, run, epoch, and the quantities; and the look of each arm.

    Raises
    ------
    InputError
        If a run did not log one of them.
    """
    from recu_analysis.plots.arm_colors import of_arms

    tables = [
        _epochs(label, run, quantities).assign(arm=name, run=label)
        for name, arm in found.items()
        for label, run in arm.runs.items()
    ]
    table = pd.concat(tables, ignore_index=True)[["arm", "run", "epoch", *quantities]]
    return Colored(table, of_arms(found))


def _epochs(label: str, run: Run, quantities: Sequence[str]) -> pd.DataFrame:
    """Epochs of a run and what was logged with them."""
    for name in ("epoch", *quantities):
        if logged(run, name).empty:
            raise InputError(f"run {label} logged no {name}; give it to mark(), as in mark(epoch=3, {name}=...)")
    return logged(run, "epoch", *quantities)


def query(runs: Runs) -> Query[Colored]:
    """The accuracies that the runs logged."""
    return value(curve_data(named_arms(runs), _ACCURACIES))


def draw(data: Colored) -> tuple[Figure, pd.DataFrame]:
    """Training and validation side by side, with one legend."""
    from recu_analysis.figures.print.fitting import shared_legend
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.training import curves

    figure, axes = panels(2)
    for ax, name, title in zip(axes, _ACCURACIES, ("(a) training", "(b) validation"), strict=True):
        curves(data.table, name, ax, palette=data.palette).set_title(title)
    shared_legend(figure, axes)
    return figure, data.table


FIGURE = FigureSpec(
    query,
    draw,
    "training and validation accuracy, seeds as bands (the paper's Fig. 5)",
    f"Training (a) and validation (b) accuracy. {BANDS} The first epochs lie partly below the axes.",
)
