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
    if values.size >= 4 * _SAMPLE:
        low, high = _bracket(values, rank)
        inside = values[(values >= low) & (values <= high)]
        place = rank - int(np.count_nonzero(values < low))
        if 0 <= place < inside.size:
            values, rank = inside, place
    return float(np.partition(values, rank)[rank])


def median(values: Values) -> float:
    """The median of flat float64 values without NaN, as np.median finds it; NaN of nothing."""
    if not values.size:
        return math.nan
    upper = of_rank(values, values.size // 2)
    return upper if values.size % 2 else 0.5 * (of_rank(values, values.size // 2 - 1) + upper)


def _bracket(values: Values, rank: int) -> tuple[float, float]:
    """Two values of a sample between which a rank almost surely lies: four of its standard deviations either way."""
    chosen = (np.arange(_SAMPLE) * (values.size / _SAMPLE)).astype(np.intp)
    sample = np.sort(values[chosen])
    middle, margin = rank / values.size * _SAMPLE, 2.0 * math.sqrt(_SAMPLE)
    low, high = math.floor(middle - margin), math.ceil(middle + margin)
    return (sample[low] if low >= 0 else -math.inf), (sample[high] if high < _SAMPLE else math.inf)
