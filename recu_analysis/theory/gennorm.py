"""The generalised normal distribution of weights: its shape (1 is Laplace, 2 is normal) by maximum likelihood."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, psi

from recu_analysis.theory.blocks import blocks
from recu_analysis.theory.intervals import LEVEL, Interval, groups, over_channels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

#: E|z| / sqrt(E z^2) of the uniform distribution, which the shape approaches as it grows: flatter data has no shape.
FLATTEST = math.sqrt(3.0) / 2.0
#: Shapes outside are reported as none: the likelihood is flat there.
SHAPES = (0.05, 100.0)

# Bins of ln|x| and the width of their range. Weights e^16 times smaller than the largest go to the first bin: what
# they add to the sums is nothing for the shapes at hand.
_BINS = 4096
_RANGE = 16.0
# Shapes at which the sums of every channel are taken, around the estimate, for its interval; roots lie between them.
_GRID = np.exp(np.linspace(-1.5, 1.5, 121))


def shape(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Shape of a zero-mean generalised normal distribution, with an interval over channels.

    The density is beta / (2 a Gamma(1/beta)) exp(-|x/a|^beta). Its shape solves the likelihood equation
    1 + psi(1/beta)/beta + ln(beta mean|x|^beta)/beta = sum |x|^beta ln|x| / sum |x|^beta (Varanasi and Aazhang 1989,
    J. Acoust. Soc. Am. 86, 1404-1415), here on a histogram of ln|x|, which is a single pass over the data.

    Standard scores of channels with few weights have lighter tails than the weights, because each channel's own
    deviation holds its extremes. By `make validate` the shape is too large by 0.7 to 1 with 9 weights a channel, 0.2
    with 27, 0.04 with 144 and 0.01 with 576, for shapes up to 2.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
        Centred values, such as standard scores; the first axis is resampled for the interval.
    level : float
        Confidence of the interval.

    Returns
    -------
    Interval
        NaN where no shape fits: E|x| / sqrt(E x^2) of at least sqrt(3)/2, flatter than uniform, or a shape that lies
        outside `SHAPES`.
    """
    sums, grid = channel_sums(values)
    if grid is None:
        return Interval(math.nan, math.nan, math.nan)
    interval = over_channels(sums, lambda totals: roots(totals, grid), level)
    return Interval(float(grid[len(grid) // 2]), interval.low, interval.high)


def channel_sums(values: ArrayLike) -> tuple[Values, Values | None]:
    """What each group of channels adds to the score at a grid of shapes, whose middle is the estimate.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)

    Returns
    -------
    sums : ndarray of float64, shape (groups, 2 G + 1)
        For `roots`: sums of |x|^beta and of |x|^beta ln|x| at each shape, and the number of values.
    grid : ndarray of float64, shape (G,), or None
        The shapes; None where none fits, with the number of values as the only sum.
    """
    counts, centres = log_histogram(values, groups(len(np.asarray(values))))
    estimate = _solve(counts.sum(axis=0), centres)
    number = counts.sum(axis=1, keepdims=True)
    if math.isnan(estimate):
        return number, None
    grid = estimate * _GRID
    powers = np.exp(np.outer(centres, grid))
    return np.hstack([counts @ powers, counts @ (powers * centres[:, None]), number]), grid


def shape_estimate(values: ArrayLike) -> float:
    """The shape of `shape` without its interval, which takes longer than the estimate."""
    counts, centres = log_histogram(values, np.zeros(1, dtype=np.intp))
    return _solve(counts[0], centres)


def log_histogram(values: ArrayLike, first: NDArray[np.intp]) -> tuple[Values, Values]:
    """Counts of ln|x| by group of channels, and the bins' centres; |x| in units of the largest.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
    first : ndarray of int
        First channel of every group.

    Returns
    -------
    counts : ndarray of float64, shape (groups, bins)
        Zeros of x count in the first bin.
    centres : ndarray of float64, shape (bins,)
    """
    array = np.asarray(values)
    rows = array.reshape(len(array), -1)
    largest = max((float(np.abs(block).max()) for _, block in blocks(rows)), default=0.0)
    counts: Values = np.zeros((len(first), _BINS))
    width = _RANGE / _BINS
    centres = np.asarray((np.arange(_BINS) + 0.5) * width - _RANGE, dtype=np.float64)
    if largest == 0.0:
        return counts, centres
    for start, block in blocks(rows):
        with np.errstate(divide="ignore"):
            logs = np.log(np.abs(block, dtype=np.float64) / largest)
        index = np.clip((logs + _RANGE) / width, 0, _BINS - 1).astype(np.intp)
        group = np.searchsorted(first, np.arange(start, start + len(block)), side="right") - 1
        index += (group - group[0])[:, None] * _BINS
        members = group[-1] - group[0] + 1
        counts[group[0] : group[-1] + 1] += np.bincount(index.ravel(), minlength=members * _BINS).reshape(members, -1)
    return counts, centres


def log_likelihood(values: ArrayLike, beta: float) -> float:
    """Log-likelihood of a generalised normal of this shape with its best scale, in nats, summed over the values.

    -n (ln 2 + lnGamma(1/beta) - ln beta + (ln(beta m) + 1)/beta) with m = mean |x|^beta.
    """
    array = np.asarray(values)
    rows = array.reshape(len(array), -1)
    power = sum(float((np.abs(block, dtype=np.float64) ** beta).sum()) for _, block in blocks(rows)) / array.size
    constant = math.log(2.0) + float(gammaln(1.0 / beta)) - math.log(beta)
    return -array.size * (constant + (math.log(beta * power) + 1.0) / beta)


def _score(beta: Values, power: Values, weighted: Values, count: Values) -> Values:
    """Slope of the profile likelihood in ln(beta), up to a positive factor: positive below the root."""
    result: Values = 1.0 + (psi(1.0 / beta) + np.log(beta * power / count)) / beta - weighted / power
    return result


def _solve(weight: Values, centres: Values) -> float:
    """Root of the score for one histogram; NaN where the data is too flat or no root lies in `SHAPES`."""
    size, total = np.exp(centres), weight.sum()
    if total == 0 or (weight @ size) / total >= FLATTEST * math.sqrt((weight @ size**2) / total):
        return math.nan

    def score(beta: float) -> float:
        powers = weight * np.exp(beta * centres)
        return float(_score(np.array(beta), powers.sum(), powers @ centres, weight.sum()))

    if not score(SHAPES[0]) > 0 > score(SHAPES[1]):
        return math.nan
    return float(brentq(score, *SHAPES, xtol=1e-10))


def roots(totals: Values, grid: Values) -> Values:
    """Root of the score of every row of sums, linear in ln(beta) between the shapes of a grid; its ends beyond them."""
    size = len(grid)
    scores = _score(grid, totals[:, :size], totals[:, size : 2 * size], totals[:, -1:])
    after = np.clip((scores > 0).sum(axis=1), 1, size - 1)
    rows = np.arange(len(totals))
    left, right = scores[rows, after - 1], scores[rows, after]
    share = np.clip(left / (left - right), 0.0, 1.0)
    logs = np.log(grid)
    result: Values = np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))
    return result
