"""How signs flip: the flip law, measured against predicted, and how signs lock in over a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from recu_analysis.analysis.vocabulary import statistic
from recu_analysis.plots._axes import by_run, epochs, heading_of, label_of, require, target
from recu_analysis.plots.palette import DASHED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import Palette


def flip_law(data: pd.DataFrame, ax: Axes | None = None, *, palette: Palette | None = None) -> Axes:
    """Measured flip ratio against that predicted by the density of z at 0 times mobility; dashed: equal.

    Parameters
    ----------
    data : DataFrame
        One row a run, layer and window: `run` (label), `flip_ratio`, `flip_ratio_predicted` (flips per weight and
        update). Rows without a flip are left out; the axes are logarithmic where the rest spans a decade.
    ax : Axes, optional
        pyplot's current one by default.
    palette : mapping of str to Look, optional
        Colors and markers by label, as of `recu_analysis.plots.arm_colors.of_runs`; by order of appearance by default.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("run", "flip_ratio", "flip_ratio_predicted"))
    axes = target(ax)
    columns = ["flip_ratio", "flip_ratio_predicted"]
    shown = data[(data[columns] > 0).all(axis=1)]
    shown = shown.assign(**{name: statistic(name).factor * shown[name] for name in columns})
    both = shown[columns].to_numpy()
    low, high = (both.min(), both.max()) if len(shown) else (0.1, 10.0)
    wide = high > 10 * low
    ends = np.array([low / 1.3 if wide else 0.0, high * (1.3 if wide else 1.1)])
    axes.plot(ends, ends, color="0.35", linestyle=DASHED, linewidth=0.8)
    for run, rows, color, marker in by_run(shown, "flip_ratio_predicted", palette=palette):
        axes.plot(
            rows["flip_ratio_predicted"],
            rows["flip_ratio"],
            linestyle="none",
            marker=marker,
            markersize=2.2,
            markeredgewidth=0.0,
            color=color,
            alpha=0.6,
            label=run,
        )
    if wide:
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ends[1] < 100 * ends[0] else (1.0,)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    axes.set(xlim=ends, ylim=ends, box_aspect=1.0)
    axes.set_xlabel(heading_of("flip_ratio_predicted"))
    axes.set_ylabel("measured")
    if len(shown):
        axes.legend(handletextpad=0.1, markerscale=1.6)
    return axes


def lock_in(data: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Weights that never flip again after an epoch, by layer and their median; dashed: autocorrelation to the end.

    Parameters
    ----------
    data : DataFrame
        One row a layer and window: `layer`, `epoch`, `locked_fraction`, `autocorrelation_to_end`.
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
    require(data, ("layer", "epoch", "locked_fraction", "autocorrelation_to_end"))
    axes = target(ax)
    ordered = data.sort_values("epoch")
    for _, rows in ordered.groupby("layer", sort=False, observed=True):
        axes.plot(rows["epoch"], rows["locked_fraction"], color="#9ecae1", linewidth=0.5, zorder=1.9)
    middle = ordered.groupby("epoch")[["locked_fraction", "autocorrelation_to_end"]].median()
    # Both end at 1, on the frame, where they stay whole.
    (locked,) = axes.plot(middle.index, middle["locked_fraction"], color="#08519c", linewidth=1.8, clip_on=False)
    (to_end,) = axes.plot(middle.index, middle["autocorrelation_to_end"], color="0.25", linestyle=DASHED, clip_on=False)
    locked.set_label(label_of("locked_fraction"))
    to_end.set_label(label_of("autocorrelation_to_end"))
    axes.set_ylim(min(0.0, float(middle["autocorrelation_to_end"].min())), 1.0)
    epochs(axes)
    axes.set_ylabel("share of the weights; autocorrelation")
    axes.legend(title="median over layers", alignment="left", loc="lower right")
    return axes
