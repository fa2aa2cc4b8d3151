"""Quantisation error against entropy over tau: closed forms, the epochs of a schedule, and a run's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.query import value
from recu_analysis.analysis.tradeoff import tradeoff
from recu_analysis.figures.shared import PAPER_EPOCHS
from recu_analysis.figures.spec import FigureSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run

_POINTS = 201


class Tradeoff(NamedTuple):
    """What the figure shows: tables as of `tradeoff`, and as of `measured_tradeoff`.

    Attributes
    ----------
    curve : DataFrame
        The closed forms.
    epoch : DataFrame, optional
        At the levels of a schedule.
    measured : DataFrame, optional
        Of a run's layers.
    """

    curve: pd.DataFrame
    epoch: pd.DataFrame | None = None
    measured: pd.DataFrame | None = None


def plot_tradeoff(
    tau: tuple[float, float] = (0.85, 0.99),
    b: float | Sequence[float] = 2.0,
    ax: Axes | None = None,
    *,
    epochs: int | None = None,
    run: Run | None = None,
    layers: Sequence[str] | str | None = None,
) -> Axes:
    """Quantisation error against entropy over tau: closed forms, the epochs of a schedule, and a run's layers.

    Parameters
    ----------
    tau : pair of float
        First and last level.
    b : float or sequence of float
        Laplace scales, positive.
    ax : Axes, optional
    epochs : int, optional
        Mark the levels of the schedule (Eq. 24) over so many epochs.
    run : Run, optional
        Add what its layers measure at their last window.
    layers : str or sequence of str, optional
        Patterns of the run's layers.

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.theory import error_over_entropy

    measured = measured_tradeoff(run, layers=layers, tau=tau) if run is not None else None
    marked = tradeoff(tau, b, epochs=epochs) if epochs is not None else None
    return error_over_entropy(curves(tau, b), ax, measured, marked)


def curves(tau: tuple[float, float], b: float | Sequence[float]) -> pd.DataFrame:
    """The closed forms at as many levels as a curve needs."""
    return tradeoff(tau, b, _POINTS)


def query(_: Runs) -> Query[Tradeoff]:
    """The closed forms, and the epochs of the paper's schedule."""
    return value(Tradeoff(curves((0.55, 1.0), (2.0,)), tradeoff(b=2.0, epochs=PAPER_EPOCHS)))


def draw(shown: Tradeoff) -> tuple[Figure, pd.DataFrame]:
    """Error over tau, entropy over tau, and error against entropy, side by side, with one legend.

    Returns
    -------
    figure, data
        The data has a column part: curve, epoch or measured.
    """
    from recu_analysis.figures.print.fitting import legend_above
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots import theory

    figure, axes = panels(3, "page", 0.92, together=3)
    theory.error_over_tau(shown.curve, axes[0], shown.measured)
    theory.entropy_over_tau(shown.curve, axes[1], shown.measured)
    theory.error_over_entropy(shown.curve, axes[2], shown.measured, shown.epoch)
    legend_above(figure, theory.tradeoff_legend(shown.curve, shown.measured, shown.epoch))
    parts = [part.assign(part=name) for name, part in shown._asdict().items() if part is not None]
    return figure, pd.concat(parts, ignore_index=True)


#: What the panels show, for a caption.
TRADEOFF_CAPTION = (
    r"Laplace weights after ReCU, over the level $\tau$. Left: quantisation error, exact (solid), as printed in Eq. 14 "
    "(dashed, whose minimum, the vertical line, comes from a sign error) and against the weights before the clamp "
    "(dotted). Middle: entropy (Eq. 17). Right: one against the other."
)

FIGURE = FigureSpec(
    query,
    draw,
    "quantisation error against entropy",
    TRADEOFF_CAPTION + f" Diamonds: some of the {PAPER_EPOCHS} epochs of a schedule from 0.85 to 0.99 (Eq. 24).",
    runs=False,
)
