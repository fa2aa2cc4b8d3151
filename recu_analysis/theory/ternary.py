"""Ternary weights of a Laplace or normal distribution: zeros, best scale, quantization error and entropy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.special import entr, erfcx, ndtr

from recu_analysis.errors import InputError, unknown
from recu_analysis.theory.quantization import square
from recu_analysis.theory.validation import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

#: Distributions of the weights, both symmetric about 0.
DISTRIBUTIONS: Final = ("laplace", "normal")
#: The threshold of BitNet b1.58, in means of abs(w).
ABSMEAN: Final = 0.5
# Mean of abs(w) of a normal distribution over its standard deviation.
_NORMAL_MEAN = math.sqrt(2.0 / math.pi)
# E w^2 over the square of the mean of abs(w).
_SECOND_MOMENT: Final = {"laplace": 2.0, "normal": math.pi / 2.0}
# Each step at least halves the error of the threshold.
_ITERATIONS: Final = 60


@dataclass(frozen=True, slots=True, eq=False)
class Ternary:
    """Weights w with the states -1, 0 and +1: 0 where abs(w) is at most a threshold, else the sign.

    Attributes
    ----------
    zeros : ndarray of float64
        The share of weights in state 0.
    scale : ndarray of float64, in the unit of the weights
        The scale with the least error: the mean of abs(w) over the other weights.
    error : ndarray of float64, in the squared unit of the weights
        E (w - scale q)^2 with that scale.
    absmean_error : ndarray of float64, in the squared unit of the weights
        The same with the mean of abs(w) over all weights as scale, as BitNet b1.58 has it.
    entropy : ndarray of float64, nats
        Entropy of the states; at most ln 3.
    """

    zeros: Values
    scale: Values
    error: Values
    absmean_error: Values
    entropy: Values


def ternary(threshold: ArrayLike, mean: ArrayLike = 1.0, distribution: str = "laplace") -> Ternary:
    """Closed forms of ternary weights.

    With P the share of weights beyond the threshold, M = E[abs(w); beyond] and scale a, the error is
    E w^2 - 2 a M + a^2 P. It is least at a = M / P. A Laplace distribution with the mean b has P = exp(-x) and
    M = b (1 + x) exp(-x), with x the threshold over b. A normal one has P = 2 Phi(-y) and M = 2 sigma phi(y), with y
    the threshold over sigma = mean sqrt(pi / 2).

    Parameters
    ----------
    threshold : array_like
        The threshold over the mean of abs(w), at least 0: 0.5 in BitNet b1.58 (Ma et al., arXiv:2402.17764), 0.7 in
        Ternary Weight Networks (Li et al., arXiv:1605.04711). At 0 the weights are binary.
    mean : array_like
        The mean of abs(w), positive, in the unit of the weights (for Laplace weights, their scale b); broadcast against
        `threshold`.
    distribution : str
        One of `DISTRIBUTIONS`.

    Returns
    -------
    Ternary

    Raises
    ------
    InputError
        If a threshold is negative or not finite, a mean is not positive, or the distribution is not known.
    """
    if distribution not in DISTRIBUTIONS:
        raise unknown("distribution", distribution, DISTRIBUTIONS)
    x, unit = np.broadcast_arrays(check_threshold(threshold), np.sqrt(square(mean)))
    beyond, scale = _SHAPES[distribution](x)
    first, second = scale * beyond, _SECOND_MOMENT[distribution]
    return Ternary(
        zeros=1.0 - beyond,
        scale=scale * unit,
        error=(second - scale * first) * unit**2,
        absmean_error=(second - 2.0 * first + beyond) * unit**2,
        entropy=np.asarray(entr(1.0 - beyond) + 2.0 * entr(beyond / 2.0)),
    )


def check_threshold(threshold: ArrayLike) -> Values:
    """Return thresholds as float64; raise InputError unless all are finite and at least 0."""
    values = reals(threshold, "thresholds")
    bad = ~(np.isfinite(values) & (values >= 0.0))
    if bad.any():
        raise InputError(
            f"a threshold is a number of means of abs(w), at least 0, not {values[bad].flat[0]:g}; 0.5 is BitNet's"
        )
    return values


def _laplace(x: Values) -> tuple[Values, Values]:
    """Share beyond the threshold, and the best scale over the mean of abs(w), of Laplace weights."""
    return np.exp(-x), 1.0 + x


def _normal(x: Values) -> tuple[Values, Values]:
    """The same of normal weights."""
    y = x * _NORMAL_MEAN
    return 2.0 * ndtr(-y), 1.0 / erfcx(y / math.sqrt(2.0))


_SHAPES: Final = {"laplace": _laplace, "normal": _normal}


def best_threshold(distribution: str) -> float:
    """The threshold, in means of abs(w), with the least error: half of its best scale, found by Lloyd's iteration."""
    x = np.ones(())
    for _ in range(_ITERATIONS):
        x = _SHAPES[distribution](x)[1] / 2.0
    return float(x)
