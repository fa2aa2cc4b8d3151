"""Quantization error against entropy over the quantile level tau: the closed forms as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.errors import InputError
from recu_analysis.theory import quantization
from recu_analysis.theory.entropy import clamped_entropy
from recu_analysis.theory.laplace import check_tau, quantile
from recu_analysis.theory.schedule import schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]


#: A request for more levels is a typing mistake.
MOST_ROWS = 1_000_000


def tradeoff(
    tau: tuple[float, float] = (0.85, 0.99),
    b: float | Sequence[float] = 2.0,
    points: int = 100,
    *,
    epochs: int | None = None,
) -> pd.DataFrame:
    """Quantile, alpha, the three quantization errors and the entropy of Laplace weights, over tau.

    Parameters
    ----------
    tau : pair of float
        First and last level, 0.5 < first <= last <= 1.
    b : float or sequence of float
        Positive Laplace scales, in the unit of the weights.
    points : int
        Number of evenly spaced levels, both ends included; one level if the ends are equal.
    epochs : int, optional
        Use the levels of the schedule from first to last over this many epochs (Eq. 24) instead.

    Returns
    -------
    DataFrame
        One row per scale and level (see `recu_analysis.theory`):

        - epoch: first, and only with `epochs`
        - tau, b
        - quantile (Eq. 10 of ReCU), alpha (Eq. 13)
        - qe_exact, qe_printed (Eq. 14 as printed, with its sign error), qe_latent
        - entropy (Eq. 17): nats

    Raises
    ------
    InputError
        If a level or a scale is out of range, tau falls, or there are fewer than 2 points or 1 epoch, or too many.
    """
    if epochs is not None and epochs > MOST_ROWS:
        raise InputError(f"a table over epochs holds at most {MOST_ROWS} epochs, not {epochs}")
    levels = check_levels(tau, points) if epochs is None else schedule(np.arange(epochs), epochs, *tau)
    scales = np.atleast_1d(quantization.check_scale(b))
    table = pd.concat([closed_forms(levels, scale) for scale in scales], ignore_index=True)
    if epochs is not None:
        table.insert(0, "epoch", np.tile(np.arange(epochs), len(scales)))
    return table


def check_levels(tau: tuple[float, float], points: int) -> Values:
    """Evenly spaced levels from the first to the last.

    Raises
    ------
    InputError
        If a level is out of range, tau falls, or there are fewer than 2 points or more than `MOST_ROWS`.
    """
    first, last = check_tau(tau)
    if first > last:
        raise InputError(f"tau must go from its lower to its higher end, not from {first:g} to {last:g}")
    check_points(points, "tau")
    return np.linspace(first, last, points) if first < last else np.array([first])


def check_points(points: int, over: str) -> None:
    """InputError if a table over something cannot have that many rows."""
    if not 2 <= points <= MOST_ROWS:
        raise InputError(f"a table over {over} needs at least 2 points and at most {MOST_ROWS}, not {points}")


def closed_forms(levels: Values, b: float) -> pd.DataFrame:
    """The columns of `tradeoff` for one scale, one row per level."""
    return pd.DataFrame(
        {
            "tau": levels,
            "b": b,
            "quantile": quantile(levels, b),
            "alpha": quantization.alpha(levels, b),
            "qe_exact": quantization.exact(levels, b),
            "qe_printed": quantization.printed(levels, b),
            "qe_latent": quantization.latent(levels, b),
            "entropy": clamped_entropy(levels, b),
        }
    )
