"""Standard scores of a layer: their density and the distributions fitted to it, on a logarithmic scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.plots._axes import require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.palette import CORE, DASHED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

# Distribution: label, color, dashes.
_FITS: Final[dict[str, tuple[str, str, Any]]] = {
    "laplace": ("Laplace", "#0072b2", DASHED),
    "normal": ("normal", "#e69f00", (0.0, (1.2, 1.2))),
    "gennorm": ("generalized normal", "#000000", "-"),
}


def score_density(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Histogram of standard scores at one moment, with three fitted densities and the shape of the generalized normal.

    Parameters
    ----------
    data : DataFrame
        One row per bin: `left`, `right` (standard deviations), `density`, `laplace`, `normal`, `gennorm` (per standard
        deviation; NaN draws no line), `shape`, as `recu_analysis.analysis.scores.score_histogram` gives them.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of the fitted laplace, normal and gennorm, by these names or in this order.
    label : str, optional
        The name of the histogram in the legend. By default the legend leaves it out.
    **properties
        Properties of the histogram, as `matplotlib.patches.StepPatch` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("left", "right", "density", "shape", *_FITS))
    if "window" in data and data["window"].min() < data["window"].max():
        raise InputError("the table to draw has several windows; choose one, such as table[table['window'] == 12]")
    axes = target(ax)
    ordered = data.sort_values("left")
    density = ordered["density"].to_numpy()
    edges = np.append(ordered["left"], ordered["right"].iloc[-1])
    # The lowest bar holds one or a few weights. Half its height is the bottom of the logarithmic scale.
    foot = 0.5 * float(density[density > 0].min())
    bars = axes.stairs(np.maximum(density, foot), edges, baseline=foot, fill=True, color=CORE, alpha=0.8, label=label)
    restyle(bars, properties)
    own = None if palette is None else looks_of(_FITS, palette, "fitted distribution")
    middle = (edges[:-1] + edges[1:]) / 2.0
    for name, (words, color, dashes) in _FITS.items():
        # Nine digits: on a straight line, such as the Laplace, the last bits of a machine would change the drawing.
        rounded = [float(f"{value:.9g}") for value in ordered[name]]
        axes.plot(middle, rounded, color=own[name].color if own else color, linestyle=dashes, label=words)
    axes.set_yscale("log")
    # Above all bars and lines is room for the shape.
    axes.set_ylim(foot, 15.0 * max(float(density.max()), float(ordered["laplace"].max())))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("$z$ (std)")
    axes.set_ylabel("density")
    shape = ordered["shape"].iloc[0]
    text = "no shape fits" if np.isnan(shape) else f"shape {shape:.2f}"
    axes.text(0.99, 0.99, text, transform=axes.transAxes, ha="right", va="top", fontsize="small")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return axes
