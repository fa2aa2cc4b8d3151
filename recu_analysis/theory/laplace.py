"""The zero-mean Laplace distribution of latent weights: its quantile and the estimate of its scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.theory.blocks import blocks
from recu_analysis.theory.validation import real_array, reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def check_tau(tau: ArrayLike) -> NDArray[np.float64]:
    """Return quantile levels as float64, after a check that all lie in (0.5, 1].

    Parameters
    ----------
    tau : array_like

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InputError
        If a level is not a number or lies outside (0.5, 1].
    """
    levels = reals(tau, "levels of tau")
    bad = ~((levels > 0.5) & (levels <= 1.0))
    if bad.any():
        raise InputError(f"tau must lie in (0.5, 1], not {levels[bad].flat[0]:g}")
    return levels


def quantile(tau: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Laplace quantile Q(tau) = -b ln(2 - 2 tau) (Eq. 10 of ReCU, Xu et al., ICCV 2021).

    Parameters
    ----------
    tau : array_like
        Quantile level, 0.5 < tau <= 1.
    b : array_like
        Laplace scale, at least 0, in the unit of the weights; broadcast against `tau`.

    Returns
    -------
    ndarray of float64
        Infinite at tau = 1, where nothing is clamped, even for b = 0.

    Raises
    ------
    InputError
        If tau lies outside (0.5, 1] or b is negative.
    """
    levels = check_tau(tau)
    scale = reals(b, "Laplace scales")
    if (scale < 0).any():
        raise InputError(f"the Laplace scale b must be at least 0, not {scale[scale < 0].flat[0]:g}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(levels == 1.0, np.inf, -scale * np.log(2.0 - 2.0 * levels))


def scale_estimate(values: ArrayLike) -> float:
    """Maximum-likelihood scale of a zero-mean Laplace, b_hat = mean |w| (Eq. 11), in one pass over blocks of channels.

    Parameters
    ----------
    values : array_like
        Weights of any shape; at least one.

    Returns
    -------
    float
        In the unit of the weights; NaN if a weight is NaN.

    Raises
    ------
    InputError
        If there is no weight, or the weights are not real numbers.
    """
    array = real_array(values, "weights")
    if array.size == 0:
        raise InputError("the Laplace scale needs at least one weight")
    rows = array.reshape(1 if array.ndim < 2 else len(array), -1)
    return sum(float(np.abs(block, dtype=np.float64).sum()) for _, block in blocks(rows)) / array.size
