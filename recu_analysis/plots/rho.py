"""The restored fraction rho of tail and core over the epochs, beside the band of noise alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import to_rgba

from recu_analysis.plots._axes import epochs, heading_of, part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.palette import DASHED, DEAD
from recu_analysis.theory.intervals import simultaneous

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

_COLORS: Final = {"tail": DEAD, "core": "#4d4d4d"}
_LOOKS: Final[dict[str, dict[str, Any]]] = {
    "tail": {"marker": "o", "linestyle": "-"},
    "core": {"marker": "s", "linestyle": DASHED},
}
#: Share of the points of single layers that the axis shows; a few far ones would hide the rest.
_SHOWN: Final = 0.9


def rho(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Rho of tail and core: thin: a layer; thick: the median over layers; gray band: 95 % of noise alone.

    The band is that of all weights of a layer, in the median over layers. It is as wide as all layers of a window need
    to be inside at once, so that a layer outside of it is not one of many that chance alone would put there.

    Parameters
    ----------
    data : DataFrame
        One row per layer, window and group, as `ra.earned` gives them: `layer`, `epoch` of the window's end, `group`
        (tail, core, or all with `rho_low` and `rho_high` for the band), `rho`. NaN leaves a gap.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of tail and core, by these names or in this order. The layers then have the same colors, but pale.
    label : str, optional
        Text before each name in the legend, to distinguish two plots in one Axes.
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
    require(data, ("layer", "epoch", "group", "rho", "rho_low", "rho_high"))
    axes = target(ax)
    colors: dict[str, Any] = dict(_COLORS)
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "group").items()}
    whole = data[data["group"] == "all"]
    halves = ((whole["rho_high"] - whole["rho_low"]) / 2.0).dropna().groupby(whole["epoch"])
    band = halves.median() * halves.count().map(simultaneous)
    if band.notna().any():
        axes.fill_between(band.index, -band, band, color="0.85", linewidth=0.0, zorder=1.0, label="noise alone, 95 %")
    axes.axhline(0.0, color="0.6", linewidth=0.6, zorder=1.1)
    shown = [-band, band]
    for name, color in colors.items():
        rows = data[data["group"] == name].sort_values("epoch")
        for _, layer in rows.groupby("layer", sort=False, observed=True):
            axes.plot(layer["epoch"], layer["rho"], color=to_rgba(color, 0.2), linewidth=0.5, zorder=1.9)
        middle = rows.groupby("epoch")["rho"].median()
        (line,) = axes.plot(
            middle.index,
            middle,
            color=color,
            label=part_label(name, label),
            markersize=3.0,
            markeredgewidth=0.0,
            zorder=2.5,
            **_LOOKS[name],
        )
        restyle(line, properties)
        shown += [middle, rows["rho"].quantile([(1.0 - _SHOWN) / 2.0, (1.0 + _SHOWN) / 2.0])]
    _limit(axes, np.concatenate([np.asarray(each, dtype=np.float64) for each in shown]))
    epochs(axes)
    axes.set_ylabel(heading_of("rho"))
    axes.legend(title="median over layers" if len(data["layer"].unique()) > 1 else None, alignment="left")
    return axes


def _limit(axes: Axes, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Limits of the vertical axis that hold these values, with room for markers."""
    finite = values[np.isfinite(values)]
    if finite.size:
        low, high = min(float(finite.min()), 0.0), max(float(finite.max()), 0.0)
        room = 0.06 * (high - low) or 0.1
        axes.set_ylim(low - room, high + room)
