"""The gradient against distance, and the signs that a clamp changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.plots._axes import require
from recu_analysis.plots.dynamics import by_magnitude

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette


def mask(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Mean absolute gradient against abs(z), one line per run, with the count of signs that the clamp changes.

    Parameters
    ----------
    data : DataFrame
        A table for `by_magnitude` with the quantity gradient, and the columns signs_changed and signs of each run.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in order; `recu_analysis.plots.arm_colors.of_runs` gives
        markers too. By default a fixed list of colors.
    label : str, optional
        The name of the run in the legend, if the table has only one.
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("run", "signs_changed", "signs"))
    axes = by_magnitude(data, quantity="gradient", ax=ax, palette=palette, label=label, **properties)
    counts = data.groupby("run", sort=False)[["signs_changed", "signs"]].first()
    changed, signs = int(counts["signs_changed"].sum()), int(counts["signs"].sum())
    # Above the curves: room for the legend on one side and the count on the other.
    axes.set_ylim(0.0, 1.55 * float(data["gradient"].max()))
    axes.set_xlabel("$|z|$ (std)")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0))
    axes.text(
        0.99,
        0.98,
        f"signs changed by the clamp:\n{changed:,} of {signs:,}",
        transform=axes.transAxes,
        ha="right",
        va="top",
    )
    return axes
