"""Fit weights to a Laplace, a normal and a generalized normal distribution, with distances and intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from scipy.special import ndtr

from recu_analysis.errors import InputError, unknown
from recu_analysis.theory import gennorm
from recu_analysis.theory.blocks import blocks
from recu_analysis.theory.empirical import check_weights
from recu_analysis.theory.intervals import LEVEL, Interval, group_of, groups, over_channels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]
    Array = NDArray[Any]

Location = Literal["zero", "mean", "median"]


@dataclass(frozen=True, slots=True)
class DistributionFit:
    """Fits of one layer's weights to three zero-mean families, each with its maximum-likelihood scale.

    Attributes
    ----------
    weights : int
        Number of weights.
    location : float
        Value subtracted from the weights; 0 by default.
    scale : Interval
        Laplace scale, mean |x| (Eq. 11 of ReCU, Xu et al., ICCV 2021), in the unit of the weights.
    deviation : float
        Root mean square, the scale of the normal distribution, in the unit of the weights.
    shape : Interval
        Shape of the generalized normal distribution: 1 is Laplace, 2 is normal; NaN if no shape fits, see `flat`.
    flat : bool
        Whether no shape fits because the likelihood is greatest for the uniform distribution, or at the largest shape.
    ks_laplace, ks_normal : float
        Kolmogorov-Smirnov distance to the fitted distribution, the largest difference of distribution functions: an
        effect size between 0 and 1. There is no p-value, because with 10^5 weights every model is rejected.
    log_likelihood : float
        Log-likelihood of the Laplace distribution, in nats, summed over all weights.
    aic_normal, aic_gennorm : float
        AIC of the normal and of the generalized normal minus AIC of the Laplace distribution, as if the weights were
        independent. Positive values favor Laplace. `aic_gennorm` is NaN if no shape fits.
    """

    weights: int
    location: float
    scale: Interval
    deviation: float
    shape: Interval
    flat: bool
    ks_laplace: float
    ks_normal: float
    log_likelihood: float
    aic_normal: float
    aic_gennorm: float


def fit(values: ArrayLike, *, location: Location = "zero", level: float = LEVEL) -> DistributionFit:
    """Fit the Laplace, the normal and the generalized normal distribution to the weights of one layer.

    Pass standard scores z: raw weights pooled over channels of different scale appear heavy-tailed. The fit makes a few
    passes over blocks of channels, and one sorted copy of the values minus their location.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
        The first axis is resampled for the intervals. In an array of one axis, each value is resampled.
    location : {"zero", "mean", "median"}
        Value subtracted first. The mean is the maximum-likelihood location of a normal distribution, the median that
        of a Laplace distribution.
    level : float
        Confidence level of the intervals, between 0 and 1.

    Returns
    -------
    DistributionFit

    Raises
    ------
    InputError
        If there are fewer than 2 values, one is NaN or infinite, all are equal, or `location` or `level` is not valid.
    """
    rows = check_weights(values)
    if rows.size < 2:
        raise InputError("a distribution fit needs at least 2 weights, not 1")
    low, high = rows.min(), rows.max()
    if low == high:
        raise InputError(f"all {rows.size} weights are {low:g}; a distribution fit needs weights that differ")
    center = _center(rows, location)
    if center:
        rows = rows - center
    scale, (sums, estimate) = laplace_scale(rows, level), gennorm.score_sums(rows)
    shape = gennorm.interval(sums, estimate, level)
    deviation = _root_mean_square(rows, max(abs(float(low) - center), abs(float(high) - center)))
    likelihood = -rows.size * (math.log(2.0 * scale.estimate) + 1.0)
    normal = -0.5 * rows.size * (math.log(2.0 * math.pi) + 2.0 * math.log(deviation) + 1.0)
    fitted = not math.isnan(shape.estimate)
    general = gennorm.log_likelihood(rows, shape.estimate) if fitted else math.nan
    ordered = rows.reshape(-1) if center else rows.flatten()  # a subtracted center has already made a copy
    ordered.sort()
    return DistributionFit(
        weights=rows.size,
        location=center,
        scale=scale,
        deviation=deviation,
        shape=shape,
        flat=math.isinf(estimate),
        ks_laplace=ks_laplace(ordered, scale.estimate),
        ks_normal=ks_distance(ordered, lambda x: ndtr(x / deviation)),
        log_likelihood=likelihood,
        # The generalized normal has one more parameter, which costs 2.
        aic_normal=2.0 * (likelihood - normal),
        aic_gennorm=2.0 * (likelihood - general) + 2.0,
    )


def _center(rows: Array, location: Location) -> float:
    if location not in get_args(Location):
        raise unknown("location", location, get_args(Location))
    if location == "zero":
        return 0.0
    if location == "mean":
        return float(rows.mean(dtype=np.float64))
    places = [(rows.size - 1) // 2, rows.size // 2]
    return float(np.partition(rows, places, axis=None)[places].mean(dtype=np.float64))


def laplace_scale(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Maximum-likelihood Laplace scale, mean |x| (Eq. 11), with an interval over channels.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
        Weights or standard scores, finite.
    level : float
        Confidence level of the interval, between 0 and 1.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        If there is no value, one is NaN or infinite, or the level lies outside (0, 1).
    """
    return over_channels(laplace_sums(values), lambda totals: totals[:, 0] / totals[:, 1], level)


def laplace_sums(values: ArrayLike) -> Values:
    """Sum of |x| and number of values of each group of channels, shape (groups, 2)."""
    rows = check_weights(values)
    first = groups(len(rows))
    sums = np.stack([np.zeros(len(first)), np.diff(first, append=len(rows)) * float(rows.shape[1])], axis=1)
    for start, block in blocks(rows):
        group = group_of(first, start, len(block))
        sums[group[0] : group[-1] + 1, 0] += np.bincount(group - group[0], np.abs(block, dtype=np.float64).sum(axis=1))
    return sums


def _root_mean_square(rows: Array, unit: float) -> float:
    """Root mean square, computed in a unit near the largest value, so that no square overflows or underflows."""
    squares = sum(float(np.square(np.divide(block, unit, dtype=np.float64)).sum()) for _, block in blocks(rows))
    return unit * math.sqrt(squares / rows.size)


def ks_laplace(ordered: Array, scale: float) -> float:
    """Kolmogorov-Smirnov distance of values in ascending order to a zero-mean Laplace distribution of given scale."""

    def laplace(x: Values) -> Values:
        half = 0.5 * np.exp(-np.abs(x) / scale)
        return np.where(x < 0, half, 1.0 - half)

    return ks_distance(ordered, laplace)


def ks_distance(ordered: Array, cdf: Callable[[Values], Values]) -> float:
    """Largest difference between the distribution function of a sample and a continuous one.

    Parameters
    ----------
    ordered : ndarray, shape (n,)
        The sample in ascending order.
    cdf : callable
        The continuous distribution function; takes and returns an array.

    Returns
    -------
    float
        0 to 1.
    """
    n, largest = ordered.size, 0.0
    for start in range(0, n, _VALUES):
        expected = cdf(ordered[start : start + _VALUES].astype(np.float64))
        steps = np.arange(start, start + expected.size + 1) / n
        largest = max(largest, float((steps[1:] - expected).max()), float((expected - steps[:-1]).max()))
    return largest


# Number of values at which the distribution function is evaluated at a time.
_VALUES = 1 << 17
