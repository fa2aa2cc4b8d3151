"""The power of the test of a single weight: how often gradients that hold it can be told from noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

from recu_analysis.errors import InputError
from recu_analysis.theory.validation import reals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Values = NDArray[np.float64]

#: The share of a weight's variance that is signal, if nothing else is known: about the restored fraction of the runs in
#: checkpoints/fashion.
SIGNAL_SHARE = 0.3
#: abs(t) above which a weight is said to differ from noise; noise alone reaches it in 5 % of the weights.
CRITICAL = 1.96


def typical_t(decay_time: ArrayLike, windows: ArrayLike = np.inf, share: float = SIGNAL_SHARE) -> Values:
    """Mean of t = sum E / sqrt(sum V) of a typical weight, whose place lies one standard deviation of places from zero.

    The model: decay and noise move each weight around a place of its own, to which its mean gradient pulls it. The
    places vary between weights by `share` of the variance of the weights, the noise makes the rest; then rho, the
    restored fraction of all weights, is `share`. Over a window of decay time T, E has mean (1 - a) place and variance
    (1 - a^2) noise, with a = exp(-T). Summed over n windows::

        t^2 = share / (1 - share) n tanh(T / 2n)

    Many short windows tell most; the limit is share / (1 - share) T / 2.

    Parameters
    ----------
    decay_time : array_like
        T of all windows together.
    windows : array_like
        Number n of windows of equal T, from each of which E and V are taken; infinite for the limit.
    share : float
        Signal share, at least 0 and below 1.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InputError
        If T is negative, there is no window, or the share is out of range.
    """
    total, count = reals(decay_time, "decay times"), reals(windows, "numbers of windows")
    _check_share(share)
    if not (total >= 0.0).all():
        raise InputError("the decay time T must be 0 or more; give the T of all windows together")
    if not (count >= 1.0).all():
        raise InputError("the power needs at least one window; give their number")
    length = np.where(np.isinf(count), 1.0, count)
    told = np.where(np.isinf(count), total / 2.0, length * np.tanh(total / (2.0 * length)))
    mean: Values = np.sqrt(share / (1.0 - share) * told)
    return mean


def spread_of_t(decay_time: ArrayLike, windows: ArrayLike = np.inf, share: float = SIGNAL_SHARE) -> Values:
    """Standard deviation of t over all weights; 1 for noise. Parameters and errors are those of `typical_t`."""
    spread: Values = np.hypot(1.0, typical_t(decay_time, windows, share))
    return spread


def power(decay_time: ArrayLike, windows: ArrayLike = np.inf, share: float = SIGNAL_SHARE) -> Values:
    """The share of weights with abs(t) > 1.96: 0.05 for noise. Parameters and errors are those of `typical_t`."""
    tails: Values = 2.0 * ndtr(-CRITICAL / spread_of_t(decay_time, windows, share))
    return tails


def least_decay_time(share: float = SIGNAL_SHARE, level: float = 0.05) -> float:
    """T from which a typical weight is more likely found to be held than not, if noise alone is so in `level` of them.

    The typical weight of `typical_t`, in the limit of many short windows. Below this T, shares of weights can be
    compared with noise, but single weights cannot be told.

    Parameters
    ----------
    share : float
        Signal share, above 0 and below 1; 0 gives infinity.
    level : float
        Level of the one-sided test, above 0 and below 1/2.

    Returns
    -------
    float
        About 13 by default.

    Raises
    ------
    InputError
        If a number is out of range.
    """
    _check_share(share)
    if not 0.0 < level < 0.5:
        raise InputError(f"the level of a one-sided test must lie between 0 and 0.5, not {level:g}")
    return 2.0 * float(ndtri(level)) ** 2 * (1.0 - share) / share if share > 0.0 else math.inf


def _check_share(share: float) -> None:
    if not 0.0 <= share < 1.0:
        raise InputError(f"the signal share must be at least 0 and below 1, not {share:g}")
