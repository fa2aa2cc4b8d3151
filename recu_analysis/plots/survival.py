"""The hazard of a first flip over the decay time T, of tail and core, beside noise alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.colors import to_rgba

from recu_analysis.plots._axes import heading_of, part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.noise import noise_entry, noise_line
from recu_analysis.plots.palette import DASHED, DEAD

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

#: Color of each group; marker and dashes of its median.
_COLORS: Final = {"tail": DEAD, "core": "#4d4d4d"}
_LOOKS: Final[dict[str, dict[str, Any]]] = {
    "tail": {"marker": "o", "linestyle": "-"},
    "core": {"marker": "s", "linestyle": DASHED},
}


def hazard(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Hazard of a first flip per unit of T, of tail and core: thin: a layer; thick: the median; pale: noise alone.

    Parameters
    ----------
    data : DataFrame
        One row per layer, group and span, as `ra.survival` gives them: `layer`, `group` (tail or core),
        `decay_time_past` (T at the end of the span), `hazard` (per unit of T). NaN leaves a gap. `hazard_null` too, if
        known, becomes a pale dashed line: what noise alone would give. Points are in the middle of spans.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of tail and core, by these names or in this order. The layers then have the same colors, but pale.
    label : str, optional
        Text before each name in the legend, as in "ReCU, tail", to distinguish two plots in one Axes.
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
    require(data, ("layer", "group", "decay_time_past", "hazard"))
    axes = target(ax)
    colors: dict[str, Any] = dict(_COLORS)
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "group").items()}
    placed = _placed(data)
    noise = False
    for name, color in colors.items():
        rows = placed[placed["group"] == name]
        for _, layer in rows.groupby("layer", sort=False, observed=True):
            axes.plot(layer["middle"], layer["hazard"], color=to_rgba(color, 0.2), linewidth=0.5, zorder=1.9)
        middle = rows.groupby("span")[[each for each in ("middle", "hazard", "hazard_null") if each in rows]].median()
        (line,) = axes.plot(
            middle["middle"],
            middle["hazard"],
            color=color,
            label=part_label(name, label),
            markersize=3.0,
            markeredgewidth=0.0,
            zorder=2.5,
            **_LOOKS[name],
        )
        restyle(line, properties)
        if "hazard_null" in middle:
            noise |= noise_line(axes, middle["middle"], middle["hazard_null"], line.get_color())
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(heading_of("decay_time_past"))
    axes.set_ylabel(heading_of("hazard"))
    handles, _ = axes.get_legend_handles_labels()
    title = "median over layers" if len(data["layer"].unique()) > 1 else None
    axes.legend(handles=[*handles, *([noise_entry()] if noise else [])], title=title, alignment="left")
    return axes


def _placed(data: pd.DataFrame) -> pd.DataFrame:
    """The table with the number of each span in its layer and group, and the T in the middle of the span."""
    groups = data.sort_values("decay_time_past").groupby(["layer", "group"], sort=False, observed=True)
    before = groups["decay_time_past"].shift(fill_value=0.0)
    return data.assign(span=groups.cumcount(), middle=(data["decay_time_past"] + before) / 2.0).sort_values("span")
