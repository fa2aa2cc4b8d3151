"""The autocorrelation of standard scores between two times: measured, and what noise alone would leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.theory.standardize import row_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


def cosine(sums: NDArray[np.float64]) -> float:
    """The cosine of z and z' from the sums of z z', z^2 and z'^2; NaN if no channel has z at both times.

    1 at most: the null of weights that lose more by decay than they do is a little larger.
    """
    product, before, after = (float(value) for value in sums)
    return min(product / math.sqrt(before * after), 1.0) if before > 0.0 and after > 0.0 else math.nan


def autocorrelation(start: NDArray[np.float64], end: NDArray[np.float64]) -> float:
    """The cosine of standard scores at two times: 1 if nothing moved, 0 if the two are uncorrelated.

    Parameters
    ----------
    start, end : ndarray of float64, shape (C_out, ...)
        Standard scores. Weights that are NaN at either time are skipped, and so are channels that are constant at
        either time.

    Returns
    -------
    float
        NaN if no channel is left.
    """
    x, y = (scores.reshape(len(scores), -1) for scores in (start, end))
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.all():
        x, y = np.where(finite, x, 0.0), np.where(finite, y, 0.0)
    sums = np.stack([np.einsum("ij,ij->i", x, y), row_squares(x), row_squares(y)], axis=1)
    return cosine(sums[(sums[:, 1] > 0.0) & (sums[:, 2] > 0.0)].sum(axis=0))


def null_products(before: Values, after: Values, freedom: int, kept: Values | float) -> Values:
    """Sums of z z', z^2 and z'^2 over each output channel that noise alone is expected to leave, z' at the end.

    Gradients without a signal add to each weight what does not depend on its start. Of z at the start, only the part
    a s0 / s1 is left then: a is what decay leaves of a weight, and s1, the standard deviation of the channel at the
    end, has been widened by the noise. So the cosine of the totals is the mean of a s0 / s1 over the weights.

    Parameters
    ----------
    before, after : ndarray of float64, shape (C_out,)
        Standard deviations of the channels at the two times, see `recu_analysis.theory.standardize.channel_deviations`.
    freedom : int
        Weights of a channel, less one.
    kept : float or ndarray of float64, shape (C_out,)
        a, see `recu_analysis.theory.inheritance`; with the term of the momentum at the start, one for each channel.

    Returns
    -------
    ndarray of float64, shape (C_out, 3)
        NaN for a channel that holds NaN or infinity, 0 for a channel that is constant at either time.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        left = kept * before / after
    sums: Values = max(freedom, 1) * np.stack([left, np.ones_like(left), np.ones_like(left)], axis=1)
    sums[np.isnan(before) | np.isnan(after)] = np.nan
    sums[(before == 0.0) | (after == 0.0)] = 0.0
    return sums
