"""The generalised normal distribution of weights: its shape (1 is Laplace, 2 is normal) by maximum likelihood."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, psi

from recu_analysis.theory.blocks import blocks
from recu_analysis.theory.intervals import LEVEL, Interval, group_of, groups, over_channels
from recu_analysis.theory.measured import check_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]
    Array = NDArray[Any]

#: E|z| / sqrt(E z^2) of the uniform distribution, which the shape approaches as it grows: flatter data has no shape.
FLATTEST = math.sqrt(3.0) / 2.0
#: Shapes outside are reported as none: the likelihood is flat there.
SHAPES = (0.05, 100.0)

# Bins of ln|x|, the width of their range, and what stands for ln 0: e^(-700 beta) is nothing for all SHAPES.
_BINS = 2048
_RANGE = 40.0
_LOG_ZERO = -700.0
# Shapes at which the sums of every channel are taken, around the estimate, for its interval; roots lie between them.
_GRID = np.exp(np.linspace(-1.5, 1.5, 121))
# Steps from the root of the histogram to that of the values, in ln(beta): how many at most, and which is the last.
_STEPS = 8
_LAST_STEP = 1e-4


def shape(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Shape of a zero-mean generalised normal distribution, with an interval over channels.

    The density is beta / (2 a Gamma(1/beta)) exp(-|x/a|^beta). Its shape solves the likelihood equation
    1 + psi(1/beta)/beta + ln(beta mean|x|^beta)/beta = sum |x|^beta ln|x| / sum |x|^beta (Varanasi and Aazhang 1989,
    J. Acoust. Soc. Am. 86, 1404-1415), here first on a histogram of ln|x|, then by a step or two on the values. The
    interval is that of the histogram's root, moved in proportion to the estimate.

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
        outside `SHAPES`. The latter holds where several per cent of the values are 0.

    Raises
    ------
    InputError
        If there is no value, one is NaN or infinite, or the level lies outside (0, 1).
    """
    rows = check_weights(values)
    root, slope, grid, sums = _binned(rows)
    binned = over_channels(sums, lambda totals: _roots(totals, grid), level)
    estimate = _polished(rows, root, slope)
    moved = estimate / root
    return Interval(estimate, binned.low * moved, binned.high * moved)


def shape_estimate(values: ArrayLike) -> float:
    """The shape of `shape` without its interval, which takes longer than the estimate."""
    rows = check_weights(values)
    counts, centres = log_histogram(rows, np.zeros(1, dtype=np.intp))
    return _polished(rows, *_solve(counts[0], centres))


def _binned(rows: Array) -> tuple[float, float, Values, Values]:
    """Root and slope of the histogram's score, shapes around it, and the sums there of every group of channels."""
    counts, centres = log_histogram(rows, groups(len(rows)))
    root, slope = _solve(counts.sum(axis=0), centres)
    grid = root * _GRID
    powers = np.exp(np.outer(centres, grid))
    sums = [counts @ powers, counts @ (powers * centres[:, None]), counts.sum(axis=1, keepdims=True)]
    return root, slope, grid, np.hstack(sums)


def log_histogram(rows: Array, first: NDArray[np.intp]) -> tuple[Values, Values]:
    """Counts of ln|x| by group of channels, and the bins' centres; |x| in units of the largest.

    Parameters
    ----------
    rows : ndarray, shape (C_out, weights per channel)
    first : ndarray of int
        First channel of every group.

    Returns
    -------
    counts : ndarray of float64, shape (groups, bins)
        Zeros of x, and what is e^40 times smaller than the largest, count in the first bin.
    centres : ndarray of float64, shape (bins,)
    """
    largest = _largest(rows)
    counts: Values = np.zeros((len(first), _BINS))
    width = _RANGE / _BINS
    centres = np.asarray((np.arange(_BINS) + 0.5) * width - _RANGE, dtype=np.float64)
    centres[0] = _LOG_ZERO
    for start, block in blocks(rows):
        index = np.clip((_logs(block, largest) + _RANGE) / width, 0, _BINS - 1).astype(np.intp)
        group = group_of(first, start, len(block))
        index += (group - group[0])[:, None] * _BINS
        members = group[-1] - group[0] + 1
        counts[group[0] : group[-1] + 1] += np.bincount(index.ravel(), minlength=members * _BINS).reshape(members, -1)
    return counts, centres


def log_likelihood(values: ArrayLike, beta: float) -> float:
    """Log-likelihood of a generalised normal of this shape with its best scale, in nats, summed over the values.

    -n (ln 2 + lnGamma(1/beta) - ln beta + (ln(beta m) + 1)/beta) with m = mean |x|^beta.

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
    """Largest |x|; 1 where all are 0, so that it can be a unit."""
    return max(float(np.abs(block, dtype=np.float64).max()) for _, block in blocks(rows)) or 1.0


def _logs(block: Array, largest: float) -> Values:
    """ln|x| in units of the largest: the powers of neither large nor small values leave the range of floating point."""
    return np.log(np.maximum(np.abs(block, dtype=np.float64) / largest, math.exp(_LOG_ZERO)))


def _polished(rows: Array, beta: float, slope: float) -> float:
    """Root of the score of the values themselves, from that of their histogram by secants; NaN outside `SHAPES`."""
    largest = _largest(rows)
    before, step = math.nan, 0.0
    for _ in range(_STEPS):
        if not SHAPES[0] <= beta <= SHAPES[1]:
            return math.nan
        score = _score_at(beta, rows, largest)
        secant = (score - before) / step if step else math.nan
        # The score falls at a maximum of the likelihood; where rounding says otherwise, the slope before stays.
        slope = secant if secant < 0 else slope
        before, step = score, min(max(-score / slope, -0.5), 0.5)
        beta *= math.exp(step)
        if abs(step) < _LAST_STEP:
            break
    return beta


def _score_at(beta: float, rows: Array, largest: float) -> float:
    """Score of the values, in one pass over them."""
    power = weighted = 0.0
    for _, block in blocks(rows):
        logs = _logs(block, largest)
        powers = np.exp(beta * logs)
        power, weighted = power + float(powers.sum()), weighted + float(np.vdot(powers, logs))
    return float(_score(np.array(beta), np.array(power), np.array(weighted), np.array(rows.size)))


def _score(beta: Values, power: Values, weighted: Values, count: Values) -> Values:
    """Slope of the profile likelihood in ln(beta), up to a positive factor: positive below the root."""
    result: Values = 1.0 + (psi(1.0 / beta) + np.log(beta * power / count)) / beta - weighted / power
    return result


def _solve(weight: Values, centres: Values) -> tuple[float, float]:
    """Root of the score for one histogram and the score's slope in ln(beta) there.

    NaN where the data is too flat or no root lies in `SHAPES`.
    """
    size, total = np.exp(centres), weight.sum()
    if (weight @ size) / total >= FLATTEST * math.sqrt((weight @ size**2) / total):
        return math.nan, math.nan

    def score(beta: float) -> float:
        powers = weight * np.exp(beta * centres)
        return float(_score(np.array(beta), powers.sum(), powers @ centres, total))

    if not score(SHAPES[0]) > 0 > score(SHAPES[1]):
        return math.nan, math.nan
    root = float(brentq(score, *SHAPES, xtol=1e-10))
    return root, (score(root * 1.01) - score(root)) / math.log(1.01)


def _roots(totals: Values, grid: Values) -> Values:
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
