"""Entropy after ReCU over tau and b: the paper's Fig. 4, and the strip around 1/e magnified."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recu_analysis.plots._axes import heading_of, require, restyle, target
from recu_analysis.plots.arm_colors import color_map
from recu_analysis.plots.palette import DASHED
from recu_analysis.theory.entropy import CRITICAL_SCALE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

#: The minimum of the printed form of the quantization error. The exact form has no minimum.
PRINTED_MINIMUM: Final = 0.8209
#: The style of the line at this minimum.
MINIMUM: Final[dict[str, Any]] = {"linestyle": (0.0, (1.5, 1.5)), "linewidth": 0.8}


def entropy_map(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Entropy after ReCU over tau and b as filled contours, with b = 1/e dashed white (the paper's Fig. 4).

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `entropy` on a grid of levels and scales.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the lowest entropy to the highest, blended. By default the color map cividis.
    label : str, optional
        The label of the color bar. By default the entropy and its unit.
    **properties
        Properties of the filled contours, as `matplotlib.contour.ContourSet` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("tau", "b", "entropy"))
    axes = target(ax)
    grid = data.pivot_table(index="b", columns="tau", values="entropy")
    filled = axes.contourf(
        grid.columns, grid.index, grid, np.arange(-1.0, 3.51, 0.25), cmap=color_map(palette), extend="both"
    )
    filled.set(edgecolor="face", linewidth=0.2)  # no hairlines between the bands in PDF viewers
    restyle(filled, properties)
    bar = axes.figure.colorbar(filled, ax=axes, ticks=np.arange(-1.0, 3.51, 1.0), aspect=25, pad=0.02)
    bar.set_label(heading_of("entropy") if label is None else label)
    bar.outline.set_linewidth(0.4)
    axes.axhline(CRITICAL_SCALE, color="white", linestyle=DASHED, linewidth=1.0)
    axes.annotate("$b = 1/e$", (0.98, CRITICAL_SCALE), (0, 2), textcoords="offset points", ha="right", color="white")
    printed_minimum(axes, "white")
    place: dict[str, Any] = {"xycoords": axes.get_xaxis_transform(), "textcoords": "offset points", "ha": "right"}
    axes.annotate(rf"$\tau = {PRINTED_MINIMUM:.2f}$", (PRINTED_MINIMUM, 0.97), (-3, 0), va="top", color="w", **place)
    axes.set_xlim(0.5, 1.0)
    axes.set_ylim(0.0, None)
    axes.set_xlabel(r"$\tau$")
    axes.set_ylabel("$b$")
    return axes


def entropy_strip(data: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The strip around b = 1/e, magnified: lines of equal entropy. Above 1/e it rises with tau, below it falls.

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `entropy` on a grid of levels and scales around 1/e.
    ax : Axes, optional
        By default pyplot's current Axes.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("tau", "b", "entropy"))
    axes = target(ax)
    grid = data.pivot_table(index="b", columns="tau", values="entropy")
    steps = np.array([-0.12, -0.08, -0.04, -0.02, 0.02, 0.04, 0.08, 0.12])
    lines = axes.contour(
        grid.columns, grid.index, grid - math.log(2.0), steps, colors="0.2", linewidths=0.7, linestyles="-"
    )
    axes.clabel(lines, fmt=lambda level: f"${level:+.2f}$", fontsize="x-small")
    axes.axhline(CRITICAL_SCALE, color="0.2", linestyle=DASHED, linewidth=1.2)
    axes.annotate("$b = 1/e$", (0.505, CRITICAL_SCALE), (0, 2), textcoords="offset points", va="bottom")
    axes.set_xlim(0.5, 1.0)
    axes.set_xlabel(r"$\tau$")
    axes.set_ylabel("$b$")
    axes.set_title(r"entropy less $\ln 2$ (nats)", loc="left")
    return axes


def printed_minimum(axes: Axes, color: str) -> None:
    """Draw the vertical line of the paper, at the minimum of Eq. 14 as printed."""
    axes.axvline(PRINTED_MINIMUM, color=color, **MINIMUM)
