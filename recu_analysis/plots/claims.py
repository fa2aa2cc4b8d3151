"""Claims as a forest plot: estimates with intervals, thresholds and verdicts."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from recu_analysis.analysis.rendering import of_claim
from recu_analysis.plots._axes import require, restyle, target
from recu_analysis.plots.arm_colors import looks_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from recu_analysis.plots.arm_colors import AnyPalette

#: Color of the range that supports a claim, and of estimates; looks of what contradicts it.
SUPPORTS: Final = "#b9d6ea"
VALUE: Final = "#08306b"
CONTRADICTS: Final[dict[str, Any]] = {"facecolor": "none", "edgecolor": "0.6", "hatch": "/////", "linewidth": 0.0}
# Most characters of a claim on one line, and the margin on both sides of a row.
_WRAP, _MARGIN = 40, 0.12
# Where the axis of a row is, below its middle, and the least distance of two of its numbers.
_BELOW, _GAP = 0.28, 0.08
# Inches of the axes below which the words of a row stand above it instead of beside it, and the middle of such a row.
_NARROW, _LOWER = 4.2, 0.03


def forest(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """One row per claim, each with its own axis: estimate, 95 % interval, thresholds, verdict.

    Parameters
    ----------
    data : DataFrame
        One row per claim: `id`, `claim`, `estimate`, `low`, `high`, `verdict`, as `recu_analysis.claims` gives them;
        `supports_low`, `supports_high`, the range that supports the claim; `refutes_below`, `refutes_above`, the bounds
        beyond which a value contradicts it; NaN if there is no bound. A claim without thresholds shows verdict and
        numbers as text. With a column `measure`, the quantity of the axis stands below the claim.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of supports (the range that supports a claim) and estimate, by these names or in this order.
    label : str, optional
        The name of the estimates in the legend. By default the legend leaves them out.
    **properties
        Properties of the marks of the estimates, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    thresholds = ("supports_low", "supports_high", "refutes_below", "refutes_above")
    require(data, ("id", "claim", "estimate", "low", "high", "verdict", *thresholds))
    axes = target(ax)
    colors = {"supports": SUPPORTS, "estimate": VALUE}
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "part").items()}
    estimates: list[Line2D] = []
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(len(data) - 0.5, -0.5)
    rows = data.to_dict(orient="records")
    narrow = is_narrow(axes)
    for at, row in enumerate(rows):
        (_words_above if narrow else _words_beside)(axes, at, row)
        mark = _row(axes, at + (_LOWER if narrow else 0.0), row, colors)
        if mark is not None:
            restyle(mark, properties)
            estimates.append(mark)
    axes.set_yticks([] if narrow else np.arange(len(rows)), [] if narrow else [_name(row) for row in rows])
    axes.tick_params(axis="y", length=0.0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    legend: list[Artist] = [
        Patch(facecolor=colors["supports"], label="supports the claim"),
        Patch(label="contradicts it", **CONTRADICTS),
    ]
    if label is not None and estimates:
        estimates[0].set_label(label)
        legend.append(estimates[0])
    axes.legend(handles=legend, ncols=len(legend), loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return axes


def _name(row: dict[Any, Any]) -> str:
    """The claim, and below it what its axis shows."""
    text = f"{row['id']}  {row['claim']}"
    # Two lines of similar length, rather than a last line of one word.
    width = _WRAP if len(text) <= _WRAP else max(_WRAP // 2, len(text) // 2 + 4)
    lines = textwrap.wrap(text, width, break_on_hyphens=False)
    return "\n".join([*lines, *([f"({row['measure']})"] if row.get("measure") else [])])


def is_narrow(axes: Axes) -> bool:
    """Whether the words of a row stand above it, because there is no room beside it."""
    width: float = axes.bbox.width / axes.figure.dpi
    return width < _NARROW


def _words_beside(axes: Axes, at: int, row: dict[Any, Any]) -> None:
    """The verdict and the numbers to the right of a row."""
    value = _minus(of_claim(row["estimate"], row["low"], row["high"]))
    words = f"{row['verdict']}\n{value}" if value else row["verdict"]
    axes.text(1.03, at, words, transform=axes.get_yaxis_transform(), va="center", fontsize="small", linespacing=1.1)


def _words_above(axes: Axes, at: int, row: dict[Any, Any]) -> None:
    """The claim, then its quantity, verdict and numbers, above a row."""
    value = _minus(of_claim(row["estimate"], row["low"], row["high"]))
    parts = (row.get("measure"), f"{row['verdict']}, {value}" if value else row["verdict"])
    lines = (f"{row['id']}  {row['claim']}", ": ".join(part for part in parts if part))
    axes.text(0.0, at - 0.5, "\n".join(lines), va="top", fontsize="small", linespacing=1.1)


def _minus(numbers: str) -> str:
    """Numbers with the minus sign that the axes of other figures have."""
    return numbers.replace("-", "\N{MINUS SIGN}")


def _row(axes: Axes, at: float, row: dict[Any, Any], colors: dict[str, str]) -> Line2D | None:
    """Draw the ranges and the interval of one claim. Return the mark of its estimate, if it has one."""
    if math.isnan(row["estimate"]) or math.isnan(row["supports_low"]):
        return None
    scale = _scale(row)
    _ranges(axes, at, row, scale, colors["supports"])
    low, high = (scale(row[end]) for end in ("low", "high"))
    if not math.isnan(low) and not math.isnan(high):
        axes.plot([low, high], [at, at], color=colors["estimate"], linewidth=1.6, solid_capstyle="butt", zorder=3)
    looks: dict[str, Any] = {"markersize": 4.0, "zorder": 3, "clip_on": False}
    (mark,) = axes.plot(scale(row["estimate"]), at, "D", color=colors["estimate"], **looks)
    return mark


def _scale(row: dict[Any, Any]) -> Any:
    """A function from values of a row to places in the axes. Thresholds, estimate and interval are inside."""
    names = ("supports_low", "supports_high", "refutes_below", "refutes_above", "estimate", "low", "high")
    values = [row[name] for name in names if math.isfinite(row[name])]
    low, high = min(values), max(values)
    width = (high - low) or 1.0
    return lambda value: float(np.clip(_MARGIN + (1 - 2 * _MARGIN) * (value - low) / width, 0.0, 1.0))


def _ranges(axes: Axes, at: float, row: dict[Any, Any], scale: Any, color: str) -> None:
    """The range that supports a claim in color, those that contradict it hatched, thresholds as numbers."""
    supports = (row["supports_low"], row["supports_high"])
    _bar(axes, at, scale(supports[0]), scale(supports[1]), facecolor=color)
    if math.isfinite(row["refutes_below"]):
        _bar(axes, at, 0.0, scale(row["refutes_below"]), **CONTRADICTS)
    if math.isfinite(row["refutes_above"]):
        _bar(axes, at, scale(row["refutes_above"]), 1.0, **CONTRADICTS)
    ends = sorted({end for end in (*supports, row["refutes_below"], row["refutes_above"]) if math.isfinite(end)})
    _axis(axes, at, ends, [*ends, *(row[name] for name in ("estimate", "low", "high"))], scale)


def _axis(axes: Axes, at: float, ends: list[float], values: list[float], scale: Any) -> None:
    """The axis of one row: thresholds as numbers in black, and round numbers between them in gray."""
    axes.plot([0.0, 1.0], [at + _BELOW, at + _BELOW], color="0.6", linewidth=0.5, zorder=0.9)
    known = [value for value in values if math.isfinite(value)]
    thresholds = _apart(ends, [], scale)
    between = _apart([float(each) for each in MaxNLocator(4).tick_values(min(known), max(known))], thresholds, scale)
    for shown, color in ((thresholds, "black"), (between, "0.5")):
        for number in shown:
            place = scale(number)
            axes.plot([place, place], [at + _BELOW, at + _BELOW + 0.05], color=color, linewidth=0.5)
            axes.text(
                place, at + _BELOW + 0.06, _minus(f"{number:g}"), ha="center", va="top", fontsize="x-small", color=color
            )


def _apart(numbers: list[float], taken: list[float], scale: Any) -> list[float]:
    """The numbers that are inside of the axis, and far enough from others for all to be readable."""
    kept: list[float] = []
    for number in numbers:
        apart = all(abs(scale(number) - scale(other)) > _GAP for other in (*taken, *kept))
        if apart and 0.02 < scale(number) < 0.98:
            kept.append(number)
    return kept


def _bar(axes: Axes, at: float, low: float, high: float, **looks: Any) -> None:
    axes.barh(at, high - low, 0.4, left=low, zorder=1, **looks)
