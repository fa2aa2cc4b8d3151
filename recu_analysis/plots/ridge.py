"""Ridge: the density of a layer's standard scores, one filled curve a window, from the first on top to the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from recu_analysis.plots._axes import label_of, require, restyle, target
from recu_analysis.plots.arm_colors import color_map
from recu_analysis.plots.names import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    Rows = list[tuple[int, pd.DataFrame]]

# The highest curve, in distances of two rows.
_OVERLAP: Final = 1.8
# From light to dark, readable in gray.
_COLORS: Final = ("#d6e6f4", "#08306b")
# Bins below this part of the highest density do not widen the axis.
_SEEN: Final = 0.005


def ridge(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    highest: float | None = None,
    **properties: Any,
) -> Axes:
    """Density of standard scores, one filled curve a window, the first on top; dotted lines at -1, 0 and 1.

    The curves are histograms, not smoothed, on one scale.

    Parameters
    ----------
    data : DataFrame
        One row per window and bin: `window`, `epoch` (NaN where none was logged), `left`, `right` (standard
        deviations), `density` (per standard deviation).
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the first window to the last, blended. By default from light to dark blue.
    label : str, optional
        The title. By default none.
    highest : float, optional
        The density that is as high as 1.8 rows. By default the highest of the table.
    **properties
        Properties of the filled curves, as `matplotlib.collections.FillBetweenPolyCollection` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette or a property does not fit.
    """
    require(data, ("window", "epoch", "left", "right", "density"))
    axes = target(ax)
    rows = [(window, data[data["window"] == window].sort_values("left")) for window in sorted(set(data["window"]))]
    colors = _blended(palette, len(rows))
    highest = highest or float(data["density"].max()) or 1.0
    for place, ((_, bins), color) in enumerate(zip(rows, colors, strict=True)):
        edges = np.append(bins["left"], bins["right"].iloc[-1])
        height = _OVERLAP * np.append(bins["density"], bins["density"].iloc[-1]) / highest
        curve = axes.fill_between(edges, -place, height - place, step="post", color=color, zorder=2.0 + 0.01 * place)
        curve.set(edgecolor="white", linewidth=0.4)
        restyle(curve, properties)
    for z in (-1.0, 0.0, 1.0):
        axes.axvline(z, color="0.25", linestyle=":", linewidth=0.6, zorder=3.0 + len(rows))
    seen = data[data["density"] > _SEEN * highest]
    reach = float(seen[["left", "right"]].abs().to_numpy().max())
    axes.set_xlim(-reach, reach)
    tops = [_OVERLAP * float(bins["density"].max()) / highest - place for place, (_, bins) in enumerate(rows)]
    axes.set_ylim(0.8 - len(rows), max(tops) + 0.1)
    axes.set_xlabel("$z$ (std)")
    _name_rows(axes, rows)
    if label is not None:
        axes.set_title(text_of(label))
    return axes


def _name_rows(axes: Axes, rows: Rows) -> None:
    """Ticks at the feet of the curves: epochs, or numbers of windows if a window has no epoch."""
    epochs = {window: float(bins["epoch"].to_numpy(dtype=np.float64).mean()) for window, bins in rows}
    by_epoch = all(np.isfinite(epoch) for window, epoch in epochs.items() if window)
    texts = ["start" if not window else f"{epochs[window] if by_epoch else window:g}" for window in epochs]
    axes.set_yticks(-np.arange(len(rows)), texts)
    axes.tick_params(axis="y", length=0.0)
    axes.spines["left"].set_visible(False)
    axes.set_ylabel(f"end of {label_of('epoch' if by_epoch else 'window')}")


def _blended(palette: Sequence[Any] | None, count: int) -> list[Any]:
    """Colors from the first of a palette to its last, one per row."""
    import seaborn

    color_map(palette)  # refuses what is not a palette
    return list(seaborn.blend_palette(_COLORS if palette is None else palette, count))
