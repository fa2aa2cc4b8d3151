"""Convert a caller's values to arrays of real numbers, or raise one clear error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def real_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """Return the values as an array in their own dtype; an array is not copied.

    numpy alone would read the text "1" as a number, drop the imaginary part of a complex number and turn None into NaN.

    Parameters
    ----------
    values : array_like
    what : str
        Name of the values in the plural, for the error.

    Returns
    -------
    ndarray

    Raises
    ------
    InputError
        If the values are not numbers, are complex, or are rows of different lengths.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{what} must be an array of numbers, not rows of different lengths") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what} must be real numbers, not of type {array.dtype}")
    return array


def reals(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return the values as an array of float64; see `real_array`."""
    return np.asarray(real_array(values, what), dtype=np.float64)


def real(value: Any, what: str) -> float:
    """Return one number as a float; raise InputError for anything else."""
    try:
        number = np.asarray(value)
    except ValueError:
        number = np.empty(0)
    if number.ndim or number.dtype.kind not in "fiu":
        raise InputError(f"{what} must be a number, not {value!r:.40}")
    return float(number)
