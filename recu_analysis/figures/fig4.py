"""The paper's Fig. 4: entropy over tau and b, and the strip in which it does not depend on tau."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.query import value
from recu_analysis.analysis.tradeoff import tradeoff
from recu_analysis.figures.shared import ALL_LEVELS
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.theory.entropy import CRITICAL_SCALE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Asked, Runs

# Smallest and largest scale of the map, and half the width of the strip.
_SCALES = (0.01, 5.0)
_STRIP_HALF_WIDTH = 0.055


def plot_entropy(
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Entropy after ReCU (Eq. 17) over tau and b (the paper's Fig. 4, without its magnified strip).

    Parameters
    ----------
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the lowest entropy to the highest, blended. By default the color map cividis.
    label : str, optional
        The label of the color bar. By default the entropy and its unit.
    **properties
        Properties of the filled contours, as `matplotlib.contour.ContourSet` has them: cmap, alpha and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `ax` is not an Axes, or the palette or a property does not fit.
    """
    from recu_analysis.plots.entropy import entropy_map

    return entropy_map(_grid(*_SCALES), ax=ax, palette=palette, label=label, **properties)


def query(_: Runs, _asked: Asked = OWN_CHOICE) -> Query[pd.DataFrame]:
    """The closed form over the map and over the strip; the column panel says which."""
    strip = _grid(CRITICAL_SCALE - _STRIP_HALF_WIDTH, CRITICAL_SCALE + _STRIP_HALF_WIDTH)
    parts = {"map": _grid(*_SCALES), "strip": strip}
    return value(pd.concat([part.assign(panel=name) for name, part in parts.items()], ignore_index=True))


def draw(data: pd.DataFrame, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """The map and the strip."""
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.entropy import entropy_map, entropy_strip

    figure, axes = panels(2)
    entropy_map(data[data["panel"] == "map"], ax=axes[0])
    entropy_strip(data[data["panel"] == "strip"], ax=axes[1])
    return figure, data


def _grid(low: float, high: float) -> pd.DataFrame:
    return tradeoff(ALL_LEVELS, np.linspace(low, high, 101).tolist(), 51)[["tau", "b", "entropy"]]


FIGURE = FigureSpec(
    query,
    draw,
    "entropy over tau and b (the paper's Fig. 4)",
    r"Entropy of Laplace weights after ReCU (Eq. 17), over the level $\tau$ and the scale $b$. Dashed white: "
    r"$b = 1/e$. Vertical line: $\tau = 0.82$, the minimum of Eq. 14 as printed. Second panel: the strip around "
    "$b = 1/e$. "
    r"At $b = 1/e$ the entropy is $\ln 2$ for every $\tau$. Above, the entropy rises with $\tau$; below, it falls. "
    "The place of the strip depends on the unit of the weights.",
    runs=False,
)
