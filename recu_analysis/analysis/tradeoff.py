"""Quantisation error against entropy over the quantile level tau: the closed forms as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.errors import InputError
from recu_analysis.theory import quantization
from recu_analysis.theory.entropy import clamped_entropy
from recu_analysis.theory.laplace import check_tau, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence


def tradeoff(
    tau: tuple[float, float] = (0.85, 0.99), b: float | Sequence[float] = 2.0, points: int = 100
) -> pd.DataFrame:
    """Quantile, alpha, the three quantisation errors and the entropy of Laplace weights, over tau.

    Parameters
    ----------
    tau : pair of float
        First and last level, 0.5 < first <= last <= 1.
    b : float or sequence of float
        Laplace scales, positive, in the unit of the weights.
    points : int
        Levels at equal distances, both ends among them; one where the ends are equal.

    Returns
    -------
    DataFrame
        One row a scale and level: tau, b, quantile (Eq. 10 of ReCU), alpha (Eq. 13), qe_exact, qe_printed (Eq. 14 as
        it stands, with its sign error), qe_latent, entropy (Eq. 17, nats). See `recu_analysis.theory`.

    Raises
    ------
    InputError
        If a level or a scale is out of its range, tau falls, or there are fewer than 2 points.
    """
    first, last = check_tau(tau)
    if first > last:
        raise InputError(f"tau goes from its lower to its higher end, not from {first:g} to {last:g}")
    if points < 2:
        raise InputError(f"a table over tau needs at least 2 points, not {points}")
    levels = np.linspace(first, last, points) if first < last else np.array([first])
    scales = np.atleast_1d(quantization.check_scale(b))
    level, scale = (axis.ravel() for axis in np.meshgrid(levels, scales))
    return pd.DataFrame(
        {
            "tau": level,
            "b": scale,
            "quantile": quantile(level, scale),
            "alpha": quantization.alpha(level, scale),
            "qe_exact": quantization.exact(level, scale),
            "qe_printed": quantization.printed(level, scale),
            "qe_latent": quantization.latent(level, scale),
            "entropy": clamped_entropy(level, scale),
        }
    )
