"""The gradient against distance, and the signs that a clamp changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.plots._axes import require
from recu_analysis.plots.dynamics import by_magnitude

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import Palette


def mask(data: pd.DataFrame, ax: Axes | None = None, *, palette: Palette | None = None) -> Axes:
    """Mean absolute gradient against abs(z), one line a run, with the count of signs that the clamp changes.

    Parameters
    ----------
    data : DataFrame
        As `by_magnitude` takes it for the quantity gradient, with the columns signs_changed and signs of each run.
    ax : Axes, optional
        pyplot's current one by default.
    palette : mapping of str to Look, optional
        Colors and markers by label, as of `recu_analysis.plots.arm_colors.of_runs`; by order of appearance by default.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("run", "signs_changed", "signs"))
    axes = by_magnitude(data, "gradient", ax, palette=palette)
    counts = data.groupby("run", sort=False)[["signs_changed", "signs"]].first()
    changed, signs = int(counts["signs_changed"].sum()), int(counts["signs"].sum())
    # Above the curves: room for the legend on one side and the count on the other.
    axes.set_ylim(0.0, 1.55 * float(data["gradient"].max()))
    axes.set_xlabel("$|z|$ (standard deviations)")
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
