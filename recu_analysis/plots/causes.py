"""The causes of silence of every layer: a stacked bar each, with the undetermined share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from recu_analysis.analysis.rendering import TOTAL
from recu_analysis.plots._axes import part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.heat_map import name_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

#: Colors of the causes, in the order of the bars; from Tol's muted palette, because those of `palette` stand for runs.
_COLORS: Final = {
    "slow channel": "#000000",
    "masked": "#aa4499",
    "lost to rounding": "#ddcc77",
    "scheduled": "#999933",
    "out of reach": "#88ccee",
    "opposed": "#332288",
    "held": "#b2182b",
    "undetermined": "#dddddd",
}
#: The name of the bar of noise alone.
NOISE: Final = "noise alone"
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

    The last bar is what noise alone would give, in all layers together.

    Parameters
    ----------
    data : DataFrame
        One row per layer, group and cause, as `ra.causes` gives them: `row`, `layer`, `group`, `cause`, `share` (0 to
        1), `share_null`. The rows of the group tail-silent are shown; of all layers together, only what noise alone
        would give, if it is known. A layer without such weights has no bar.
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
    require(data, ("row", "layer", "group", "cause", "share", "share_null"))
    axes = target(ax)
    colors: dict[str, Any] = dict(_COLORS)
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "cause").items()}
    rows = _bars(data)
    bars = list(dict.fromkeys(zip(rows["row"], rows["layer"], strict=True)))
    at, left = np.arange(len(bars)) + 0.5, np.zeros(len(bars))
    height = 0.86 if len(bars) <= _MOST_GAPS else 1.0
    shares = rows.set_index(["cause", "row", "layer"])["share"]
    for name, color in colors.items():
        width = np.array([100.0 * float(shares.get((name, *bar), 0.0)) for bar in bars])
        if not np.nansum(width) > 0.0 and name != "undetermined":
            continue
        parts = axes.barh(at, np.nan_to_num(width), height, left, color=color, label=part_label(name, label))
        for part in parts:
            restyle(part, properties)
        left += np.nan_to_num(width)
    axes.set_ylim(len(bars), 0)
    axes.set_xlim(0.0, 100.0)
    name_rows(axes, names_of_bars(data), len(bars))
    axes.tick_params(axis="y", length=0.0)
    axes.set_xlabel("silent weights of the tail (%)")
    axes.legend()
    return axes


def names_of_bars(data: pd.DataFrame) -> list[str]:
    """The name of each bar of `causes`: the layers, and then noise alone, if it is known."""
    rows = _bars(data)
    bars = dict.fromkeys(zip(rows["row"], rows["layer"], strict=True))
    return [NOISE if row == TOTAL else layer for row, layer in bars]


def _bars(data: pd.DataFrame) -> pd.DataFrame:
    """The shares of each bar by cause: of the layers, and then of noise alone in all of them, if it is known."""
    rows = data[data["group"] == "tail-silent"]
    noise = rows[(rows["row"] == TOTAL) & rows["share_null"].notna()]
    return pd.concat([rows[rows["row"] != TOTAL], noise.assign(share=noise["share_null"])])


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
        The columns row, layer, group, cause, share, share_null. A row has the name of its first layer.
    size : int
        How many layers a bar stands for.
    """
    rows = data[data["group"] == "tail-silent"]
    total = rows[rows["row"] == TOTAL]
    rows = rows[rows["row"] != TOTAL]
    names = list(dict.fromkeys(rows["layer"]))
    size = int(np.ceil(len(names) / max(most, 1)))
    first = {name: names[at - at % size] for at, name in enumerate(names)}
    counts = rows.assign(layer=rows["layer"].map(first), count=rows["share"].fillna(0.0) * rows["weights"])
    sums = counts.groupby(["row", "layer", "group", "cause"], sort=False)[["count", "weights"]].sum().reset_index()
    columns = ["row", "layer", "group", "cause", "share", "share_null"]
    few = sums.assign(share=sums["count"] / sums["weights"], share_null=np.nan)
    return pd.concat([few[columns], total[columns]], ignore_index=True), max(size, 1)
