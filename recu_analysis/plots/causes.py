"""The causes of silence of every layer: a stacked bar each, with the undetermined share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recu_analysis.plots._axes import part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.heat_map import name_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

#: Colors of the causes, in the order of the bars.
_COLORS: Final = {
    "slow channel": "#000000",
    "masked": "#cc79a7",
    "lost to rounding": "#e69f00",
    "scheduled": "#f0e442",
    "out of reach": "#56b4e9",
    "opposed": "#0072b2",
    "held": "#b2182b",
    "undetermined": "#dddddd",
}
#: More bars than these have no gaps, which would look like stripes.
_MOST_GAPS: Final = 40


def causes(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Shares of the causes of silence, of the silent weights of the tail: a bar for each layer, the first on top.

    Parameters
    ----------
    data : DataFrame
        One row per layer, group and cause, as `ra.causes` gives them: `row`, `layer`, `group`, `cause`, `share` (0 to
        1). The rows of the group tail-silent are shown, without those of all layers together. A layer without such
        weights has no bar.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of the causes, by their names or in the order of their rules.
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
    require(data, ("row", "layer", "group", "cause", "share"))
    axes = target(ax)
    colors: dict[str, Any] = dict(_COLORS)
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "cause").items()}
    rows = data[(data["group"] == "tail-silent") & (data["row"] == "layer")]
    layers = list(dict.fromkeys(rows["layer"]))
    at, left = np.arange(len(layers)) + 0.5, np.zeros(len(layers))
    height = 0.86 if len(layers) <= _MOST_GAPS else 1.0
    shares = rows.set_index(["cause", "layer"])["share"]
    for name, color in colors.items():
        width = np.array([100.0 * float(shares.get((name, layer), 0.0)) for layer in layers])
        if not np.nansum(width) > 0.0 and name != "undetermined":
            continue
        bars = axes.barh(at, np.nan_to_num(width), height, left, color=color, label=part_label(name, label))
        for bar in bars:
            restyle(bar, properties)
        left += np.nan_to_num(width)
    axes.set_ylim(len(layers), 0)
    axes.set_xlim(0.0, 100.0)
    name_rows(axes, layers, len(layers))
    axes.tick_params(axis="y", length=0.0)
    axes.set_xlabel("silent weights of the tail (%)")
    axes.legend()
    return axes


def neighbors(data: pd.DataFrame, most: int) -> tuple[pd.DataFrame, int]:
    """Shares of the silent tail weights of neighboring layers together, so that at most so many bars remain.

    Parameters
    ----------
    data : DataFrame
        As for `causes`, with the `weights` of the group.
    most : int
        Number of bars.

    Returns
    -------
    data : DataFrame
        The columns row, layer, group, cause, share. A row has the name of its first layer.
    size : int
        How many layers a bar stands for.
    """
    rows = data[(data["group"] == "tail-silent") & (data["row"] == "layer")]
    names = list(dict.fromkeys(rows["layer"]))
    size = int(np.ceil(len(names) / max(most, 1)))
    first = {name: names[at - at % size] for at, name in enumerate(names)}
    counts = rows.assign(layer=rows["layer"].map(first), count=rows["share"].fillna(0.0) * rows["weights"])
    sums = counts.groupby(["row", "layer", "group", "cause"], sort=False)[["count", "weights"]].sum().reset_index()
    return sums.assign(share=sums["count"] / sums["weights"])[["row", "layer", "group", "cause", "share"]], max(size, 1)
