"""Measured alpha, quantization errors and entropies of a layer's standardized weights, beside the closed forms."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import entr, psi

from recu_analysis.errors import InputError
from recu_analysis.theory import entropy
from recu_analysis.theory.blocks import blocks
from recu_analysis.theory.laplace import quantile, scale_estimate
from recu_analysis.theory.standardize import empirical_bound
from recu_analysis.theory.validation import real_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]
    Array = NDArray[Any]


# Number of values whose spacings are computed at a time.
_SPACINGS = 1 << 17


@dataclass(frozen=True, slots=True)
class Quantized:
    """A layer's weights clamped at the Laplace quantile of a level and replaced by +-alpha.

    Attributes
    ----------
    b_hat : float
        Mean abs of the weights before the clamp (Eq. 11 of ReCU, Xu et al., ICCV 2021), unit of the weights.
    bound : float
        Laplace quantile for scale b_hat (Eq. 10), at which the weights are clamped; infinite at tau = 1.
    clamped_fraction : float
        Share of the weights beyond the bound; 2 (1 - tau) for Laplace weights.
    alpha : float
        Mean abs of the clamped weights (Eq. 13 measured).
    error : float
        Mean of (|clamped| - alpha)^2 (Eq. 4 measured), squared unit of the weights.
    latent_error : float
        Mean of (|w| - alpha)^2, with the weights w before the clamp.
    channel_alpha, channel_error : ndarray of float64, shape (C_out,)
        Alpha and error of each output channel, with its own alpha and the bound of the layer.
    """

    b_hat: float
    bound: float
    clamped_fraction: float
    alpha: float
    error: float
    latent_error: float
    channel_alpha: Values
    channel_error: Values


def quantized(weights: ArrayLike, tau: float, kind: str = "laplace") -> Quantized:
    """Measure the quantization of one layer's standardized weights, in two passes over blocks of channels.

    Parameters
    ----------
    weights : array_like, shape (C_out, ...)
        Standardized weights w~, finite.
    tau : float
        Quantile level, 0.5 < tau <= 1; use 1 for a layer that does not clamp.
    kind : {"laplace", "empirical"}
        Distribution whose quantile is the bound, as in `WeightTransform`.

    Returns
    -------
    Quantized

    Raises
    ------
    InputError
        If there is no weight, one is NaN or infinite, or tau is out of its range.
    """
    rows = check_weights(weights)
    b_hat = scale_estimate(rows)
    bound = empirical_bound(rows, tau) if kind == "empirical" else float(quantile(tau, b_hat))
    # Per channel: number of weights beyond the bound; sums of |w|, w^2, |clamped|, and its squared deviations.
    sums = np.concatenate([_channel_sums(np.abs(block, dtype=np.float64), bound) for _, block in blocks(rows)])
    beyond, size, square, clamped, within = sums.T
    count = rows.shape[1]
    channel_alpha, channel_error = clamped / count, within / count
    alpha = float(channel_alpha.mean())
    return Quantized(
        b_hat=b_hat,
        bound=bound,
        clamped_fraction=float(beyond.sum()) / rows.size,
        alpha=alpha,
        error=float(channel_error.mean() + ((channel_alpha - alpha) ** 2).mean()),
        latent_error=float(square.sum() - 2.0 * alpha * size.sum()) / rows.size + alpha**2,
        channel_alpha=channel_alpha,
        channel_error=channel_error,
    )


def _channel_sums(size: Values, bound: float) -> Values:
    clamped = np.minimum(size, bound)
    deviation = clamped - clamped.mean(axis=1, keepdims=True)
    sums = (
        (size > bound).sum(axis=1),
        size.sum(axis=1),
        np.square(size).sum(axis=1),
        clamped.sum(axis=1),
        np.square(deviation, out=deviation).sum(axis=1),
    )
    return np.stack(sums, axis=1)


def sign_entropy(weights: ArrayLike) -> float:
    """Entropy of the signs of one layer's weights, in nats; the sign of 0 is +1 (Eq. 2).

    Parameters
    ----------
    weights : array_like, shape (C_out, ...)
        Standardized weights w~, finite.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If there is no weight, or one is NaN or infinite.
    """
    rows = check_weights(weights)
    return float(entropy.sign_entropy(np.count_nonzero(rows >= 0) / rows.size))


def check_weights(weights: ArrayLike) -> Array:
    """Return weights as a matrix with one row per output channel, in their own dtype; a view if the layout allows.

    Parameters
    ----------
    weights : array_like, shape (C_out, ...)

    Returns
    -------
    ndarray, shape (C_out, weights per channel)

    Raises
    ------
    InputError
        If there is no weight, or one is not a finite number.
    """
    array = real_array(weights, "weights")
    if array.ndim == 0 or array.size == 0:
        raise InputError(f"weights need at least one axis and one element, not shape {array.shape}")
    rows = array.reshape(len(array), -1)
    bad = sum(int((~np.isfinite(block)).sum()) for _, block in blocks(rows))
    if bad:
        raise InputError(f"{bad} of {array.size} weights are NaN or infinite; remove them or find their cause")
    return rows


def differential_entropy(ordered: ArrayLike) -> float:
    """Differential entropy of a sample from its m-spacings, in nats.

    The estimate is the mean of ln((n + 1) (x_(i+m) - x_(i-m))) - psi(2m). Near the ends the indices are limited to the
    sample, and psi counts the fewer spacings. Sources: Vasicek 1976, J. R. Stat. Soc. B 38, 54-59; Ebrahimi, Pflughoeft
    and Soofi 1994, Stat. Probab. Lett. 20, 225-234; for psi, van Es 1992, Scand. J. Stat. 19, 61-72, which removes the
    bias for uniform data. m is the cube root of n. Bias, measured by `make validate` for normal, Laplace and uniform
    data: below 0.005 nats from 2,000 values on, below 0.002 nats from 40,000 values on.

    Parameters
    ----------
    ordered : array_like, shape (n,)
        Values in ascending order.

    Returns
    -------
    float
        -inf if 2m + 1 values are equal, or m + 1 at either end of the sample: a distribution with a point mass has no
        density.

    Raises
    ------
    InputError
        If there are fewer than 8 values, one is NaN or infinite, or they are not in ascending order.
    """
    values = _row(ordered)
    n = values.size
    if n < 8:
        raise InputError(f"the differential entropy needs at least 8 values, not {n}")
    m = max(2, round(n ** (1 / 3)))
    total = 0.0
    for start in range(0, n, _SPACINGS):
        index = np.arange(start, min(start + _SPACINGS, n))
        low, high = np.maximum(index - m, 0), np.minimum(index + m, n - 1)
        spacing = values[high].astype(np.float64) - values[low]
        if (spacing < 0).any():
            raise InputError("the values are not in ascending order; sort them first")
        if not spacing.all():
            return -math.inf
        total += float(np.log(spacing).sum())
    # There are 2m spacings around each value, but only m, m + 1, ... around the m values at either end.
    expected = (n - 2 * m) * psi(2.0 * m) + 2.0 * psi(np.arange(m, 2 * m, dtype=np.float64)).sum()
    return float(total - expected) / n + math.log(n + 1)


def _row(ordered: ArrayLike) -> Array:
    """Check that the values are finite and one-dimensional; return them without a copy."""
    values = check_weights(ordered)
    if np.ndim(ordered) != 1:
        raise InputError(f"the values must be one-dimensional, not of shape {np.shape(ordered)}; flatten and sort them")
    return values[:, 0]


def clamped_entropy(ordered: ArrayLike, bound: float) -> float:
    """Entropy of weights after a clamp, for density and point masses together as in Eq. 17, in nats.

    H = -p_- ln p_- - p_+ ln p_+ - q ln q + q h. Here p_- and p_+ are the measured shares of the weights at or beyond
    each bound, q is the share between the bounds, and h is the `differential_entropy` of the weights between them. With
    fewer than 8 weights between the bounds, h is taken as 0.

    Parameters
    ----------
    ordered : array_like, shape (n,)
        Weights before the clamp, in ascending order.
    bound : float
        Bound of the clamp, positive; infinite for no clamp.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If there is no weight, one is NaN or infinite, the weights between the bounds are not in ascending order, or the
        bound is not positive.
    """
    values = _row(ordered)
    if not bound > 0:
        raise InputError(f"the bound of the clamp must be positive, not {bound:g}")
    # bisect reads only a few values, each as float64; searchsorted would copy a float32 array.
    first = bisect_right(values, -bound, key=float)
    last = max(bisect_left(values, bound, key=float), first)
    shares = np.array([first, values.size - last, last - first]) / values.size
    inside = differential_entropy(values[first:last]) if last - first >= 8 else 0.0
    return float(entr(shares).sum() + shares[2] * inside)
