"""The distribution of Laplace weights after ReCU: a density inside the quantiles and a point mass on each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.theory.laplace import check_tau, quantile
from recu_analysis.theory.quantization import check_scale
from recu_analysis.theory.validation import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]


def density(w: ArrayLike, tau: ArrayLike, b: ArrayLike) -> Values:
    """Density between the quantiles, (1/2b) exp(-|w|/b), and 0 outside (Eq. 12 of ReCU, Xu et al., ICCV 2021).

    The density is 0 at -Q and Q themselves. Its integral is 2 tau - 1; the rest is `point_mass` at each of -Q and Q.

    Parameters
    ----------
    w : array_like
        Weights after ReCU, in the unit of `b`.
    tau : array_like
        Quantile level, 0.5 < tau <= 1.
    b : array_like
        Laplace scale, positive; all three are broadcast.

    Returns
    -------
    ndarray of float64, per unit of the weights

    Raises
    ------
    InputError
        If tau or b is out of its range, or a weight is not a number.
    """
    size, scale = np.abs(_numbers(w)), check_scale(b)
    return np.where(size < quantile(tau, scale), np.exp(-size / scale) / (2.0 * scale), 0.0)


def point_mass(tau: ArrayLike) -> Values:
    """Probability of each of the two values -Q and Q after the clamp, 1 - tau (Eq. 12).

    Parameters
    ----------
    tau : array_like
        Quantile level, 0.5 < tau <= 1.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InputError
        If tau is out of its range.
    """
    return 1.0 - check_tau(tau)


def cdf(w: ArrayLike, tau: ArrayLike, b: ArrayLike) -> Values:
    """Distribution function: Laplace between the quantiles, 0 below -Q and 1 from Q on.

    It is the integral of Eq. 12. It jumps by 1 - tau at -Q and at Q, and is continuous from the right.

    Parameters
    ----------
    w, tau, b : array_like
        As in `density`.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InputError
        If tau or b is out of its range, or a weight is not a number.
    """
    values, scale = _numbers(w), check_scale(b)
    bound = quantile(tau, scale)
    half = 0.5 * np.exp(-np.abs(values) / scale)
    inside = np.where(values < 0, half, 1.0 - half)
    return np.where(values < -bound, 0.0, np.where(values >= bound, 1.0, inside))


def ppf(p: ArrayLike, tau: ArrayLike, b: ArrayLike) -> Values:
    """Quantile function, the smallest w with cdf(w) >= p: the Laplace quantile, clamped to [-Q, Q].

    A clamp is monotone, so the quantiles of the clamped weights are the clamped quantiles.

    Parameters
    ----------
    p : array_like
        Probability, 0 to 1.
    tau, b : array_like
        As in `density`.

    Returns
    -------
    ndarray of float64, in the unit of the weights; infinite only for tau = 1 at p = 0 and 1

    Raises
    ------
    InputError
        If p, tau or b is out of its range.
    """
    share, scale = reals(p, "probabilities"), check_scale(b)
    bad = ~((share >= 0) & (share <= 1))
    if bad.any():
        raise InputError(f"a probability must lie in [0, 1], not {share[bad].flat[0]:g}")
    bound = quantile(tau, scale)
    with np.errstate(divide="ignore"):
        free = np.where(share < 0.5, np.log(2.0 * share), -np.log(2.0 * (1.0 - share))) * scale
    return np.clip(free, -bound, bound)


def sample(tau: ArrayLike, b: ArrayLike, size: int | tuple[int, ...], generator: np.random.Generator) -> Values:
    """Independent draws of Laplace weights after ReCU.

    Parameters
    ----------
    tau, b : array_like
        As in `density`; broadcast to `size`.
    size : int or tuple of int
        Shape of the result.
    generator : numpy.random.Generator
        Source of the random numbers.

    Returns
    -------
    ndarray of float64, shape `size`, in the unit of the weights

    Raises
    ------
    InputError
        If tau or b is out of its range, or cannot be broadcast to `size`.
    """
    scale = check_scale(b)
    bound = quantile(tau, scale)
    try:
        np.broadcast_to(bound, size)
    except ValueError:
        raise InputError(
            f"tau and b have shape {bound.shape}, which cannot be broadcast to size {size}; choose another size"
        ) from None
    return np.clip(generator.laplace(0.0, scale, size), -bound, bound)


def _numbers(w: ArrayLike) -> Values:
    values = reals(w, "weights")
    if np.isnan(values).any():
        raise InputError("a weight is NaN; remove NaN values first")
    return values
