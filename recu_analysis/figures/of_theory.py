"""Figures of the closed forms: the paper's Fig. 3 and 4, schedules, and the tradeoff of error and entropy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.tradeoff import tradeoff
from recu_analysis.figures.entry import Entry
from recu_analysis.theory.entropy import CRITICAL_SCALE
from recu_analysis.theory.schedule import SHARES, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.store.run import Run

#: Scales of the paper's Fig. 3.
FIG3_SCALES = (math.sqrt(0.5), 1.5, 2.0, 3.0)
#: Epochs of the paper's training on CIFAR-10.
PAPER_EPOCHS = 600
# Levels from just above 0.5, which is not one, to 1.
_ALL_LEVELS = (0.5 + 1e-9, 1.0)
_STRIP_HALF_WIDTH = 0.055


def plot_quantization_error(b: Sequence[float] = FIG3_SCALES, ax: Axes | None = None) -> Axes:
    """Quantisation error over tau, exact and as printed in Eq. 14 (the paper's Fig. 3).

    Parameters
    ----------
    b : sequence of float
        Laplace scales, positive.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import theory

    return theory.quantization_error(tradeoff(_ALL_LEVELS, b, 501), ax)


def plot_entropy(ax: Axes | None = None) -> Axes:
    """Entropy after ReCU (Eq. 17) over tau and b (the paper's Fig. 4, without its magnified strip).

    Parameters
    ----------
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import entropy

    return entropy.entropy_map(_entropy_grid(0.01, 5.0), ax)


def plot_schedule(epochs: int = PAPER_EPOCHS, tau: tuple[float, float] = (0.85, 0.99), ax: Axes | None = None) -> Axes:
    """Eq. 24 beside the other schedules of `recu_analysis.theory.schedule`.

    Parameters
    ----------
    epochs : int
        Of the training, at least 1.
    tau : pair of float
        Levels from which and to which the schedules go.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import theory

    return theory.schedules(schedule_data(epochs, tau), ax)


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
    from recu_analysis.plots import theory

    measured = measured_tradeoff(run, tau, layers=layers) if run is not None else None
    marked = tradeoff(tau, b, epochs=epochs) if epochs is not None else None
    return theory.error_over_entropy(tradeoff(tau, b, 201), ax, measured, marked)


def schedule_data(epochs: int, tau: tuple[float, float]) -> pd.DataFrame:
    """Every schedule's level over the epochs: schedule, epoch (0 to `epochs`), tau."""
    epoch = np.arange(epochs + 1)
    tables = [
        pd.DataFrame({"schedule": kind, "epoch": epoch, "tau": schedule(epoch, epochs, *tau, kind)}) for kind in SHARES
    ]
    return pd.concat(tables, ignore_index=True)


def tradeoff_figure(
    tau: tuple[float, float],
    b: Sequence[float],
    marked: pd.DataFrame | None = None,
    measured: pd.DataFrame | None = None,
) -> tuple[Figure, pd.DataFrame]:
    """Error over tau, entropy over tau, and error against entropy, side by side, with one legend.

    Parameters
    ----------
    tau : pair of float
    b : sequence of float
    marked : DataFrame, optional
        From `tradeoff` with `epochs`: the levels of a schedule.
    measured : DataFrame, optional
        From `measured_tradeoff`.

    Returns
    -------
    figure, data
        The data has a column part: curve, epoch or measured.
    """
    from recu_analysis.figures.print.fitting import legend_above
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots import theory

    curves = tradeoff(tau, b, 201)
    figure, axes = panels(3, "page", 0.92, together=3)
    theory.error_over_tau(curves, axes[0], measured)
    theory.entropy_over_tau(curves, axes[1], measured)
    theory.error_over_entropy(curves, axes[2], measured, marked)
    legend_above(figure, theory.tradeoff_legend(curves, measured, marked))
    parts = {"curve": curves, "epoch": marked, "measured": measured}
    return figure, pd.concat(
        [part.assign(part=name) for name, part in parts.items() if part is not None], ignore_index=True
    )


def _entropy_grid(low: float, high: float) -> pd.DataFrame:
    return tradeoff(_ALL_LEVELS, np.linspace(low, high, 101).tolist(), 51)[["tau", "b", "entropy"]]


def _fig3() -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots import theory

    data = tradeoff(_ALL_LEVELS, FIG3_SCALES, 501)
    figure, axes = panels(1, "column")
    theory.quantization_error(data, axes[0])
    return figure, data[["tau", "b", "qe_exact", "qe_printed"]]


def _fig4() -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots import entropy

    whole = _entropy_grid(0.01, 5.0)
    strip = _entropy_grid(CRITICAL_SCALE - _STRIP_HALF_WIDTH, CRITICAL_SCALE + _STRIP_HALF_WIDTH)
    figure, axes = panels(2)
    entropy.entropy_map(whole, axes[0])
    entropy.entropy_strip(strip, axes[1])
    return figure, pd.concat([whole.assign(panel="map"), strip.assign(panel="strip")], ignore_index=True)


def _schedule() -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.figures.print.style import panels

    figure, axes = panels(1, "column")
    plot_schedule(ax=axes[0])
    return figure, schedule_data(PAPER_EPOCHS, (0.85, 0.99))


def _closed(draw: Callable[[], tuple[Figure, pd.DataFrame]], title: str, caption: str) -> Entry:
    def without_runs(_: Any) -> tuple[Figure, pd.DataFrame]:
        return draw()

    return Entry(without_runs, title, caption, runs=False)


#: What the panels of the tradeoff show, for its caption.
TRADEOFF_CAPTION = (
    r"Laplace weights after ReCU, over the level $\tau$. Left: quantisation error, exact (solid), as printed in Eq. 14 "
    "(dashed, whose minimum, the vertical line, comes from a sign error) and against the weights before the clamp "
    "(dotted). Middle: entropy (Eq. 17). Right: one against the other."
)

THEORY_FIGURES: dict[str, Entry] = {
    "fig3": _closed(
        _fig3,
        "quantisation error over tau (the paper's Fig. 3)",
        r"Quantisation error of Laplace weights of scale $b$ after ReCU, over the level $\tau$. Solid: exact. Dashed: "
        r"Eq. 14 as printed, which is larger by $16 b^2 (1 - \tau)^3$ because of a wrong sign; its minimum at "
        r"$\tau = 0.82$ (vertical line) comes from that term alone. The exact error rises throughout.",
    ),
    "fig4": _closed(
        _fig4,
        "entropy over tau and b (the paper's Fig. 4)",
        r"Entropy of Laplace weights after ReCU (Eq. 17), over the level $\tau$ and the scale $b$. Dashed white: "
        r"$b = 1/e$. Vertical line: $\tau = 0.82$, the minimum of the printed Eq. 14. Right: the strip around "
        r"$b = 1/e$, where the entropy is $\ln 2$ for every $\tau$; above it rises with $\tau$, below it falls. "
        "The place of the strip depends on the unit of the weights.",
    ),
    "schedule": _closed(
        _schedule,
        "schedules of tau (Eq. 24 and others)",
        rf"Schedules of $\tau$ from 0.85 to 0.99 over {PAPER_EPOCHS} epochs: Eq. 24 (exponential) and alternatives.",
    ),
    "tradeoff": _closed(
        lambda: tradeoff_figure((0.55, 1.0), (2.0,), tradeoff(b=2.0, epochs=PAPER_EPOCHS)),
        "quantisation error against entropy",
        TRADEOFF_CAPTION + f" Diamonds: some of the {PAPER_EPOCHS} epochs of a schedule from 0.85 to 0.99 (Eq. 24).",
    ),
}
