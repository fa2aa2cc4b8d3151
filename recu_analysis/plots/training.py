"""Accuracy of runs over their training: the paper's Fig. 5."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from recu_analysis.plots._axes import by_run, epochs, require, target
from recu_analysis.plots.style import DASHED, MARKER_RIM

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

# The first epochs rise steeply; what comes after this share of the training decides the axis.
_START: Final = 0.15


def accuracy(data: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Training (dashed) and validation (solid) accuracy over the epochs, one colour and marker a run (Fig. 5).

    The accuracy axis holds everything after the first 15 % of the epochs, so that its top can be read; the
    curves enter it from below.

    Parameters
    ----------
    data : DataFrame
        One row a run and epoch: `run` (label), `epoch`, `train_top1`, `val_top1` (percent). NaN leaves a gap.
    ax : Axes, optional
        pyplot's current one by default.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("run", "epoch", "train_top1", "val_top1"))
    axes = target(ax)
    every = max(1, round(data["epoch"].nunique() / 8))
    for run, rows, colour, marker in by_run(data, "epoch"):
        axes.plot(rows["epoch"], rows["train_top1"], color=colour, linestyle=DASHED, linewidth=0.8)
        (line,) = axes.plot(rows["epoch"], rows["val_top1"], color=colour, marker=marker, markevery=every, label=run)
        line.set(**MARKER_RIM)
    _limits(axes, data)
    epochs(axes)
    axes.set_ylabel("top-1 accuracy (%)")
    _legend(axes)
    return axes


def _limits(axes: Axes, data: pd.DataFrame) -> None:
    """Limits that show the top end, from the values after the first epochs."""
    first, last = data["epoch"].min(), data["epoch"].max()
    values = (
        data.loc[data["epoch"] >= first + _START * (last - first), ["train_top1", "val_top1"]].melt()["value"].dropna()
    )
    if not values.empty:
        margin = 0.04 * max(values.max() - values.min(), 1.0)
        axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
        axes.set_ylim(max(0.0, values.min() - margin), values.max() + margin)


def _legend(axes: Axes) -> None:
    """Runs by colour and marker, what was measured by dashes; above the axes, where no curve can be."""
    runs, _ = axes.get_legend_handles_labels()
    training = Line2D([], [], color="0.25", linestyle=DASHED, linewidth=0.8, label="training")
    validation = Line2D([], [], color="0.25", label="validation")
    axes.legend(handles=[*runs, training, validation], ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))
