"""One claim over the length T of trainings: estimates with intervals, beside what would support or contradict it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from recu_analysis.plots._axes import heading_of, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.claims import CONTRADICTS, SUPPORTS, VALUE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

    Values = np.ndarray[Any, np.dtype[np.float64]]

#: Verdicts that decide; the markers of all others are open.
_DECIDED: Final = ("supported", "contradicted")
#: Room above and below, over the range of what is shown; and left and right, as a factor of T.
_MARGIN, _ASIDE = 0.12, 1.6


def over_length(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """The estimate of one claim with its 95 % interval over T; filled markers where the verdict decides.

    Parameters
    ----------
    data : DataFrame
        One row per length: `decay_time`, `estimate`, `low`, `high`, `verdict`, and the thresholds `supports_low`,
        `supports_high`, `refutes_below`, `refutes_above` and `measure` of the claim. NaN leaves a gap.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of supports (the range that supports the claim) and estimate, by these names or in this order.
    label : str, optional
        The name of the estimates in the legend.
    **properties
        Properties of the markers, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    thresholds = ("supports_low", "supports_high", "refutes_below", "refutes_above")
    require(data, ("decay_time", "estimate", "low", "high", "verdict", "measure", *thresholds))
    axes = target(ax)
    colors = {"supports": SUPPORTS, "estimate": VALUE}
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "part").items()}
    rows = data.sort_values("decay_time")
    first = rows.iloc[0]
    bottom, top = _limits(rows[["estimate", "low", "high", *thresholds]].to_numpy(np.float64))
    _span(axes, max(first["supports_low"], bottom), min(first["supports_high"], top), facecolor=colors["supports"])
    if math.isfinite(first["refutes_below"]):
        _span(axes, bottom, first["refutes_below"], **CONTRADICTS)
    if math.isfinite(first["refutes_above"]):
        _span(axes, first["refutes_above"], top, **CONTRADICTS)
    axes.vlines(rows["decay_time"], rows["low"], rows["high"], color=colors["estimate"], linewidth=1.6, zorder=2.5)
    decided = rows["verdict"].isin(_DECIDED)
    for some, face in ((rows[decided], colors["estimate"]), (rows[~decided], "white")):
        (line,) = axes.plot(some["decay_time"], some["estimate"], **_marker(colors["estimate"], face))
        restyle(line, properties)
    axes.set_ylim(bottom, top)
    _over_time(axes, rows["decay_time"].to_numpy(np.float64))
    axes.set_ylabel(first["measure"])
    axes.legend(handles=_legend(colors, label))
    return axes


def _marker(color: str, face: str) -> dict[str, Any]:
    return {"linestyle": "none", "marker": "D", "markersize": 4.5, "color": color, "markerfacecolor": face, "zorder": 3}


def _limits(values: Values) -> tuple[float, float]:
    """Limits of the vertical axis that hold all finite values, with room around."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    room = _MARGIN * ((high - low) or 1.0)
    return low - room, high + room


def _span(axes: Axes, low: float, high: float, **looks: Any) -> None:
    axes.axhspan(low, high, zorder=1.0, **looks)


def _over_time(axes: Axes, times: Values) -> None:
    """A logarithmic axis of T, whose ticks are the lengths."""
    axes.set_xscale("log")
    axes.set_xlim(times.min() / _ASIDE, times.max() * _ASIDE)
    axes.xaxis.set_major_locator(FixedLocator(times.tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(heading_of("decay_time"))


def _legend(colors: dict[str, str], label: str | None) -> list[Any]:
    verdicts = (("verdict", colors["estimate"]), ("no verdict", "white"))
    return [
        Patch(facecolor=colors["supports"], label="supports the claim"),
        Patch(label="contradicts it", **CONTRADICTS),
        *(
            Line2D([], [], label=name if label is None else f"{label}, {name}", **_marker(colors["estimate"], face))
            for name, face in verdicts
        ),
    ]
