"""Values of given ranks and their places: the results of sorting, several times faster, because few are sorted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Number of values in the sample. Below four times as many values, np.partition alone is fast.
_SAMPLE = 1 << 14
#: Number of intervals among which `places_of_ranks` counts values.
_INTERVALS = 1 << 17


def of_rank(values: Values, rank: int) -> float:
    """The exact value at index `rank` of the sorted values.

    Parameters
    ----------
    values : ndarray of float64, one-dimensional
        Without NaN.
    rank : int
        From 0 to `values.size` - 1.

    Returns
    -------
    float
    """
    few, place = _around(values, rank)
    return float(np.partition(few, place)[place])


def median(values: Values) -> float:
    """The median of one-dimensional float64 values without NaN, equal to np.median; NaN for an empty array."""
    if not values.size:
        return math.nan
    few, upper = _around(values, values.size // 2)
    if values.size % 2:
        return float(np.partition(few, upper)[upper])
    if upper == 0:  # the lower of the two middle values is not among the few
        few, upper = values, values.size // 2
    return 0.5 * float(np.partition(few, [upper - 1, upper])[upper - 1 : upper + 1].sum())


def places_of_ranks(values: Values, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of the values of some ranks: ``np.argsort(values, kind="stable")[ranks]``.

    Parameters
    ----------
    values : ndarray of float64, one-dimensional
        Finite, none below 0.
    ranks : ndarray of int64
        From 0 to `values.size` - 1.
    """
    if values.size < 4 * _SAMPLE:
        return np.argsort(values, kind="stable")[ranks]
    # Equal values share an interval, and only values in the intervals of the ranks are sorted.
    interval = (values / (values.max() or 1.0) * (_INTERVALS - 1)).astype(np.int32)
    counts = np.bincount(interval)
    ends = np.cumsum(counts)
    wanted = np.searchsorted(ends, ranks, side="right")
    needed = np.zeros(counts.size, dtype=np.bool_)
    needed[wanted] = True
    few = np.flatnonzero(needed[interval])
    left_out = np.cumsum(np.where(needed, 0, counts))  # values before each needed interval that are not among the few
    places: NDArray[np.int64] = few[np.argsort(values[few], kind="stable")[ranks - left_out[wanted]]]
    return places


def _around(values: Values, rank: int) -> tuple[Values, int]:
    """The few values near a rank, and the rank within them; all values if the sample misses the rank."""
    if values.size < 4 * _SAMPLE:
        return values, rank
    low, high = _bracket(values, rank)
    few = values[(values >= low) & (values <= high)]
    place = rank - int(np.count_nonzero(values < low))
    return (few, place) if 0 <= place < few.size else (values, rank)


def _bracket(values: Values, rank: int) -> tuple[float, float]:
    """Two values of a sample between which the rank almost surely lies: four standard deviations on each side."""
    chosen = (np.arange(_SAMPLE) * (values.size / _SAMPLE)).astype(np.intp)
    sample = np.sort(values[chosen])
    middle, margin = rank / values.size * _SAMPLE, 2.0 * math.sqrt(_SAMPLE)
    low, high = math.floor(middle - margin), math.ceil(middle + margin)
    return (sample[low] if low >= 0 else -math.inf), (sample[high] if high < _SAMPLE else math.inf)
