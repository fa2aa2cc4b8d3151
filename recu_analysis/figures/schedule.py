"""Schedules of tau: Eq. 24 and alternatives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.query import value
from recu_analysis.figures.shared import PAPER_EPOCHS
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.theory.schedule import SHARES, schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette

_TAU = (0.85, 0.99)


def plot_schedule(
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    epochs: int = PAPER_EPOCHS,
    tau: tuple[float, float] = _TAU,
    **properties: Any,
) -> Axes:
    """Eq. 24 and the other schedules of `recu_analysis.theory.schedule`.

    Parameters
    ----------
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each schedule, by its name or in order.
    epochs : int
        Epochs of the training, at least 1.
    tau : pair of float
        First and last level of the schedules.
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `epochs` is below 1, a level is out of its range, or the palette or a property does not fit.
    """
    from recu_analysis.plots.theory import schedules

    return schedules(_levels(epochs, tau), ax=ax, palette=palette, **properties)


def query(_: Runs, _asked: Asked = OWN_CHOICE) -> Query[pd.DataFrame]:
    """The levels over the paper's epochs."""
    return value(_levels(PAPER_EPOCHS, _TAU))


def draw(data: pd.DataFrame, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One panel, one line per schedule."""
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.theory import schedules

    figure, axes = panels(1, "column")
    schedules(data, ax=axes[0])
    return figure, data


def _levels(epochs: int, tau: tuple[float, float]) -> pd.DataFrame:
    """Every schedule's level over the epochs: schedule, epoch (0 to `epochs`), tau."""
    epoch = np.arange(epochs + 1)
    tables = [
        pd.DataFrame({"schedule": kind, "epoch": epoch, "tau": schedule(epoch, epochs, *tau, kind)}) for kind in SHARES
    ]
    return pd.concat(tables, ignore_index=True)


FIGURE = FigureSpec(
    query,
    draw,
    "schedules of tau (Eq. 24 and others)",
    rf"Schedules of $\tau$ from 0.85 to 0.99 over {PAPER_EPOCHS} epochs: Eq. 24 (exponential) and alternatives.",
    runs=False,
)
