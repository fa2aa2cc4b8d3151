"""Accuracy and loss over the training: one line per run, or per arm with its seeds as a band (the paper's Fig. 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from recu_analysis.errors import unknown
from recu_analysis.plots._axes import by_run, epochs, heading_of, require, restyle, target
from recu_analysis.plots.palette import DASHED, MARKER_RIM

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

_ACCURACIES: Final = ("train_top1", "val_top1")
# The axis label of both accuracies. Legends and titles distinguish them.
_ACCURACY: Final = "top-1 accuracy (%)"
# Accuracy rises steeply in the first epochs. Those before this share of the training may be below the axis.
_START: Final = 0.15
# They are, if the axis would be more than this many times as long.
_LONGEST: Final = 2.0


def accuracy(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Training (dashed) and validation (solid) accuracy over the epochs, one color and marker per run (Fig. 5).

    In a table with a column arm, each line is the mean over the runs of an arm, and validation has a band from the
    lowest to the highest run.

    The first 15 % of the epochs are below the axis if they would more than double it, so that the top is readable.

    Parameters
    ----------
    data : DataFrame
        One row per run and epoch: `run` (label), `epoch`, `train_top1`, `val_top1` (percent), and maybe `arm` (label).
        NaN leaves a gap.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run or arm, by its label or in order; `recu_analysis.plots.arm_colors.of_runs` gives
        markers too. By default a fixed list of colors.
    label : str, optional
        The name of the run or arm in the legend, if the table has only one.
    **properties
        Properties of the lines of validation accuracy, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("run", "epoch", "train_top1", "val_top1"))
    axes = target(ax)
    every = max(1, round(data["epoch"].nunique() / 8))
    column = "arm" if "arm" in data else "run"
    for name, rows, color, marker in by_run(data, "epoch", column, palette, label):
        train, val = (rows.groupby("epoch")[quantity].agg(["mean", "min", "max"]) for quantity in _ACCURACIES)
        if column == "arm":
            axes.fill_between(val.index, val["min"], val["max"], color=color, alpha=0.25, linewidth=0.0)
        axes.plot(train.index, train["mean"], color=color, linestyle=DASHED, linewidth=0.8)
        (line,) = axes.plot(val.index, val["mean"], color=color, marker=marker, markevery=every)
        line.set(label=_named(name, rows) if column == "arm" else name, **MARKER_RIM)
        restyle(line, properties)
    _limits(axes, data, _ACCURACIES)
    epochs(axes)
    axes.set_ylabel(_ACCURACY)
    _legend(axes)
    return axes


_QUANTITIES: Final = (*_ACCURACIES, "train_loss", "val_loss")


def curves(
    data: pd.DataFrame,
    *,
    quantity: str,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """A quantity over the epochs, one line per arm, in a band from the lowest to the highest of its runs.

    Accuracies get the axis of `accuracy`, losses a logarithmic one. With a column mark instead of epoch, the axis
    counts marks.

    Parameters
    ----------
    data : DataFrame
        One row per run and epoch: `arm` and `run` (labels), `epoch` or `mark`, and the quantity. NaN leaves a gap.
    quantity : {"train_top1", "val_top1", "train_loss", "val_loss"}
        percent, or nats.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each arm, by its label or in order; `recu_analysis.plots.arm_colors.of_runs` gives
        markers too. By default a fixed list of colors.
    label : str, optional
        The name of the arm in the legend, if the table has only one.
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If the quantity is unknown, a column is missing, there is no row, or the palette, the label or a property does
        not fit.
    """
    if quantity not in _QUANTITIES:
        raise unknown("quantity to draw", quantity, _QUANTITIES)
    time = time_of(data)
    require(data, ("arm", "run", time, quantity))
    axes = target(ax)
    every = max(1, round(data[time].nunique() / 8))
    for number, (arm, rows, color, marker) in enumerate(by_run(data, time, "arm", palette, label)):
        seeds = rows.groupby(time)[quantity].agg(["mean", "min", "max"])
        axes.fill_between(seeds.index, seeds["min"], seeds["max"], color=color, alpha=0.25, linewidth=0.0)
        # If two arms coincide, the markers of both are visible.
        at = (number * every // 2 % every, every)
        (line,) = axes.plot(
            seeds.index, seeds["mean"], color=color, marker=marker, markevery=at, label=_named(arm, rows)
        )
        line.set(**MARKER_RIM)
        restyle(line, properties)
    if quantity.endswith("loss"):
        _logarithmic(axes, data[quantity])
    else:
        _limits(axes, data, [quantity])
    epochs(axes)
    if time == "mark":
        axes.set_xlabel("mark")
    axes.set_ylabel(heading_of(quantity) if quantity.endswith("loss") else _ACCURACY)
    axes.legend(loc="best")
    return axes


def _logarithmic(axes: Axes, values: pd.Series[float]) -> None:
    """A logarithmic axis with plain numbers, and with more of them on a short range."""
    positive = values[values > 0]
    span = positive.max() / positive.min() if len(positive) else 1.0
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=range(1, 10) if span < 10 else (1, 2, 5) if span < 300 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _named(arm: str, rows: pd.DataFrame) -> str:
    count = rows["run"].nunique()
    return f"{arm} ({count} seeds)" if count > 1 else arm


def time_of(data: pd.DataFrame) -> str:
    """The column of the horizontal axis: epoch, or mark in a table without epochs."""
    return "mark" if "mark" in data and "epoch" not in data else "epoch"


def limits_of(data: pd.DataFrame, columns: Sequence[str]) -> tuple[float, float] | None:
    """Limits of an axis of accuracies; without the first epochs if these would make the top hard to read.

    None if there is no such value.
    """
    time = data[time_of(data)]
    late = data.loc[time >= time.min() + _START * (time.max() - time.min()), list(columns)]
    if late.isna().to_numpy().all():
        return None
    (low, high), every = (late.min().min(), late.max().max()), data[list(columns)]
    if high - every.min().min() <= _LONGEST * (high - low):
        low, high = every.min().min(), every.max().max()
    margin = 0.04 * max(high - low, 1.0)
    return max(0.0, low - margin), high + margin


def _limits(axes: Axes, data: pd.DataFrame, columns: Sequence[str]) -> None:
    limits = limits_of(data, columns)
    if limits is not None:
        axes.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))
        axes.set_ylim(limits)


def _legend(axes: Axes) -> None:
    """A legend above the axes, clear of all curves: runs by color and marker, training and validation by dashes."""
    runs, _ = axes.get_legend_handles_labels()
    training = Line2D([], [], color="0.25", linestyle=DASHED, linewidth=0.8, label="training")
    validation = Line2D([], [], color="0.25", label="validation")
    axes.legend(handles=[*runs, training, validation], ncols=2, loc="lower left", bbox_to_anchor=(0.0, 1.0))
