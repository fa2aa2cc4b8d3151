"""The value of a rank among many: what np.partition finds, several times faster, for a sample says where to look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Values in the sample. Below four times as many np.partition alone is fast.
_SAMPLE = 1 << 14


def of_rank(values: Values, rank: int) -> float:
    """The value that has `rank` smaller or equal ones before it when all are in rising order, exactly.

    Parameters
    ----------
    values : ndarray of float64, flat
        Without NaN.
    rank : int
        From 0 to one less than their number.
    """
    few, place = _around(values, rank)
    return float(np.partition(few, place)[place])


def median(values: Values) -> float:
    """The median of flat float64 values without NaN, as np.median finds it; NaN of nothing."""
    if not values.size:
        return math.nan
    few, upper = _around(values, values.size // 2)
    if values.size % 2:
        return float(np.partition(few, upper)[upper])
    if upper == 0:  # the lower of the two is not among the few
        few, upper = values, values.size // 2
    return 0.5 * float(np.partition(few, [upper - 1, upper])[upper - 1 : upper + 1].sum())


def _around(values: Values, rank: int) -> tuple[Values, int]:
    """Few values that hold the one of a rank, and its rank among them; all where the sample does not tell."""
    if values.size < 4 * _SAMPLE:
        return values, rank
    low, high = _bracket(values, rank)
    few = values[(values >= low) & (values <= high)]
    place = rank - int(np.count_nonzero(values < low))
    return (few, place) if 0 <= place < few.size else (values, rank)


def _bracket(values: Values, rank: int) -> tuple[float, float]:
    """Two values of a sample between which a rank almost surely lies: four of its standard deviations either way."""
    chosen = (np.arange(_SAMPLE) * (values.size / _SAMPLE)).astype(np.intp)
    sample = np.sort(values[chosen])
    middle, margin = rank / values.size * _SAMPLE, 2.0 * math.sqrt(_SAMPLE)
    low, high = math.floor(middle - margin), math.ceil(middle + margin)
    return (sample[low] if low >= 0 else -math.inf), (sample[high] if high < _SAMPLE else math.inf)
