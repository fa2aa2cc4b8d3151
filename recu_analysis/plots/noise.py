"""What noise alone would give: the pale dashed lines and the pale bars of all plots, and their legend entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType

#: Shorter dashes than those of measured lines, thin and pale.
_LOOK: Final[dict[str, Any]] = {"linestyle": (0.0, (2.0, 1.2)), "linewidth": 0.9, "alpha": 0.55}
#: Flat bars beside measured points.
_POINT: Final[dict[str, Any]] = {
    "linestyle": "none",
    "marker": "_",
    "markersize": 3.5,
    "markeredgewidth": 0.7,
    "alpha": 0.55,
}
_LABEL: Final = "noise alone"


def noise_line(axes: Axes, x: Any, null: pd.Series, color: ColorType) -> bool:
    """Draw what noise alone would give beside a measured line of the same color; nothing where it is not known.

    Parameters
    ----------
    axes : Axes
    x : array_like
    null : Series
        On the scale of the axis; NaN leaves a gap.
    color : color

    Returns
    -------
    bool
        Whether there is a line.
    """
    return _drawn(axes, x, null, color, _LOOK)


def noise_points(axes: Axes, x: Any, null: pd.Series, color: ColorType) -> bool:
    """`noise_line` for measured points."""
    return _drawn(axes, x, null, color, _POINT)


def _drawn(axes: Axes, x: Any, null: pd.Series, color: ColorType, look: dict[str, Any]) -> bool:
    known = bool(np.isfinite(null.to_numpy(dtype=np.float64)).any())
    if known:
        axes.plot(x, null, color=color, zorder=2.2, **look)
    return known


def noise_text(axes: Axes, place: tuple[float, float], value: str) -> None:
    """Write a number that noise alone would give one line below a measured one, at a place in fractions of the axes."""
    axes.annotate(
        f"{_LABEL} {value}",
        place,
        (0.0, -1.25),
        xycoords="axes fraction",
        textcoords="offset fontsize",
        va="top",
        color="0.4",
        fontsize="small",
    )


def noise_entry(*, points: bool = False) -> Line2D:
    """The legend entry of these lines, or of these points."""
    return Line2D([], [], color="0.3", label=_LABEL, **(_POINT if points else _LOOK))
