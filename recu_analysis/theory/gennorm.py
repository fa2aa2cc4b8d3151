"""The generalized normal distribution of weights: its shape (1 is Laplace, 2 is normal) by maximum likelihood."""

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

#: Range of the reported shapes.
SHAPES = (0.05, 100.0)

# Number of bins of ln|x|, the width of their range, and the stand-in for ln 0: e^(-700 beta) is negligible in SHAPES.
_BINS = 4096
_RANGE = 40.0
_LOG_ZERO = -700.0
# Shapes between which maxima are sought. The likelihood depends on ln(beta) through means of exp(-exp(ln(beta) + ln t))
# over t = -ln|x / max|. These functions have a fixed width, so maxima are wider than these steps of 0.2.
_SCAN = np.geomspace(*SHAPES, 40)
# Factors around the estimated shape. For the interval, the sums of every channel are computed at these shapes.
_GRID = np.exp(np.linspace(-1.5, 1.5, 121))
# Rows and columns of a piece of a matrix product. OpenBLAS uses one thread for at most 2^18 multiplications.
_PIECE = (16, 64)
# Variance of ln|x| within a bin, taken as uniform.
_WITHIN = (_RANGE / _BINS) ** 2 / 12.0


def shape(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Shape of a zero-mean generalized normal distribution, with an interval over channels.

    The density is beta / (2 a Gamma(1/beta)) exp(-|x/a|^beta). Its shape solves the likelihood equation
    1 + psi(1/beta)/beta + ln(beta mean|x|^beta)/beta = sum |x|^beta ln|x| / sum |x|^beta (Varanasi and Aazhang 1989,
    J. Acoust. Soc. Am. 86, 1404-1415). That equation can have several roots, or none. The likelihood is therefore
    computed at shapes all over `SHAPES`, the equation is solved between neighbours, and the root of the greatest
    likelihood is the shape.

    For large shapes, the likelihood at the best scale always tends to that of the uniform distribution on
    [-max|x|, max|x|]: per value -ln(2 max|x|) - (ln(beta m) + 1 - 0.5772) / beta + O(1 / beta^2), where m, the mean of
    |x / max|^beta, tends to the share of values with the largest |x|. So it rises again beyond about 1.8 / m, and that
    limit is compared too. No moment tells whether a finite shape is likelier: one far value is enough, because the
    uniform distribution must cover it. If values are exactly 0, the likelihood grows without bound as the shape tends
    to 0; the greatest likelihood within `SHAPES` decides.

    The equation is solved on a histogram of ln|x| with the mean of every bin, in one pass over the data. The relative
    difference of its root to that of the exact equation is at most 1e-4 for shapes up to 3 with 500 values or more, and
    1e-3 for shapes up to 10 with 1000 values and up to 20 with 10,000. It grows beyond: 0.025 at 40 with 2000 values,
    a tenth of the standard error of that shape.

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
        NaN if the likelihood has no greatest value inside `SHAPES`: it is greatest for the uniform distribution or at
        the upper end, as for values that all have one size, or at the lower end, as when several per cent of the values
        are 0.

    Raises
    ------
    InputError
        If there is no value, one is NaN or infinite, or the level lies outside (0, 1).
    """
    check_level(level)
    return interval(*score_sums(values), level)


def interval(sums: Values, estimate: float, level: float = LEVEL) -> Interval:
    """The result of `shape` from that of `score_sums`."""
    if not within_range(estimate):
        return Interval(math.nan, math.nan, math.nan)
    found = over_channels(sums, lambda totals: roots(totals, estimate), level)
    return Interval(estimate, found.low, found.high)


def within_range(estimate: float) -> bool:
    """Whether an estimate is a shape, and not 0 or infinite for a likelihood that is greatest at an end of `SHAPES`."""
    return 0.0 < estimate < math.inf


def score_sums(values: ArrayLike) -> tuple[Values, float]:
    """Sums of each group of channels from which the score follows, at a grid of shapes around the estimate.

    Parameters
    ----------
    values : array_like, shape (C_out, ...)
        Centred values, such as standard scores.

    Returns
    -------
    sums : ndarray of float64, shape (groups, 2 G + 1)
        Sums of |x|^beta and of |x|^beta ln|x| at each shape, and the number of values; the input of `roots`. Only the
        number of values if no shape fits.
    estimate : float
        The shape; infinite where the likelihood is greatest for the uniform distribution or at the upper end of
        `SHAPES`, 0 where it is greatest at the lower end.

    Raises
    ------
    InputError
        If there is no value, or one is NaN or infinite.
    """
    rows = check_weights(values)
    counts, centers = log_histogram(rows, groups(len(rows)))
    estimate = _solve(counts.sum(axis=0), centers)
    number = counts.sum(axis=1, keepdims=True)
    if not within_range(estimate):
        return number, estimate
    grid = estimate * _GRID
    held = counts.any(axis=0)  # about a quarter of the bins
    counts, centers = counts[:, held], centers[held]
    powers = np.exp(np.outer(centers, grid))
    whole, spread = 1.0 + grid**2 * _WITHIN / 2.0, grid * _WITHIN
    power, weighted = np.hsplit(_product(counts, np.hstack([powers, powers * centers[:, None]])), 2)
    return np.hstack([power * whole, weighted * whole + power * spread, number]), estimate


def _product(left: Values, right: Values) -> Values:
    """Matrix product in pieces so small that BLAS starts no threads, which wait for each other on a busy machine."""
    result = np.zeros((len(left), right.shape[1]))
    for column in range(0, left.shape[1], _PIECE[1]):
        part = right[column : column + _PIECE[1]]
        for row in range(0, len(left), _PIECE[0]):
            result[row : row + _PIECE[0]] += left[row : row + _PIECE[0], column : column + _PIECE[1]] @ part
    return result


def shape_estimate(values: ArrayLike) -> float:
    """The estimate of `shape` without its interval, which takes longer to compute."""
    rows = check_weights(values)
    counts, centers = log_histogram(rows, np.zeros(1, dtype=np.intp))
    estimate = _solve(counts[0], centers)
    return estimate if within_range(estimate) else math.nan


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
    """Log-likelihood of a generalized normal distribution of given shape, in nats, summed over the values.

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
    return rows.size * (float(_profile(np.array(beta), np.log(power))) - math.log(2.0) - math.log(largest))


def _largest(rows: Array) -> float:
    """Largest |x|, used as a unit; 1 if all values are 0."""
    return max(float(np.abs(block, dtype=np.float64).max()) for _, block in blocks(rows)) or 1.0


def _logs(block: Array, largest: float) -> Values:
    """ln(|x| / largest): powers of large and of small values then stay in the range of floating point."""
    return np.log(np.maximum(np.abs(block, dtype=np.float64) / largest, math.exp(_LOG_ZERO)))


def _profile(beta: Values, log_power: Values) -> Values:
    """Log-likelihood per value at the best scale, plus ln 2; 0 in the limit of large shapes if the largest |x| is 1.

    `log_power` is the logarithm of the mean of |x|^beta.
    """
    logs = np.log(beta)
    result: Values = logs - gammaln(1.0 / beta) - (logs + log_power + 1.0) / beta
    return result


def _score(beta: Values, log_power: Values, mean_log: Values) -> Values:
    """Derivative of the profile log-likelihood in ln(beta), up to a positive factor: positive below a maximum.

    `mean_log` is the mean of ln|x|, weighted by |x|^beta.
    """
    result: Values = 1.0 + (psi(1.0 / beta) + np.log(beta) + log_power) / beta - mean_log
    return result


def _solve(weight: Values, centers: Values) -> float:
    """Shape of the greatest likelihood of one histogram; 0 or infinite where that is at an end, see `score_sums`."""
    held = weight > 0
    weight, centers = weight[held], centers[held]
    if centers[-1] < -_RANGE:  # every value is 0
        return 0.0
    total = weight.sum()

    def at(beta: Values) -> tuple[Values, Values]:
        """Score and profile likelihood at each shape."""
        powers = weight * np.exp(beta[:, None] * centers)
        whole = 1.0 + beta**2 * _WITHIN / 2.0
        power = powers.sum(axis=1) * whole
        weighted = (powers * centers).sum(axis=1) * whole + power / whole * beta * _WITHIN
        log_power = np.log(power / total)
        return _score(beta, log_power, weighted / power), _profile(beta, log_power)

    scores, likelihood = at(_SCAN)
    left = np.flatnonzero((scores[:-1] > 0) & (scores[1:] <= 0))
    maxima = np.array([brentq(lambda b: at(np.array([b]))[0][0], *_SCAN[i : i + 2], xtol=1e-12) for i in left])
    candidates = np.array([0.0, *maxima, math.inf])
    # The uniform distribution, or a shape above the range, stands for the upper end.
    heights = np.array([likelihood[0], *at(maxima)[1], max(likelihood[-1], 0.0)])
    return float(candidates[np.argmax(heights)])


def roots(totals: Values, estimate: float) -> Values:
    """Root of the score of each row of sums with the greatest likelihood, interpolated linearly in ln(beta).

    Parameters
    ----------
    totals : ndarray of float64, shape (R, 2 G + 1)
        Totals of the sums of `score_sums`.
    estimate : float
        The shape that `score_sums` gave; where it is 0 or infinite, it is that of each row too.

    Returns
    -------
    ndarray of float64, shape (R,)
        Limited to the ends of the grid, e^-1.5 and e^1.5 of the estimate.
    """
    if not within_range(estimate):
        return np.full(len(totals), estimate)
    grid = estimate * _GRID
    size = len(grid)
    power, weighted, count = totals[:, :size], totals[:, size : 2 * size], totals[:, -1:]
    log_power = np.log(power / count)
    scores, best = _score(grid, log_power, weighted / power), _profile(grid, log_power).argmax(axis=1)
    rows = np.arange(len(totals))
    after = np.clip(best + (scores[rows, best] > 0), 1, size - 1)
    left, right = np.maximum(scores[rows, after - 1], 0.0), np.minimum(scores[rows, after], 0.0)
    share = left / (left - right)  # 0 or 1 where the score has no root on the grid
    logs = np.log(grid)
    result: Values = np.exp(logs[after - 1] + share * (logs[after] - logs[after - 1]))
    return result
