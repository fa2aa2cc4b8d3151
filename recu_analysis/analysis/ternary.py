"""Quantization error and entropy of ternary weights over the threshold, beside binary weights: closed forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recu_analysis.analysis.tradeoff import check_points
from recu_analysis.errors import InputError
from recu_analysis.theory.quantization import check_scale
from recu_analysis.theory.ternary import DISTRIBUTIONS, check_threshold, ternary

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The range of thresholds of a table: from binary weights to four times BitNet's threshold.
THRESHOLDS = (0.0, 2.0)


def ternary_tradeoff(
    threshold: tuple[float, float] = THRESHOLDS, b: float | Sequence[float] = 2.0, points: int = 100
) -> pd.DataFrame:
    """Zeros, scale, quantization error and entropy of Laplace and normal weights with three states, over the threshold.

    A weight has the state 0 if abs(w) is at most the threshold, else its sign. At a threshold of 0 the weights are
    binary.

    Parameters
    ----------
    threshold : pair of float
        First and last threshold, in means of abs(w): 0 <= first <= last.
    b : float or sequence of float
        Means of abs(w), positive, in the unit of the weights; for Laplace weights, the scale of the distribution.
    points : int
        Number of evenly spaced thresholds, both ends included; one if the ends are equal.

    Returns
    -------
    DataFrame
        One row per distribution, b and threshold (see `recu_analysis.theory.ternary`):

        - distribution: laplace or normal
        - b, threshold (in units of b)
        - zeros: the share of weights in state 0
        - ternary_scale: the scale with the least error, in the unit of the weights
        - qe_ternary, qe_absmean: quantization error with that scale, and with b as scale, as BitNet b1.58 has it
        - qe_binary: the error of signs with the scale b, their best one
        - state_entropy: nats, at most ln 3; that of signs is ln 2

    Raises
    ------
    InputError
        If a threshold or b is out of its range, the thresholds fall, or there are fewer than 2 points or too many.
    """
    first, last = check_threshold(threshold)
    if first > last:
        raise InputError(f"the threshold must go from its lower to its higher end, not from {first:g} to {last:g}")
    check_points(points, "the threshold")
    thresholds = np.linspace(first, last, points) if first < last else np.array([first])
    means = np.atleast_1d(check_scale(b))
    return pd.concat(
        [_closed_forms(thresholds, mean, distribution) for distribution in DISTRIBUTIONS for mean in means],
        ignore_index=True,
    )


def _closed_forms(
    thresholds: np.ndarray[tuple[int], np.dtype[np.float64]], b: float, distribution: str
) -> pd.DataFrame:
    found, binary = ternary(thresholds, b, distribution), ternary(0.0, b, distribution)
    return pd.DataFrame(
        {
            "distribution": distribution,
            "b": b,
            "threshold": thresholds,
            "zeros": found.zeros,
            "ternary_scale": found.scale,
            "qe_ternary": found.error,
            "qe_absmean": found.absmean_error,
            "qe_binary": float(binary.error),
            "state_entropy": found.entropy,
        }
    )
