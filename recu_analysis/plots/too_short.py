"""Windows too short to tell dead weights from slow ones are drawn pale, and the legend tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D

from recu_analysis.analysis.final_windows import LONG_ENOUGH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

#: How opaque pale lines and bars are.
PALE: Final = 0.4
#: More points than these are a curve without markers.
_MOST_MARKERS: Final = 25


def are_too_short(null: pd.Series) -> NDArray[np.bool_]:
    """Which windows are too short, by their null autocorrelation; an unknown one is not."""
    return np.asarray(null.to_numpy(dtype=np.float64) > LONG_ENOUGH)


def median_line(
    axes: Axes, values: pd.Series, short: NDArray[np.bool_], marker: str, size: float = 3.0, **look: Any
) -> Line2D:
    """A line with a marker at each window, pale where the windows are too short.

    Parameters
    ----------
    axes : Axes
    values : Series
        By epoch or window, in their order.
    short : ndarray of bool
        Which of them are too short.
    marker : str
        For up to 25 windows; more are a curve.
    size : float
        Size of a marker in points.
    **look
        Color, linewidth and so on of both parts.

    Returns
    -------
    Line2D
        The part that is not pale.
    """
    if len(values) <= _MOST_MARKERS:
        look |= {"marker": marker, "markersize": size, "markeredgewidth": 0.0}
    if short.any():
        axes.plot(values.index, values, alpha=PALE, clip_on=False, zorder=2.4, **look)
    (line,) = axes.plot(values.index, values.mask(short), clip_on=False, zorder=2.5, **look)
    return line


def pale_entry() -> Line2D:
    """The legend entry of pale points."""
    return Line2D(
        [], [], color="0.3", alpha=PALE, marker="o", markersize=3.0, markeredgewidth=0.0, label="too short to tell"
    )
