"""Ternary weights: quantization error and entropy over the threshold, beside binary weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.query import value
from recu_analysis.analysis.ternary import THRESHOLDS, ternary_tradeoff
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette

_POINTS = 201


def plot_ternary(
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    threshold: tuple[float, float] = THRESHOLDS,
    **properties: Any,
) -> Axes:
    """Quantization error of Laplace and normal weights with three states, over the threshold.

    Parameters
    ----------
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each distribution, "laplace" and "normal", by its name or in order.
    threshold : pair of float
        First and last threshold, in means of abs(w).
    **properties
        Properties of the lines of the error with the best scale, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a threshold is out of its range, or the palette or a property does not fit.
    """
    from recu_analysis.plots.ternary import error_over_threshold, ternary_legend

    data = closed_forms(threshold)
    axes = error_over_threshold(data, ax=ax, palette=palette, **properties)
    axes.legend(handles=ternary_legend(data, palette))
    return axes


def closed_forms(threshold: tuple[float, float]) -> pd.DataFrame:
    """The closed forms of weights whose mean of abs(w) is 1, at enough thresholds for a curve."""
    return ternary_tradeoff(threshold, 1.0, _POINTS)


def query(_: Runs, _asked: Asked = OWN_CHOICE) -> Query[pd.DataFrame]:
    """The closed forms."""
    return value(closed_forms(THRESHOLDS))


def draw(data: pd.DataFrame, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """Error and entropy over the threshold, with one legend."""
    from recu_analysis.figures.print.fitting import legend_above
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.ternary import entropy_over_threshold, error_over_threshold, ternary_legend

    figure, axes = panels(2, "page")
    error_over_threshold(data, ax=axes[0])
    entropy_over_threshold(data, ax=axes[1])
    legend_above(figure, ternary_legend(data))
    return figure, data


FIGURE = FigureSpec(
    query,
    draw,
    "error and entropy of ternary weights",
    "Ternary weights of a Laplace and of a normal distribution, over the threshold below which a weight has the state "
    "0. Left: quantization error with the scale that makes it least (solid, dot: its minimum), with the mean of $|w|$ "
    "as scale, as in BitNet b1.58 (dashed), and of signs (dotted). Right: entropy of the states; dotted: of signs, "
    "$\\ln 2$. Gray: the threshold of BitNet b1.58, half of the mean of $|w|$. All closed forms.",
    runs=False,
)
