"""The scale b* acts as a scale of the initial weights: training loss for both scales, with seeds as bands."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.arm_names import scale_text, told_apart
from recu_analysis.analysis.arms import Arm, arms, settings
from recu_analysis.analysis.kinds import Kind, kind_of
from recu_analysis.analysis.query import value
from recu_analysis.errors import InputError
from recu_analysis.figures.fig5 import BANDS, curve_data
from recu_analysis.figures.shared import shown
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette


def plot_initial_scale(
    runs: SeveralRuns,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    **properties: Any,
) -> Axes:
    """Training loss over the epochs by b* and the scale of the initial weights, seeds as bands.

    Parameters
    ----------
    runs : path, sequence, or mapping of labels to runs
        The plot shows the runs with ReCU's clamp that differ only in b*, initial scale and seed.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each arm, by its name in the legend or in order. By default the color of the arm in all figures.
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If there are fewer than two such arms, or the palette or a property does not fit.
    """
    from recu_analysis.plots.training import curves

    found = shown(runs, query, palette)
    return curves(found.table, quantity="train_loss", ax=ax, palette=found.palette, **properties)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[Colored]:
    """The training losses that the runs logged."""
    return value(curve_data(scale_arms(runs), ("train_loss",)))


def draw(data: Colored, asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One panel, with the legend above it."""
    from recu_analysis.figures.print.fitting import shared_legend
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.training import curves

    data = data.painted(asked.palette)
    figure, (axes,) = panels(1, "column", 0.8)
    curves(data.table, quantity="train_loss", ax=axes, palette=data.palette)
    shared_legend(figure, [axes])
    return figure, data.table


def scale_arms(runs: Runs) -> dict[str, Arm]:
    """Arms that differ only in b* and in the scale of the initial weights, by names that state both; largest b* first.

    Raises
    ------
    InputError
        If there are fewer than two such arms.
    """
    clamped = [
        arm
        for arm in arms(runs)
        if kind_of(arm.first) is Kind.RECU and isinstance(arm.configuration.get("scale"), float | int)
    ]
    own = frozenset({"scale", "initial_scale"})
    rest = [repr(sorted(settings(arm.first, own).items())) for arm in clamped]
    usual = Counter(rest).most_common(1)[0][0] if rest else ""
    chosen = [arm for arm, other in zip(clamped, rest, strict=True) if other == usual]
    if len(chosen) < 2:
        raise InputError(
            "the figure initscale needs runs with ReCU's clamp that differ only in the scale b*; train three, with "
            "--scale 2, with --scale 0.70711, and with --scale 0.70711 --initial-scale 0.5946"
        )
    chosen.sort(key=lambda arm: (-arm.configuration["scale"], -_initial(arm)))
    return dict(zip(told_apart([_scale_label(arm) for arm in chosen], chosen), chosen, strict=True))


def _initial(arm: Arm) -> float:
    value = arm.configuration.get("initial_scale", 1.0)
    return float(value) if isinstance(value, float | int) else math.nan


def _scale_label(arm: Arm) -> str:
    start = "" if _initial(arm) == 1.0 else f", initial weights \N{MULTIPLICATION SIGN} {_initial(arm):.3g}"
    return f"b* = {scale_text(arm.configuration['scale'])}{start}"


FIGURE = FigureSpec(
    query,
    draw,
    "b* is a scale of the initial weights",
    f"Training loss for scales $b^*$ of the standardization. {BANDS} The gradient is proportional to $b^*$. "
    r"In theory, $b^* = \sqrt{2}/2$ with initial weights divided by $\sqrt{2\sqrt{2}}$ therefore gives exactly the "
    "training of $b^* = 2$. In practice rounding errors grow, and the two differ as two seeds do.",
    takes=("palette",),
)
