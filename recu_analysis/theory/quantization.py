"""Three quantization errors of Laplace weights under ReCU: exact, as printed in the paper (Eq. 14), and latent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.validation import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

# Where 2 tau - 1 is below this, the closed form of the exact error loses digits by cancellation; a series replaces it.
_SERIES_BELOW = 0.1
_SERIES_TERMS = 18
# Range of scales for which squares and the results of the formulas keep full floating-point precision.
_SQUARABLE = (1e-150, 1e150)


def check_scale(b: ArrayLike) -> Values:
    """Return Laplace scales as float64; raise InputError unless all are positive and finite."""
    scale = reals(b, "Laplace scales")
    bad = ~(np.isfinite(scale) & (scale > 0))
    if bad.any():
        raise InputError(f"the Laplace scale b must be a positive number, not {scale[bad].flat[0]:g}")
    return scale


def square(b: ArrayLike) -> Values:
    """The unit of an error, b^2; raise InputError if b is outside `_SQUARABLE`."""
    scale = check_scale(b)
    bad = ~((scale >= _SQUARABLE[0]) & (scale <= _SQUARABLE[1]))
    if bad.any():
        low, high = _SQUARABLE
        raise InputError(
            f"a quantization error needs a Laplace scale b from {low:g} to {high:g}, not {scale[bad].flat[0]:g}; "
            "choose another unit for the weights"
        )
    return scale**2


def _outside(tau: ArrayLike) -> Values:
    """The share of the weights that is clamped, q = 2 - 2 tau = exp(-Q / b); 1 - tau is exact in floating point."""
    return 2.0 * (1.0 - check_tau(tau))


def alpha(tau: ArrayLike, b: ArrayLike) -> Values:
    """Scaling factor alpha(tau) = E|ReCU(w)| = b (2 tau - 1) (Eq. 13 of ReCU, Xu et al., ICCV 2021).

    Parameters
    ----------
    tau : array_like
        Quantile level, 0.5 < tau <= 1.
    b : array_like
        Laplace scale, positive, in the unit of the weights; broadcast against `tau`.

    Returns
    -------
    ndarray of float64, in the unit of the weights

    Raises
    ------
    InputError
        If tau or b is out of its range.
    """
    return check_scale(b) * (1.0 - _outside(tau))


def exact(tau: ArrayLike, b: ArrayLike) -> Values:
    """Error of the clamped weights, b^2 [1 - q^2 + 2 q ln q] with q = 2 - 2 tau (Eq. 4 under the density of Eq. 12).

    E (|w| - alpha)^2 = E w^2 - alpha^2 for clamped w, with E w^2 = 2 b^2 (1 - q + q ln q) and alpha = b (1 - q). The
    error is convex and rises on all of (0.5, 1]: from 0, where every weight is clamped to 0, to b^2. So it has no
    minimum inside.

    Parameters
    ----------
    tau : array_like
        Quantile level, 0.5 < tau <= 1.
    b : array_like
        Laplace scale, positive, in the unit of the weights; broadcast against `tau`.

    Returns
    -------
    ndarray of float64, squared unit of the weights; b^2 at tau = 1

    Raises
    ------
    InputError
        If tau or b is out of its range.
    """
    q = _outside(tau)
    e = 1.0 - q
    log = np.log(q, out=np.zeros_like(q), where=q > 0)
    closed = 1.0 - q * q + 2.0 * q * log
    # (1 - e) ln(1 - e) = -e + sum over k >= 2 of e^k / (k (k - 1)); the first terms cancel.
    series = sum(2.0 * e**k / (k * (k - 1)) for k in range(3, 3 + _SERIES_TERMS))
    return square(b) * np.where(e < _SERIES_BELOW, series, closed)


def printed(tau: ArrayLike, b: ArrayLike) -> Values:
    """Eq. 14 as printed in the paper, with a wrong sign in the first term.

    (alpha - b)^2 (1 + q) + b^2 - ((b + Q)^2 - 2 alpha Q) q + 2 (1 - tau) (Q - alpha)^2 with q = exp(-Q/b). The integral
    in the paper's preceding line gives (1 - q) in the first term. Printed - exact = 16 b^2 (1 - tau)^3. This difference
    alone causes the minimum at tau = 0.82.

    Parameters
    ----------
    tau : array_like
        Quantile level, 0.5 < tau <= 1.
    b : array_like
        Laplace scale, positive, in the unit of the weights; broadcast against `tau`.

    Returns
    -------
    ndarray of float64, squared unit of the weights; b^2, its limit, at tau = 1

    Raises
    ------
    InputError
        If tau or b is out of its range.
    """
    q = _outside(tau)
    a = 1.0 - q
    # In units of b. At tau = 1 every term with Q vanishes, because q is 0.
    bound = -np.log(q, out=np.zeros_like(q), where=q > 0)
    within = (a - 1.0) ** 2 * (1.0 + q) + 1.0 - ((1.0 + bound) ** 2 - 2.0 * a * bound) * q
    return square(b) * (within + q * (bound - a) ** 2)


def latent(tau: ArrayLike, b: ArrayLike) -> Values:
    """Error of the weights before the clamp, with alpha of the clamped weights: b^2 [1 + (2 - 2 tau)^2].

    E (|w| - alpha)^2 = 2 b^2 - 2 alpha b + alpha^2 with alpha = b (2 tau - 1). The error falls as tau rises.

    Parameters
    ----------
    tau : array_like
        Quantile level, 0.5 < tau <= 1.
    b : array_like
        Laplace scale, positive, in the unit of the weights; broadcast against `tau`.

    Returns
    -------
    ndarray of float64, squared unit of the weights

    Raises
    ------
    InputError
        If tau or b is out of its range.
    """
    return square(b) * (1.0 + _outside(tau) ** 2)


def exact_slope(tau: ArrayLike, b: ArrayLike) -> Values:
    """Derivative of `exact` with respect to tau, 4 b^2 (q - 1 - ln q); infinite at tau = 1."""
    q = _outside(tau)
    e = 1.0 - q
    # The series of -ln(1 - e) - e avoids cancellation near tau = 0.5.
    series = sum(e**k / k for k in range(2, 2 + _SERIES_TERMS))
    with np.errstate(divide="ignore"):
        return 4.0 * square(b) * np.where(e < _SERIES_BELOW, series, -e - np.log(q))


def printed_slope(tau: ArrayLike, b: ArrayLike) -> Values:
    """Derivative of `printed` with respect to tau: the derivative of `exact` minus 12 b^2 q^2."""
    return exact_slope(tau, b) - 12.0 * square(b) * _outside(tau) ** 2


def latent_slope(tau: ArrayLike, b: ArrayLike) -> Values:
    """Derivative of `latent` with respect to tau, -4 b^2 q."""
    return -4.0 * square(b) * _outside(tau)
