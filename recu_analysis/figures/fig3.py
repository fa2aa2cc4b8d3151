"""The paper's Fig. 3: quantization error over tau, exact and as printed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.query import value
from recu_analysis.analysis.tradeoff import tradeoff
from recu_analysis.figures.shared import ALL_LEVELS
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette

#: Scales of the paper's Fig. 3.
FIG3_SCALES = (math.sqrt(0.5), 1.5, 2.0, 3.0)
_POINTS = 501


def plot_quantization_error(
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    b: Sequence[float] = FIG3_SCALES,
    **properties: Any,
) -> Axes:
    """Quantization error over tau, exact and as printed in Eq. 14 (the paper's Fig. 3).

    Parameters
    ----------
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of float to color, or sequence of colors, optional
        The color of each scale, by its b or in order.
    label : str, optional
        The name of the curve, if there is only one scale.
    b : sequence of float
        Laplace scales, positive.
    **properties
        Properties of the lines of the exact error, as `matplotlib.lines.Line2D` has them: color, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a scale is not positive, or the palette, the label or a property does not fit.
    """
    from recu_analysis.plots.theory import quantization_error

    table = tradeoff(ALL_LEVELS, b, _POINTS)
    return quantization_error(table, ax=ax, palette=palette, label=label, **properties)


def query(_: Runs, _asked: Asked = OWN_CHOICE) -> Query[pd.DataFrame]:
    """The closed forms for the paper's scales."""
    return value(tradeoff(ALL_LEVELS, FIG3_SCALES, _POINTS)[["tau", "b", "qe_exact", "qe_printed"]])


def draw(data: pd.DataFrame, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One panel, two curves per scale."""
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.theory import quantization_error

    figure, axes = panels(1, "column")
    quantization_error(data, ax=axes[0])
    return figure, data


FIGURE = FigureSpec(
    query,
    draw,
    "quantization error over tau (the paper's Fig. 3)",
    r"Quantization error of Laplace weights of scale $b$ after ReCU, over the level $\tau$. Solid: exact. Dashed: "
    r"Eq. 14 as printed. It is larger by $16 b^2 (1 - \tau)^3$ because of a wrong sign. Its minimum at $\tau = 0.82$ "
    r"(vertical line) comes from that term alone. The exact error always rises with $\tau$.",
    runs=False,
)
