"""How signs flip: the flip law, measured against predicted, and how signs lock in over a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from recu_analysis.analysis.column_names import statistic
from recu_analysis.plots._axes import by_run, epochs, heading_of, label_of, part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.noise import noise_entry, noise_line, noise_points
from recu_analysis.plots.palette import DASHED
from recu_analysis.plots.too_short import are_too_short, median_line, pale_entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette


def flip_law(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Measured flip ratio against the prediction, the density of z at 0 times mobility; dashed: equal.

    Pale bars: the flip ratio that noise alone would give.

    Parameters
    ----------
    data : DataFrame
        One row per run, layer and window: `run` (label), `flip_ratio`, `flip_ratio_predicted` (flips per weight and
        update), and `flip_ratio_null` if known. Rows without a flip are left out; the axes are logarithmic if the other
        rows span more than a decade.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in order; `recu_analysis.plots.arm_colors.of_runs` gives
        markers too. By default a fixed list of colors.
    label : str, optional
        The name of the run in the legend, if the table has only one.
    **properties
        Properties of the points, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("run", "flip_ratio", "flip_ratio_predicted"))
    axes = target(ax)
    columns = ["flip_ratio", "flip_ratio_predicted"]
    shown = data[(data[columns] > 0).all(axis=1)]
    null = shown["flip_ratio_null"] if "flip_ratio_null" in shown else pd.Series(np.nan, shown.index)
    shown = shown.assign(flip_ratio_null=null.where(null > 0))
    columns.append("flip_ratio_null")
    shown = shown.assign(**{name: statistic(name).factor * shown[name] for name in columns})
    every = shown[columns].to_numpy(dtype=np.float64)
    low, high = (np.nanmin(every), np.nanmax(every)) if len(shown) else (0.1, 10.0)
    wide = high > 10 * low
    ends = np.array([low / 1.3 if wide else 0.0, high * (1.3 if wide else 1.1)])
    axes.plot(ends, ends, color="0.35", linestyle=DASHED, linewidth=0.8, label="measured = predicted")
    noise = False
    for run, rows, color, marker in by_run(shown, "flip_ratio_predicted", palette=palette, label=label):
        (points,) = axes.plot(
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
        restyle(points, properties)
        noise |= noise_points(axes, rows["flip_ratio_predicted"], rows["flip_ratio_null"], points.get_color())
    if wide:
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ends[1] < 100 * ends[0] else (1.0,)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    axes.set(xlim=ends, ylim=ends)
    axes.set_xlabel(heading_of("flip_ratio_predicted"))
    axes.set_ylabel(f"measured {heading_of('flip_ratio')}")
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(handles=[*handles[1:], *([noise_entry(points=True)] if noise else []), handles[0]], markerscale=1.6)
    return axes


def lock_in(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Share of weights that never flip again after a window, by layer and median; dashed: autocorrelation to the end.

    Pale dashed lines are what noise alone would give. Where the null autocorrelation to the end is above 1/2, the
    windows are too few to tell, and the share is pale. On the axis, 100 % is an autocorrelation of 1.

    Parameters
    ----------
    data : DataFrame
        One row per layer and window: `layer`, `epoch`, `locked_fraction`, `autocorrelation_to_end`,
        `autocorrelation_to_end_null`. `locked_fraction_null` too, if known, becomes a pale dashed line, as
        autocorrelation_to_end_null does: what noise alone would give.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of locked_fraction and autocorrelation_to_end, by these names or in this order. The layers then have
        the color of the first, but pale.
    label : str, optional
        Text before each name in the legend, as in "ReCU, never flip again", to distinguish two plots in one Axes.
    **properties
        Properties of the two thick lines, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    shown = ["locked_fraction", "autocorrelation_to_end"]
    require(data, ("layer", "epoch", *shown, "autocorrelation_to_end_null"))
    axes = target(ax)
    ordered = data.assign(locked_fraction_null=data.get("locked_fraction_null", np.nan)).sort_values("epoch")
    own = {"locked_fraction": "#08519c", "autocorrelation_to_end": "0.25"}
    pale: Any = "#9ecae1"
    if palette is not None:
        own = {name: look.color for name, look in looks_of(own, palette, "statistic").items()}
        pale = to_rgba(own["locked_fraction"], 0.3)
    for _, rows in ordered.groupby("layer", sort=False, observed=True):
        axes.plot(rows["epoch"], 100.0 * rows["locked_fraction"], color=pale, linewidth=0.5, zorder=1.9)
    middle = ordered.groupby("epoch")[[*shown, *(f"{name}_null" for name in shown)]].median()
    short = are_too_short(middle["autocorrelation_to_end_null"])
    looks: dict[str, dict[str, Any]] = {"locked_fraction": {"marker": "o", "linewidth": 1.4}}
    looks["autocorrelation_to_end"] = {"marker": "s", "linestyle": DASHED, "size": 2.4, "linewidth": 1.0}
    noise = False
    for name, look in looks.items():
        quiet = short & (name == "locked_fraction")
        line = median_line(axes, 100.0 * middle[name], quiet, color=own[name], **look)
        line.set_label(part_label(label_of(name), label))
        restyle(line, properties)
        noise |= noise_line(axes, middle.index, 100.0 * middle[f"{name}_null"], line.get_color())
    axes.set_ylim(min(0.0, 100.0 * float(middle["autocorrelation_to_end"].min())), 100.0)
    epochs(axes)
    axes.set_ylabel("weights (%)")
    handles, _ = axes.get_legend_handles_labels()
    title = "median over layers" if len(data["layer"].unique()) > 1 else None
    noted = [*([noise_entry()] if noise else []), *([pale_entry()] if short.any() else [])]
    axes.legend(handles=[*handles, *noted], title=title, alignment="left", loc="lower right")
    return axes


def cosine_axis(axes: Axes) -> Axes:
    """Add the axis of the autocorrelation to the right side of `lock_in`: 100 % is a cosine of 1."""
    right = axes.secondary_yaxis("right", functions=(_cosine, _percent))
    right.set_ylabel("cosine")
    return axes


def _cosine(percent: Any) -> Any:
    return percent / 100.0


def _percent(cosine: Any) -> Any:
    return 100.0 * cosine
