"""Arrays of real numbers from what a caller gave, or one sentence about what it is instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def real_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """The values as an array in the dtype they have; nothing is copied where they are one.

    numpy by itself reads the text "1" as a number, drops the imaginary part of complex ones and makes NaN of None.

    Parameters
    ----------
    values : array_like
    what : str
        What the values are, in the plural, for the error.

    Raises
    ------
    InputError
        If the values are no numbers, complex ones, or rows of different lengths.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{what} are an array of numbers, not rows of different lengths") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"{what} are real numbers, not of type {array.dtype}")
    return array


def reals(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """The values as an array of float64; see `real_array`."""
    return np.asarray(real_array(values, what), dtype=np.float64)


def real(value: Any, what: str) -> float:
    """One number as a float; InputError where it is none, or several."""
    try:
        number = np.asarray(value)
    except ValueError:
        number = np.empty(0)
    if number.ndim or number.dtype.kind not in "fiu":
        raise InputError(f"{what} must be a number, not {value!r:.40}")
    return float(number)
