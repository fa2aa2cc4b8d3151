"""The schedule of the quantile level tau over the epochs of a training (Eq. 24)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.errors import InputError
from recu_analysis.theory.laplace import check_tau

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def exponential(epoch: ArrayLike, epochs: int, start: float = 0.85, end: float = 0.99) -> NDArray[np.float64]:
    """tau_i = (end - start)/(e - 1) exp(i/I) + (e start - end)/(e - 1) (Eq. 24 of ReCU, Xu et al., ICCV 2021).

    i = 0 gives `start`; i = I would give `end`, but the last epoch is I - 1.

    Parameters
    ----------
    epoch : array_like
        Epoch i, counted from 0, at most `epochs`.
    epochs : int
        Number of epochs I, at least 1.
    start, end : float
        Levels, 0.5 < start <= end <= 1; equal for a fixed tau.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    InputError
        If a level, an epoch or the number of epochs is out of its range.
    """
    check_tau([start, end])
    index = np.asarray(epoch, dtype=np.float64)
    if start > end:
        raise InputError(f"tau must not fall: its start {start:g} is above its end {end:g}")
    if epochs < 1:
        raise InputError(f"a schedule needs at least one epoch, not {epochs}")
    if not ((index >= 0) & (index <= epochs)).all():
        raise InputError(f"the epoch must lie between 0 and {epochs}")
    # Written as start plus a share of the way, which is the same number and exact at both ends.
    return start + (end - start) * np.expm1(index / epochs) / math.expm1(1.0)
