"""Confidence intervals over the output channels of a layer: the bias-corrected, accelerated bootstrap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

LEVEL = 0.95
#: Resamples of the channels; the same ones every time, so that the same data gives the same interval.
RESAMPLES = 2000
#: Fewer channels than this say too little of how channels differ.
FEWEST_CHANNELS = 8
#: More channels than this are taken in groups, which are as good to resample and bound the cost.
MOST_GROUPS = 512


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes
    ----------
    estimate, low, high : float
        `low` and `high` are NaN where there are too few channels to tell.
    """

    estimate: float
    low: float
    high: float


def check_level(level: float) -> None:
    """InputError unless a confidence level lies between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise InputError(f"a confidence level lies between 0 and 1, not {level:g}")


def groups(channels: int) -> NDArray[np.intp]:
    """First channel of every group that is resampled as one: each channel itself, or at most `MOST_GROUPS` groups."""
    count = min(channels, MOST_GROUPS)
    return np.arange(count, dtype=np.intp) * channels // count


def group_of(first: NDArray[np.intp], start: int, count: int) -> NDArray[np.intp]:
    """Group of each of `count` channels from `start` on, where `first` holds the first channel of every group."""
    return np.searchsorted(first, np.arange(start, start + count), side="right") - 1


def over_channels(sums: Values, statistic: Callable[[Values], Values], level: float = LEVEL) -> Interval:
    """Interval of a statistic of sums over channels, the channels resampled with replacement (BCa).

    Weights of a channel share their mean, their scale and their gradient; they are no independent sample, the
    channels nearly are. Efron (1987), Better bootstrap confidence intervals, JASA 82, 171-185. Coverage for 95 %,
    by `make validate`: 0.94 to 0.96 for 16 to 512 channels, each with a standard error of 0.005 to 0.017.

    Parameters
    ----------
    sums : ndarray of float64, shape (channels, K)
        What each channel adds to the K sums that the statistic needs.
    statistic : callable
        From totals of shape (R, K) to values of shape (R,).
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    Interval
        Without bounds where there are fewer than `FEWEST_CHANNELS` channels or the statistic has no value.

    Raises
    ------
    InputError
        If the level lies outside (0, 1).
    """
    check_level(level)
    total = sums.sum(axis=0, keepdims=True)
    estimate = float(statistic(total)[0])
    count = len(sums)
    if count < FEWEST_CHANNELS or not np.isfinite(estimate):
        return Interval(estimate, float("nan"), float("nan"))
    resampled = statistic(draws(count) @ sums)
    low, high = bca(estimate, resampled, statistic(total - sums), expanded(count, level))
    return Interval(estimate, low, high)


@lru_cache(maxsize=8)
def draws(count: int) -> Values:
    """How often each of `count` members is in each resample, shape (RESAMPLES, count); the same at every call."""
    counts = np.random.default_rng(0).multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES)
    result = counts.astype(np.float64)
    result.flags.writeable = False
    return result


def expanded(count: int, level: float = LEVEL) -> tuple[float, float]:
    """Normal scores of an interval's ends, widened for few members: those of Student's t, times sqrt(n / (n - 1)).

    A bootstrap of n members is narrow by that root and knows the spread no better than t does (Hesterberg 2015, The
    American Statistician 69, 371-386).
    """
    score = float(stdtrit(count - 1, 0.5 + level / 2)) * math.sqrt(count / (count - 1))
    return -score, score


def bca(estimate: float, resampled: Values, jackknife: Values, scores: tuple[float, float]) -> tuple[float, float]:
    """Bounds of the bias-corrected, accelerated bootstrap (Efron 1987, equations 2.3 and 6.6).

    Parameters
    ----------
    estimate : float
        Of the whole sample.
    resampled : ndarray, shape (R,)
        Of each resample.
    jackknife : ndarray, shape (N,)
        Of the sample without each of its members.
    scores : pair of float
        Normal scores of the two ends, such as -1.96 and 1.96.

    Returns
    -------
    low, high : float
        NaN where a resample has no value; both the estimate where nothing varies.
    """
    if not (np.isfinite(resampled).all() and np.isfinite(jackknife).all()):
        return float("nan"), float("nan")
    # Half of the ties count as below; sums in another order differ from them by rounding.
    ties = np.isclose(resampled, estimate, rtol=1e-12, atol=0.0)
    below = np.mean((resampled < estimate) & ~ties) + 0.5 * np.mean(ties)
    least = 0.5 / len(resampled)
    bias = ndtri(np.clip(below, least, 1.0 - least))
    pull = jackknife.mean() - jackknife
    pull /= np.abs(pull).max() or 1.0  # no square or cube of it leaves the range of floating point
    spread = (pull**2).sum() ** 1.5
    acceleration = (pull**3).sum() / (6.0 * spread) if spread > 0 else 0.0
    ends = bias + np.array(scores)
    # The map of Efron's has a pole; ends at or past it, as one channel far from all others gives, go to the extreme.
    shares = ndtr(bias + ends / np.maximum(1.0 - acceleration * ends, np.finfo(float).tiny ** 0.5))
    low, high = np.quantile(resampled, shares)
    return float(low), float(high)


def over_layers(layers: Sequence[Values], statistic: Callable[[int, Values], Values], level: float = LEVEL) -> Interval:
    """Interval of the median over layers of a statistic, the channels of every layer resampled (BCa).

    Coverage for 95 %, by `make validate`, for the median of six layers that differ: 0.92 with 16 channels in each, 0.93
    to 0.95 with 64 to 256, each with a standard error of 0.008.

    Parameters
    ----------
    layers : sequence of ndarray of float64, shape (channels, K)
        What each channel of each layer adds to the K sums that the statistic needs.
    statistic : callable
        From a layer's position and totals of shape (R, K) to values of shape (R,).
    level : float
        Confidence, between 0 and 1.

    Returns
    -------
    Interval
        Without bounds where a layer has fewer than `FEWEST_CHANNELS` channels, or the median has no value.
    """
    values = [float(statistic(index, sums.sum(axis=0, keepdims=True))[0]) for index, sums in enumerate(layers)]
    valid = [index for index, value in enumerate(values) if not math.isnan(value)]
    if not valid:
        return Interval(math.nan, math.nan, math.nan)
    estimate = float(np.median([values[index] for index in valid]))
    count = min(len(layers[index]) for index in valid)
    if count < FEWEST_CHANNELS or not math.isfinite(estimate):
        return Interval(estimate, math.nan, math.nan)
    resampled = np.stack([statistic(index, shuffled(len(layers[index]), index) @ layers[index]) for index in valid])
    jackknife = []
    for row, index in enumerate(valid):
        alone = statistic(index, layers[index].sum(axis=0, keepdims=True) - layers[index])
        others = np.array([values[other] for other in valid])
        table = np.tile(others, (len(alone), 1))
        table[:, row] = alone
        jackknife.append(np.median(table, axis=1))
    medians = np.median(resampled, axis=0)
    # The resamples of each layer are narrow by its own number of channels; the fewest stand for all.
    low, high = bca(estimate, medians, np.concatenate(jackknife), expanded(count, level))
    return Interval(estimate, low, high)


def shuffled(count: int, layer: int) -> Values:
    """The resamples of `count` channels in an order of the layer's own, so that layers vary independently."""
    permutation = np.random.default_rng(layer + 1).permutation(RESAMPLES)
    return draws(count)[permutation]


def student(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Mean of independent values, such as those of several seeds, with Student's interval; no bounds for one value.

    Parameters
    ----------
    values : sequence of float
    level : float
        Confidence.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return Interval(math.nan, math.nan, math.nan)
    middle = float(sample.mean())
    if sample.size < 2:
        return Interval(middle, math.nan, math.nan)
    half = float(stdtrit(sample.size - 1, 0.5 + level / 2) * sample.std(ddof=1)) / math.sqrt(sample.size)
    return Interval(middle, middle - half, middle + half)


def difference(first: Interval, second: Interval) -> Interval:
    """Interval of the first estimate less the second, of independent data, from the interval of each.

    By the method of variance estimates recovery, which keeps the asymmetry of both: Zou and Donner (2008), Statistics
    in Medicine 27, 1693-1702, equation 3.

    Parameters
    ----------
    first, second : Interval
        Of the same confidence; where one has no bounds, neither has the difference.
    """
    middle = first.estimate - second.estimate
    low = middle - math.hypot(first.estimate - first.low, second.high - second.estimate)
    high = middle + math.hypot(first.high - first.estimate, second.estimate - second.low)
    return Interval(middle, low, high)
