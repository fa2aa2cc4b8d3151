"""The autocorrelation of z by where it comes from, over the epochs: stacked bars, and the whole as markers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D

from recu_analysis.plots._axes import epochs, heading_of, part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

#: The parts, from the axis on, with their colors.
_PARTS: Final = {"inherited": "#bdbdbd", "momentum": "#56b4e9", "restored": "#d55e00"}
#: Width of a bar over the distance of two windows.
_WIDTH: Final = 0.75


def split(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """The parts of the autocorrelation over each window: inherited, momentum and restored; a marker at their sum.

    Parts above 0 are stacked above the axis, parts below 0 below it. Of several layers, means by weights are shown,
    whose parts add up, too.

    Parameters
    ----------
    data : DataFrame
        One row per layer, window and group, as `ra.earned` gives them: `epoch` of the window's end, `group`, `weights`,
        `inherited`, `momentum`, `restored`. Only the group all is shown.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of inherited, momentum and restored, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    **properties
        Properties of the bars, as `matplotlib.patches.Rectangle` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("epoch", "group", "weights", *_PARTS))
    axes = target(ax)
    colors: dict[str, Any] = dict(_PARTS)
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "part").items()}
    means = _means(data[data["group"] == "all"])
    at = means.index.to_numpy(dtype=np.float64)
    width = _WIDTH * (float(np.diff(at).min()) if at.size > 1 else 1.0)
    above, below = np.zeros(at.size), np.zeros(at.size)
    for name, color in colors.items():
        values = means[name].to_numpy(dtype=np.float64)
        if not values.any():  # AdamW, or a momentum that was not recorded
            continue
        bottom = np.where(values >= 0.0, above, below)
        bars = axes.bar(at, values, width, bottom, color=color, label=part_label(name, label), zorder=2.0)
        for bar in bars:
            restyle(bar, properties)
        above += np.maximum(np.nan_to_num(values), 0.0)
        below += np.minimum(np.nan_to_num(values), 0.0)
    whole = means[[*_PARTS]].sum(axis=1, skipna=False)
    axes.plot(at, whole, linestyle="none", **_MARKER)
    axes.axhline(0.0, color="0.3", linewidth=0.6, zorder=2.1)
    epochs(axes)
    axes.set_ylabel(heading_of("autocorrelation"))
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(handles=[*handles, Line2D([], [], linestyle="none", label=part_label("their sum", label), **_MARKER)])
    return axes


_MARKER: Final[dict[str, Any]] = {
    "marker": "o",
    "markersize": 3.5,
    "color": "black",
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
    "zorder": 3.0,
}


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Means of the parts over layers, by weights, for each epoch; layers without an autocorrelation are left out."""
    known = rows.dropna(subset=[*_PARTS])
    weighted = known[[*_PARTS]].mul(known["weights"], axis=0).assign(weights=known["weights"], epoch=known["epoch"])
    sums = weighted.groupby("epoch").sum()
    return sums[[*_PARTS]].div(sums["weights"], axis=0)
