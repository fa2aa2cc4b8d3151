"""Trajectories of single weights: z over the updates, with the threshold and the changes of the state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.ticker import MaxNLocator

from recu_analysis.errors import InputError
from recu_analysis.plots._axes import part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.palette import CORE, DEAD

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

_GROUPS: Final = {"tail": DEAD, "core": CORE}
# The tail lies over the core.
_ORDER: Final = {"tail": 2.1, "core": 2.0}


def trajectories(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """The z of single weights of a layer over the updates; circles where the state changes, a line at 0 for signs.

    Parameters
    ----------
    data : DataFrame
        One row per weight and update of one layer: `layer`, `flat_index`, `group` (tail or core), `update`, `z`
        (standard deviations), `flip`, as `recu_analysis.traces` gives them.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of tail and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row or more than one layer, or the palette or a property does not fit.
    """
    require(data, ("layer", "flat_index", "group", "update", "z", "flip"))
    if len(set(data["layer"])) > 1:
        raise InputError("the table to draw has several layers; choose one, such as table[table['layer'] == 'conv1']")
    axes = target(ax)
    colors = looks_of(_GROUPS, _GROUPS if palette is None else palette, "group")
    if "state" not in data or set(data["state"]) <= {-1, 1}:  # the thresholds of more levels move with each update
        axes.axhline(0.0, color="0.2", linewidth=0.5, zorder=1.5)
    # Before the lines, so that legends of several panels have it first, and then tail and core.
    flips = data[data["flip"]]
    axes.plot(
        flips["update"], flips["z"], "o", color="black", markersize=1.6, markeredgewidth=0.0, label="flips", zorder=2.2
    )
    for group, look in colors.items():
        weights = data[data["group"] == group].groupby("flat_index", sort=False)
        for number, (_, rows) in enumerate(weights):
            name = part_label(group, label) if number == 0 else None
            (line,) = axes.plot(
                rows["update"], rows["z"], color=look.color, linewidth=0.6, label=name, zorder=_ORDER[group]
            )
            restyle(line, properties)
    axes.set_xlim(data["update"].min(), data["update"].max())
    axes.set_xlabel("update")
    axes.set_ylabel("$z$ (std)")
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.legend(loc="best")
    return axes
