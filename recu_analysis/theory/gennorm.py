"""The generalised normal distribution of weights: its shape (1 is Laplace, 2 is normal) by maximum likelihood."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, psi

from recu_analysis.theory.blocks import blocks
from recu_analysis.theory.empirical import check_weights
from recu_analysis.theory.intervals import LEVEL, Interval, check_level, group_of, groups, over_channels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]
    Array = NDArray[Any]

#: E|z| / sqrt(E z^2) of the uniform distribution, the limit of large shapes. Flatter data has no shape.
FLATTEST = math.sqrt(3.0) / 2.0
#: Range of the reported shapes. Outside, the likelihood is flat and no shape is reported.
SHAPES = (0.05, 100.0)

# Number of bins of ln|x|, the width of their range, and the stand-in for ln 0: e^(-700 beta) is negligible in SHAPES.
_BINS = 4096
_RANGE = 40.0
_LOG_ZERO = -700.0
# Factors around the estimated shape. For the interval, the sums of every channel are computed at these shapes.
_GRID = np.exp(np.linspace(-1.5, 1.5, 121))
# Variance of ln|x| within a bin, taken as uniform.
_WITHIN = (_RANGE / _BINS) ** 2 / 12.0


def shape(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Shape of a zero-mean generalised normal distribution, with an interval over channels.

    The density is beta / (2 a Gamma(1/beta)) exp(-|x/a|^beta). Its shape solves the likelihood equation
    1 + psi(1/beta)/beta + ln(beta mean|x|^beta)/beta = sum |x|^beta ln|x| / sum |x|^beta (Varanasi and Aazhang 1989,
    J. Acoust. Soc. Am. 86, 1404-1415). It is solved on a histogram of ln|x| with the mean of every bin, in one pass
    over the data. The root differs from that of the exact equation by at most 1e-5 for shapes up to 3, 1e-3 up to 40.

    Standard scores of channels with few weights have lighter tails than the weights, because the standard deviation of
    a channel includes its own extremes. The shape is then too large: by 0.7 to 1 with 9 weights per channel, 0.2 with
    27, 0.04 with 144 and 0.01 with 576, for shapes up to 2 (measured by `make validate`).

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
        Centred values, such as standard scores; the first axis is resampled for the interval.
    level : float
        Confidence level of the interval, between 0 and 1.

    Returns
    -------
    Interval
        NaN if no shape fits: the values are flatter than uniform (E|x| / sqrt(E x^2) at least sqrt(3)/2), or the shape
        lies outside `SHAPES`, as it does when several per cent of the values are 0.

    Raises
    ------
    InputError
        If there is no value, one is NaN or infinite, or the level lies outside (0, 1).
    """
    check_level(level)
    sums, grid = score_sums(values)
    if grid is None:
        return Interval(math.nan, math.nan, math.nan)
    interval = over_channels(sums, lambda totals: roots(totals, grid), level)
    return Interval(float(grid[len(grid) // 2]), interval.low, interval.high)


def score_sums(values: ArrayLike) -> tuple[Values, Values | None]:
    """Sums of each group of channels from which the score follows, at a grid of shapes around the estimate.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
        Centred values, such as standard scores.

    Returns
    -------
    sums : ndarray of float64, shape (groups, 2 G + 1)
        Sums of |x|^beta and of |x|^beta ln|x| at each shape, and the number of values; the input of `roots`.
    grid : ndarray of float64, shape (G,), or None
        The shapes, with the estimate in the middle; None if no shape fits.

    Raises
    ------
    InputError
        If there is no value, or one is NaN or infinite.
    """
    rows = check_weights(values)
    counts, centers = log_histogram(rows, groups(len(rows)))
    estimate = _solve(counts.sum(axis=0), centers)
    number = counts.sum(axis=1, keepdims=True)
    if math.isnan(estimate):
        return number, None
    grid = estimate * _GRID
    powers = np.exp(np.outer(centers, grid))
    whole, spread = 1.0 + grid**2 * _WITHIN / 2.0, grid * _WITHIN
    power, weighted = counts @ powers, counts @ (powers * centers[:, None])
    return np.hstack([power * whole, weighted * whole + power * spread, number]), grid


def shape_estimate(values: ArrayLike) -> float:
    """The estimate of `shape` without its interval, which takes longer to compute."""
    rows = check_weights(values)
    counts, centers = log_histogram(rows, np.zeros(1, dtype=np.intp))
    return _solve(counts[0], centers)


def log_histogram(rows: Array, first: NDArray[np.intp]) -> tuple[Values, Values]:
    """Histogram of ln|x| per group of channels, and the mean of ln|x| in every bin; the unit of |x| is its maximum.

    Parameters
    ----------
    rows : ndarray, shape (C_out, weights per channel)
    first : ndarray of int
        First channel of every group.

    Returns
    -------
    counts : ndarray of float64, shape (groups, bins)
        Values of 0, and values more than e^40 times smaller than the largest, are counted in the first bin.
    centers : ndarray of float64, shape (bins,)
        Mean over all groups; the middle of a bin that is empty.
    """
    largest = _largest(rows)
    counts: Values = np.zeros((len(first), _BINS))
    width = _RANGE / _BINS
    total: Values = np.zeros(_BINS)
    for start, block in blocks(rows):
        logs = _logs(block, largest)
        index = np.clip((logs + _RANGE) / width, 0, _BINS - 1).astype(np.intp)
        total += np.bincount(index.ravel(), logs.ravel(), _BINS)
        group = group_of(first, start, len(block))
        index += (group - group[0])[:, None] * _BINS
        members = group[-1] - group[0] + 1
        counts[group[0] : group[-1] + 1] += np.bincount(index.ravel(), minlength=members * _BINS).reshape(members, -1)
    weight = counts.sum(axis=0)
    middle = (np.arange(_BINS) + 0.5) * width - _RANGE
    return counts, np.divide(total, weight, out=middle, where=weight > 0)


def log_likelihood(values: ArrayLike, beta: float) -> float:
    """Log-likelihood of a generalised normal distribution of given shape, in nats, summed over the values.

    -n (ln 2 + lnGamma(1/beta) - ln beta + (ln(beta m) + 1)/beta) with m = mean |x|^beta, at the maximum-likelihood
    scale.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
    beta : float
        Shape, positive.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If there is no value, or one is NaN or infinite.
    """
    rows = check_weights(values)
    largest = _largest(rows)
    power = sum(float(np.exp(beta * _logs(block, largest)).sum()) for _, block in blocks(rows)) / rows.size
    constant = math.log(2.0) + float(gammaln(1.0 / beta)) - math.log(beta)
    return -rows.size * (constant + (math.log(beta * power) + 1.0) / beta + math.log(largest))


def _largest(rows: Array) -> float:
    """Largest |x|, used as a unit; 1 if all values are 0."""
    return max(float(np.abs(block, dtype=np.float64).max()) for _, block in blocks(rows)) or 1.0


def _logs(block: Array, largest: float) -> Values:
    """ln(|x| / largest): powers of large and of small values then stay in the range of floating point."""
    return np.log(np.maximum(np.abs(block, dtype=np.float64) / largest, math.exp(_LOG_ZERO)))


def _score(beta: Values, power: Values, weighted: Values, count: Values) -> Values:
    """Derivative of the profile log-likelihood in ln(beta), up to a positive factor: positive below the root."""
    result: Values = 1.0 + (psi(1.0 / beta) + np.log(beta * power / count)) / beta - weighted / power
    return result


def _solve(weight: Values, centers: Values) -> float:
    """Root of the score for one histogram; NaN if the data is too flat or no root lies in `SHAPES`."""
    size, total = np.exp(centers), weight.sum()
    if (weight @ size) / total >= FLATTEST * math.sqrt((weight @ size**2) / total):
        return math.nan

    def score(beta: float) -> float:
        powers = weight * np.exp(beta * centers)
        power, weighted, whole = powers.sum(), powers @ centers, 1.0 + beta**2 * _WITHIN / 2.0
        return float(_score(np.array(beta), power * whole, weighted * whole + power * beta * _WITHIN, total))

    if not score(SHAPES[0]) > 0 > score(SHAPES[1]):
        return math.nan
    return float(brentq(score, *SHAPES, xtol=1e-10))


def roots(totals: Values, grid: Values) -> Values:
    """Root of the score of each row of sums, interpolated linearly in ln(beta) and limited to the ends of the grid."""
    size = len(grid)
    scores = _score(grid, totals[:, :size], totals[:, size : 2 * size], totals[:, -1:])
    after = np.clip((scores > 0).sum(axis=1), 1, size - 1)
    rows = np.arange(len(totals))
    left, right = scores[rows, after - 1], scores[rows, after]
    share = np.clip(left / (left - right), 0.0, 1.0)
    logs = np.log(grid)
    result: Values = np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))
    return result
