"""The histogram of a layer's latent weights, with the dead ones in red: the paper's Fig. 2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.patches import ConnectionPatch, Patch
from matplotlib.ticker import MaxNLocator

from recu_analysis.errors import InputError
from recu_analysis.plots._axes import part_label, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.noise import noise_text
from recu_analysis.plots.palette import CORE, DEAD, TAIL
from recu_analysis.plots.too_short import PALE

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from recu_analysis.plots.arm_colors import AnyPalette

# From the baseline up: dead weights are at the axis, where their counts are readable.
_STACK: Final = {
    "dead": ("tail and silent", DEAD),
    "tail_active": ("tail, flipped", TAIL),
    "core": ("core", CORE),
}
_COLUMNS: Final = ("left", "right", "core", "tail_active", "dead")

# In fractions of the axes: the inset (left, bottom, width, height); a place and the height of bars to its right, free
# for the inset and its labels; a place and the height of bars to its left, free for the legend.
_INSET: Final = (0.72, 0.53, 0.2, 0.45)
_FREE_RIGHT: Final = (0.7, 0.38)
_FREE_LEFT: Final = (0.49, 0.73)
# The height of the highest bar of a small panel, below one or two lines of text, in fractions of the axes.
_BELOW_TEXT: Final = (0.82, 0.76)
# Factors by which the axis may be wider than the histogram, to keep a peak clear of the inset.
_WIDER: Final = (1.0, 1.05, 1.1, 1.15, 1.2)
# The inset starts where the histogram has fallen to _FOOT of its peak. It leaves out the outer _OUTLIERS of the weights
# beyond, because a few outliers would stretch it. It shows at least _NARROWEST of the bins.
_FOOT: Final = 0.12
_OUTLIERS: Final = 0.02
_NARROWEST: Final = 0.08


def dead_weight_histogram(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Histogram of one layer's latent weights: tails in pale red, the silent part of the tails in red (Fig. 2).

    A bar is the share of the layer's weights in a bin. An inset magnifies the foot of the upper tail, without its
    outermost 2 %. A missing count is drawn as 0.

    Parameters
    ----------
    data : DataFrame
        One row per bin, in rising order and without gaps: `left`, `right` (edges in z, standard deviations of the
        weight's channel, at the window's start), and the numbers of weights `core`, `tail_active` (tail and
        flipped in the window) and `dead` (tail and silent).
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of dead, tail_active and core, by these names or in this order.
    label : str, optional
        Text before each name in the legend, as in "ReCU, core 70.0 %", to distinguish two plots in one Axes.
    **properties
        Properties of the bars, as `matplotlib.patches.StepPatch` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, the bins have gaps, or the palette or a property does not fit.
    """
    require(data, _COLUMNS)
    edges = _edges(data)
    counts = _counts(data)
    axes = target(ax)
    colors = {name: color for name, (_, color) in _STACK.items()}
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(_STACK, palette, "group").items()}
    total = _stack(axes, edges, counts, colors, properties, label)
    _limits(axes, edges, total)
    _name_axes(axes)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left", handlelength=0.9)
    _inset(axes, edges, total, lambda inset: _stack(inset, edges, counts, colors, properties))
    return axes


def dead_weight_bars(data: pd.DataFrame, axes: Axes, *, short: bool, null: float) -> None:
    """The bars of `dead_weight_histogram` with the share of dead weights, without legend and inset, for a small panel.

    If the windows are too `short` to tell dead weights from slow ones, the bars are pale. `null` is the share that
    noise alone would give, NaN if it is not known.
    """
    require(data, _COLUMNS)
    edges, counts = _edges(data), _counts(data)
    colors = {name: color for name, (_, color) in _STACK.items()}
    total = _stack(target(axes), edges, counts, colors, {"alpha": PALE} if short else {})
    axes.set_xlim(-_reach(edges, total), _reach(edges, total))
    axes.set_ylim(0.0, float(total.max()) / _BELOW_TEXT[math.isfinite(null)] or 1.0)
    _name_axes(axes)
    share = 100.0 * counts["dead"].sum() / (sum(count.sum() for count in counts.values()) or 1.0)
    place = (0.02, 0.99)
    axes.text(*place, f"{share:.1f} %", transform=axes.transAxes, va="top", color=DEAD, fontsize="small")
    if math.isfinite(null):
        noise_text(axes, place, f"{100.0 * null:.1f} %")


def magnify_foot(data: pd.DataFrame, axes: Axes, *, short: bool) -> None:
    """Add an inset of the foot of the upper tail to `dead_weight_bars`, if no bar is in its way."""
    edges, counts = _edges(data), _counts(data)
    total = np.sum(list(counts.values()), axis=0)
    total *= 100.0 / (total.sum() or 1.0)
    (left, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    beside = total[edges[1:] > left + _FREE_RIGHT[0] * (right - left)]
    if beside.max(initial=0.0) > _FREE_RIGHT[1] * top:
        return
    colors = {name: color for name, (_, color) in _STACK.items()}
    looks = {"alpha": PALE} if short else {}
    _inset(axes, edges, total, lambda inset: _stack(inset, edges, counts, colors, looks))


def legend_entries() -> list[Patch]:
    """The legend entries of `dead_weight_bars`."""
    return [Patch(color=color, label=words) for words, color in reversed(_STACK.values())]


def _name_axes(axes: Axes) -> None:
    axes.set_xlabel("latent weight $z$ (standard deviations of its channel)")
    axes.set_ylabel("weights (%)")


def _counts(data: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    return {name: data[name].fillna(0).to_numpy(dtype=np.float64) for name in _STACK}


def _edges(data: pd.DataFrame) -> NDArray[np.float64]:
    """Edges of the bins, one more than there are bins."""
    left, right = (data[name].to_numpy(dtype=np.float64) for name in ("left", "right"))
    if not ((right > left).all() and np.allclose(left[1:], right[:-1])):
        raise InputError(
            "the bins of a histogram must rise and adjoin; make each left edge the right edge of the bin before"
        )
    return np.append(left, right[-1])


def _stack(
    axes: Axes,
    edges: NDArray[np.float64],
    counts: dict[str, NDArray[np.float64]],
    colors: dict[str, str],
    properties: dict[str, Any],
    label: str | None = None,
) -> NDArray[np.float64]:
    """Stack the shares of the weights, in per cent, and return their sum in each bin."""
    weights = sum(count.sum() for count in counts.values()) or 1.0
    height = np.zeros(len(edges) - 1)
    for name, (words, _) in _STACK.items():
        share = 100.0 * counts[name] / weights
        bars = axes.stairs(height + share, edges, baseline=height, fill=True, color=colors[name])
        bars.set_label(part_label(f"{words} {share.sum():.1f} %", label))
        restyle(bars, properties)
        height = height + share
    return height


def _reach(edges: NDArray[np.float64], total: NDArray[np.float64]) -> float:
    """The largest abs(z) of a bin with weights."""
    filled = total > 0
    found = np.abs(np.append(edges[:-1][filled], edges[1:][filled])).max(initial=0.0)
    return float(found or np.abs(edges).max())


def _limits(axes: Axes, edges: NDArray[np.float64], total: NDArray[np.float64]) -> None:
    """Limits that are symmetric in z and leave room above the histogram for the inset and the legend."""
    reach = _reach(edges, total)

    def height(wider: float) -> float:
        place = (edges / (wider * reach) + 1.0) / 2.0
        right = total[place[1:] > _FREE_RIGHT[0]].max(initial=0.0) / _FREE_RIGHT[1]
        left = total[place[:-1] < _FREE_LEFT[0]].max(initial=0.0) / _FREE_LEFT[1]
        return float(max(1.05 * total.max(), left, right)) or 1.0

    wider = min(_WIDER, key=lambda wider: wider * height(wider))
    axes.set_xlim(-wider * reach, wider * reach)
    axes.set_ylim(0.0, height(wider))


def _inset(axes: Axes, edges: NDArray[np.float64], total: NDArray[np.float64], draw: Callable[[Axes], object]) -> None:
    """Magnify the foot of the upper tail, if there is one: `draw` draws the histogram."""
    first, last = _foot(edges, total)
    if first >= last:
        return
    inset = axes.inset_axes(_INSET)
    draw(inset)
    inset.spines[["top", "left"]].set_visible(False)
    inset.spines["right"].set_visible(True)
    inset.yaxis.tick_right()
    inset.set_xlim(edges[first], edges[last])
    inset.set_ylim(0.0, 1.05 * total[first:last].max())
    ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(edges[first], edges[last])
    inset.set_xticks(ticks[(ticks >= edges[first]) & (ticks <= edges[last])])
    inset.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    for text in inset.get_xticklabels():
        # The lines from the box pass behind the labels.
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    _indicate(axes, inset)


def _indicate(axes: Axes, inset: Axes) -> None:
    """Draw a box around the magnified part, and lines from the box to the inset."""
    (left, right), (bottom, top) = inset.get_xlim(), inset.get_ylim()
    look: dict[str, Any] = {"edgecolor": "0.35", "linewidth": 0.5}
    axes.indicate_inset((left, bottom, right - left, top - bottom), alpha=1.0, **look)
    for x, corner in ((left, 0.0), (right, 1.0)):
        line = ConnectionPatch((x, top), (corner, 0.0), axes.transData, inset.transAxes, **look)
        line.set_in_layout(False)
        axes.add_artist(line)


def _foot(edges: NDArray[np.float64], total: NDArray[np.float64]) -> tuple[int, int]:
    """Indices of the edges on both sides of the histogram's right foot; equal if no weight is above 0."""
    upper = np.where(edges[:-1] >= 0.0, total, 0.0)
    if not upper.any():
        return 0, 0
    first = int(np.flatnonzero((total > _FOOT * total.max()) | (edges[:-1] < 0.0))[-1]) + 1
    beyond = np.cumsum(upper[::-1])[::-1]
    last = int(np.flatnonzero(beyond > _OUTLIERS * beyond[min(first, len(total) - 1)])[-1]) + 1
    return max(0, min(first, last - int(np.ceil(_NARROWEST * len(total))))), last
