"""Effect of standardization on the Laplace scale of weights: Eq. 18 to 23 as a map of b, and for other shapes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from recu_analysis.errors import InputError
from recu_analysis.theory.laplace import scale_estimate
from recu_analysis.theory.quantization import check_scale
from recu_analysis.theory.validation import real_array, reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

#: The scale of Laplace weights after IR-Net's standardization, sqrt(2)/2 (Eq. 18 and 19 of ReCU).
IRNET_SCALE = math.sqrt(0.5)


def standardized_scale(b: ArrayLike, target: ArrayLike = IRNET_SCALE) -> Values:
    """Scale b' of Laplace weights after division by std / (sqrt(2) b*): b' = b* for every b (Eq. 18 to 23).

    A Laplace distribution of scale b has std = sqrt(2) b, so b' = b / (sqrt(2) b / (sqrt(2) b*)) = b*. IR-Net divides
    by std alone, which is b* = sqrt(2)/2.

    Parameters
    ----------
    b : array_like
        Scale before, positive, in the unit of the weights.
    target : array_like
        b*, positive; broadcast against `b`.

    Returns
    -------
    ndarray of float64, dimensionless

    Raises
    ------
    InputError
        If a scale is not positive.
    """
    scale = check_scale(b)
    deviation = math.sqrt(2.0) * scale
    return scale / (deviation / (math.sqrt(2.0) * check_scale(target)))


def scale_ratio(shape: ArrayLike) -> Values:
    """b'/b* of generalized normal weights, sqrt(2) E|z| = sqrt(2) Gamma(2/beta) / sqrt(Gamma(1/beta) Gamma(3/beta)).

    Standardization fixes the standard deviation, not E|z|, so b_hat / b* depends on the shape of the distribution
    alone. It is 1 for Laplace weights (beta = 1), 2 / sqrt(pi) = 1.128 for normal weights (beta = 2), and always below
    sqrt(3/2).

    Parameters
    ----------
    shape : array_like
        beta of the generalized normal distribution, positive.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InputError
        If a shape is not a positive number.
    """
    beta = reals(shape, "shapes")
    bad = ~(np.isfinite(beta) & (beta > 0))
    if bad.any():
        raise InputError(f"the shape of a generalized normal must be a positive number, not {beta[bad].flat[0]:g}")
    return np.asarray(math.sqrt(2.0) * np.exp(gammaln(2.0 / beta) - 0.5 * (gammaln(1.0 / beta) + gammaln(3.0 / beta))))


def measured_scale_ratio(z: ArrayLike) -> float:
    """b_hat / b* of any weights: sqrt(2) times the mean |z| of their standard scores; see `scale_ratio`.

    Parameters
    ----------
    z : array_like
        Standard scores, an array of any shape; at least one.

    Returns
    -------
    float
        NaN if a score is NaN.

    Raises
    ------
    InputError
        If there is no score, or the scores are not real numbers.
    """
    scores = real_array(z, "standard scores")
    if scores.size == 0:
        raise InputError("the ratio of scales needs at least one standard score")
    return math.sqrt(2.0) * scale_estimate(scores)
