"""The compiled loop of `recu_analysis.theory.noise`: weights moved by decay, momentum and noise, update by update."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


@numba.njit(nogil=True, cache=True)
def advance(
    w: Values,
    momentum: Values,
    state: NDArray[np.uint64],
    flips: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    path: Values,
    matrix: Values,
    gain: Values,
    scale: Values,
    widths: Values,
    bound: float,
    done: int,
    updates: int,
) -> None:
    """Move every weight by some updates, in place; only weights within the bound of z get noise."""
    for k in range(w.size):
        x, m, bits, turned, far = w[k], momentum[k], state[k], 0, 0.0
        # The sum of 64 random bits is normal to a kurtosis of 1/32, and much faster.
        to_weight, to_momentum = gain[0] * scale[k] / 4.0, gain[1] * scale[k] / 4.0
        low, slope = widths[0, k] ** 2, (widths[1, k] ** 2 - widths[0, k] ** 2) / updates
        before = x / widths[0, k]
        for u in range(updates):
            bits += np.uint64(0x9E3779B97F4A7C15)
            noise = (_ones(_mixed(bits)) - 32.0) * (abs(before) <= bound)
            y = matrix[0, 0] * x + matrix[0, 1] * m + to_weight * noise
            m = matrix[1, 0] * x + matrix[1, 1] * m + to_momentum * noise
            if (y < 0.0) != (x < 0.0):
                turned += 1
                first[k] = done + u + 1 if first[k] == 0 else first[k]
                last[k] = done + u + 1
            x = y
            after = y / math.sqrt(low + slope * (u + 1))
            far += abs(after - before)
            before = after
        w[k], momentum[k], state[k] = x, m, bits
        flips[k] += turned
        path[k] += far


@numba.njit(nogil=True, cache=True)
def _mixed(bits: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def _ones(bits: np.uint64) -> np.int64:
    """Number of bits that are 1."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
