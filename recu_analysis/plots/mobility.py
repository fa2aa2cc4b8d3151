"""Mobility over the epochs, beside its forecasts by the norms and in equilibrium, with regimes as shades."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import to_rgba

from recu_analysis.analysis.column_names import statistic
from recu_analysis.analysis.mobility import NOT_FORECAST, OUT_OF_EQUILIBRIUM
from recu_analysis.plots._axes import epochs, heading_of, part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.palette import DASHED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

#: The lines, from the last drawn to the first: color, column, look, name in the legend.
_COLORS: Final = {"measured": "black", "forecast": "#d55e00", "equilibrium": "#0072b2"}
_COLUMNS: Final = {"measured": "mobility", "forecast": "mobility_forecast", "equilibrium": "mobility_equilibrium"}
_LOOKS: Final[dict[str, dict[str, Any]]] = {
    "measured": {"marker": "o", "markersize": 3.0, "markeredgewidth": 0.0, "zorder": 2.5},
    "forecast": {"linestyle": DASHED, "zorder": 2.7},
    "equilibrium": {"linestyle": ":", "zorder": 2.6},
}
#: Shades of the windows that are not in equilibrium.
_SHADES: Final[dict[str, dict[str, Any]]] = {
    OUT_OF_EQUILIBRIUM: {"facecolor": "0.88", "linewidth": 0.0},
    NOT_FORECAST: {"facecolor": "none", "edgecolor": "0.85", "hatch": "////", "linewidth": 0.0},
}


def mobility_over_time(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Mobility: thick: the median over layers; thin: a layer; dashed, dotted: medians of forecast and equilibrium.

    A window is shaded if most layers are out of equilibrium in it, and hatched if most have no forecast.

    Parameters
    ----------
    data : DataFrame
        One row per layer and window: `layer`, `epoch` of the window's end, `mobility`, `mobility_forecast`,
        `mobility_equilibrium` (standard deviations per update), `regime`, as
        `recu_analysis.analysis.mobility.mobility_query` gives them. NaN leaves a gap.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of measured, forecast and equilibrium, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    **properties
        Properties of the line of the measured mobility, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("layer", "epoch", *_COLUMNS.values(), "regime"))
    axes = target(ax)
    colors: dict[str, Any] = dict(_COLORS)
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "line").items()}
    columns = list(_COLUMNS.values())
    rows = data.sort_values("epoch")
    rows = rows.assign(**{name: statistic(name).factor * rows[name] for name in columns})
    for _, layer in rows.groupby("layer", sort=False, observed=True):
        axes.plot(layer["epoch"], layer["mobility"], color=to_rgba(colors["measured"], 0.2), linewidth=0.5, zorder=1.9)
    middle = rows.groupby("epoch")[columns].median()
    regimes = rows.groupby("epoch")["regime"].agg(lambda each: each.mode().iloc[-1])
    # The median of a few layers would stand beside the measured median of all.
    middle["mobility_forecast"] = middle["mobility_forecast"].where(regimes != NOT_FORECAST)
    for name, column in _COLUMNS.items():
        if middle[column].isna().all():
            continue
        drawn = part_label(name, label)
        (line,) = axes.plot(middle.index, middle[column], color=colors[name], label=drawn, **_LOOKS[name])
        if name == "measured":
            restyle(line, properties)
    _shade(axes, regimes)
    axes.set_ylim(bottom=0.0)
    epochs(axes)
    axes.set_ylabel(heading_of("mobility"))
    axes.legend(title="median over layers" if len(data["layer"].unique()) > 1 else None, alignment="left")
    return axes


def _shade(axes: Axes, regimes: pd.Series[str]) -> None:
    """Shade the windows that are not in equilibrium, each half of the way to the windows before and after."""
    at = regimes.index.to_numpy(dtype=np.float64)
    between = (at[1:] + at[:-1]) / 2.0
    edges = np.concatenate([[at[0] - 0.5], between, [at[-1] + 0.5]])
    first, told = 0, set[str]()
    for kind, group in groupby(regimes):
        last = first + len(list(group))
        if kind in _SHADES:
            name = None if kind in told else kind
            axes.axvspan(edges[first], edges[last], label=name, zorder=0.5, **_SHADES[kind])
            told.add(kind)
        first = last
    axes.set_xlim(edges[0], edges[-1])
