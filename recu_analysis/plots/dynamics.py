"""How weights move: mobility and flips against their magnitude, silence over the epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.colors import to_rgba

from recu_analysis.analysis.column_names import statistic
from recu_analysis.errors import unknown
from recu_analysis.plots._axes import by_run, epochs, heading_of, label_of, part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.noise import noise_entry, noise_line
from recu_analysis.plots.palette import DASHED, DEAD, MARKER_RIM, TAIL
from recu_analysis.plots.too_short import are_too_short, median_line, pale_entry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

_QUANTITIES: Final = ("mobility", "flip_probability", "sign_changes", "gradient")
# Group: column, color of the median, color of a layer, dashes of the median.
_GROUPS: Final[dict[str, tuple[str, str, str, Any]]] = {
    "tail": ("silent_fraction_tail", DEAD, TAIL, "-"),
    "core": ("silent_fraction_core", "#4d4d4d", "#cfcfcf", DASHED),
}
_MARKERS: Final = {"tail": "o", "core": "s"}


def by_magnitude(
    data: pd.DataFrame,
    *,
    quantity: str,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """A quantity against abs(z) at the window's start, one line per run; pale dashed: noise alone.

    Parameters
    ----------
    data : DataFrame
        One row per run and bin of equally many weights, as `ra.by_magnitude` gives them: `run` (label), `bin` (0 is the
        smallest), `abs_z` (mean abs(z) of the bin, standard deviations), and the quantity: `mobility` (standard
        deviations per update), `flip_probability` (share of the bin's weights that flipped in the window),
        `sign_changes` (share whose sign differs at the window's end) or `gradient` (mean of abs(gradient), 1 for the
        layer's mean). NaN leaves a gap. Columns of the quantity with the endings _low and _high become a band, and the
        one with _null, what noise alone would give, a pale dashed line.
    quantity : {"mobility", "flip_probability", "sign_changes", "gradient"}
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in order; `recu_analysis.plots.arm_colors.of_runs` gives
        markers too. By default a fixed list of colors.
    label : str, optional
        The name of the run in the legend, if the table has only one.
    **properties
        Properties of the measured lines, as `matplotlib.lines.Line2D` has them.

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
    require(data, ("run", "bin", "abs_z", quantity))
    known = statistic(quantity)
    factor = 1.0 if known.is_share else known.factor  # shares on an axis from 0 to 1
    axes = target(ax)
    noise = False
    for run, rows, color, marker in by_run(data, "bin", palette=palette, label=label):
        (line,) = axes.plot(rows["abs_z"], rows[quantity] * factor, color=color, marker=marker, label=run)
        # Markers that lie on the axes stay whole.
        line.set(clip_on=False, zorder=3, **MARKER_RIM)
        restyle(line, properties)
        if f"{quantity}_low" in rows:
            low, high = (rows[f"{quantity}_{end}"] * factor for end in ("low", "high"))
            axes.fill_between(rows["abs_z"], low, high, color=line.get_color(), alpha=0.25, linewidth=0)
        if f"{quantity}_null" in rows:
            noise |= noise_line(axes, rows["abs_z"], factor * rows[f"{quantity}_null"], line.get_color())
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(heading_of("abs_z"))
    axes.set_ylabel(label_of(quantity) if known.is_share else heading_of(quantity))
    handles, _ = axes.get_legend_handles_labels()
    axes.legend(handles=[*handles, *([noise_entry()] if noise else [])])
    return axes


def silence(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Share of silent weights in the tail and in the core over the epochs: thin: a layer; thick: the median.

    Parameters
    ----------
    data : DataFrame
        One row per layer and window: `layer`, `epoch`, `silent_fraction_tail`, `silent_fraction_core` (0 to 1).
        NaN leaves a gap. With the column `autocorrelation_null`, windows whose median over layers is above 1/2 are
        pale: they are too short to tell dead weights from slow ones. Columns with _null (0 to 1), what noise alone
        would give, become pale dashed lines: their medians over layers.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of the medians of tail and core, by these names or in this order. The layers then have the same
        color, but pale.
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
    require(data, ("layer", "epoch", *(column for column, *_ in _GROUPS.values())))
    axes = target(ax)
    own = None if palette is None else looks_of(_GROUPS, palette, "group")
    known = data["autocorrelation_null"] if "autocorrelation_null" in data else data["silent_fraction_tail"] * np.nan
    short = are_too_short(known.groupby(data["epoch"]).median())
    noise = False
    for group, (column, strong, pale, dashes) in _GROUPS.items():
        color, thin = (strong, pale) if own is None else (own[group].color, to_rgba(own[group].color, 0.3))
        percent = data.assign(percent=statistic(column).factor * data[column])
        for _, rows in percent.sort_values("epoch").groupby("layer", sort=False, observed=True):
            axes.plot(rows["epoch"], rows["percent"], color=thin, linewidth=0.5, zorder=1.9)
        median = percent.groupby("epoch")["percent"].median()
        line = median_line(axes, median, short, _MARKERS[group], color=color, linestyle=dashes, linewidth=1.4)
        line.set_label(part_label(group, label))
        restyle(line, properties)
        null = percent.groupby("epoch")[f"{column}_null"].median() if f"{column}_null" in percent else median * np.nan
        noise |= noise_line(axes, null.index, statistic(column).factor * null, line.get_color())
    axes.set_ylim(0.0, 100.0)
    epochs(axes)
    axes.set_ylabel(heading_of("silent_fraction"))
    handles, _ = axes.get_legend_handles_labels()
    title = "thick: median over layers" if len(data["layer"].unique()) > 1 else None
    noted = [*([noise_entry()] if noise else []), *([pale_entry()] if short.any() else [])]
    axes.legend(handles=[*handles, *noted], title=title, alignment="left")
    return axes
