"""Quantization error against entropy over tau: closed forms, the epochs of a schedule, and a run's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from recu_analysis.analysis.measured import measured_tradeoff_query
from recu_analysis.analysis.query import value
from recu_analysis.analysis.tradeoff import tradeoff
from recu_analysis.figures.shared import PAPER_EPOCHS, table_of
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import OneRun

_POINTS = 201


class Tradeoff(NamedTuple):
    """The tables of the figure, as `tradeoff` and `measured_tradeoff` give them.

    Attributes
    ----------
    curve : DataFrame
        The closed forms.
    epoch : DataFrame, optional
        The closed forms at the levels of a schedule.
    measured : DataFrame, optional
        The measured values of a run's layers.
    """

    curve: pd.DataFrame
    epoch: pd.DataFrame | None = None
    measured: pd.DataFrame | None = None


def plot_tradeoff(
    data: OneRun | pd.DataFrame | None = None,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    layers: Sequence[str] | str | None = None,
    tau: tuple[float, float] = (0.85, 0.99),
    b: float | Sequence[float] = 2.0,
    epochs: int | None = None,
    **properties: Any,
) -> Axes:
    """Quantization error against entropy over tau: closed forms, the epochs of a schedule, and a run's layers.

    Parameters
    ----------
    data : one run, its path, or DataFrame, optional
        A run: the plot adds the measured values of its layers at its end. Or a table as
        `recu_analysis.measured_tradeoff` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of float to color, or sequence of colors, optional
        The color of each scale, by its b or in order.
    label : str, optional
        The name of the curve, if there is only one scale.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tau : pair of float
        First and last level.
    b : float or sequence of float
        Laplace scales, positive.
    epochs : int, optional
        Mark the levels of the schedule (Eq. 24) over this number of epochs.
    **properties
        Properties of the lines of the exact error, as `matplotlib.lines.Line2D` has them: color, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    """
    from recu_analysis.plots.theory import error_over_entropy

    measured = None if data is None else table_of(data, lambda run: measured_tradeoff_query(run, tau, layers=layers))
    marked = tradeoff(tau, b, epochs=epochs) if epochs is not None else None
    looks: dict[str, Any] = {"palette": palette, "label": label, **properties}
    return error_over_entropy(curves(tau, b), ax=ax, measured=measured, epochs=marked, **looks)


def curves(tau: tuple[float, float], b: float | Sequence[float]) -> pd.DataFrame:
    """The closed forms, at enough levels for a curve."""
    return tradeoff(tau, b, _POINTS)


def query(_: Runs, _asked: Asked = OWN_CHOICE) -> Query[Tradeoff]:
    """The closed forms, and the epochs of the paper's schedule."""
    return value(Tradeoff(curves((0.55, 1.0), (2.0,)), tradeoff(b=2.0, epochs=PAPER_EPOCHS)))


def draw(shown: Tradeoff, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """Error over tau, entropy over tau, and error against entropy, with one legend.

    Returns
    -------
    figure, data
        The data has a column part: curve, epoch or measured.
    """
    from recu_analysis.figures.print.fitting import legend_above
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots import theory

    figure, axes = panels(3, "page", 0.92, together=3)
    theory.error_over_tau(shown.curve, ax=axes[0], measured=shown.measured)
    theory.entropy_over_tau(shown.curve, ax=axes[1], measured=shown.measured)
    theory.error_over_entropy(shown.curve, ax=axes[2], measured=shown.measured, epochs=shown.epoch)
    legend_above(figure, theory.tradeoff_legend(shown.curve, shown.measured, shown.epoch))
    parts = [part.assign(part=name) for name, part in shown._asdict().items() if part is not None]
    return figure, pd.concat(parts, ignore_index=True)


#: The caption of the panels.
TRADEOFF_CAPTION = (
    r"Laplace weights after ReCU, over the level $\tau$. First panel: quantization error, exact (solid), as printed in "
    "Eq. 14 (dashed), and against the weights before the clamp (dotted). The minimum of the printed error (vertical "
    "line) comes from a wrong sign. Second: entropy (Eq. 17). Third: error against entropy."
)

FIGURE = FigureSpec(
    query,
    draw,
    "quantization error against entropy",
    TRADEOFF_CAPTION + f" Diamonds: some of the {PAPER_EPOCHS} epochs of a schedule from 0.85 to 0.99 (Eq. 24).",
    runs=False,
)
