"""The compiled loop of `recu_analysis.theory.noise`: weights moved by decay, momentum and noise, update by update."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.theory.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Weights that are moved together; their numbers fit into the fastest cache of a core.
BLOCK = 64


@compiled()
def advance(
    w: Values,
    momentum: Values,
    state: NDArray[np.uint64],
    flips: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    path: Values,
    reach: Values,
    matrix: Values,
    gain: Values,
    scale: Values,
    widths: Values,
    bound: float,
    done: int,
    updates: int,
) -> None:
    """Move every weight by some updates, in place; only weights within the bound of z get noise."""
    noise, y, width = np.empty((3, BLOCK))
    for start in range(0, w.size, BLOCK):
        block = slice(start, min(start + BLOCK, w.size))
        x, m, bits, path_x, reach_x = w[block], momentum[block], state[block], path[block], reach[block]
        flips_x, first_x, last_x = flips[block], first[block], last[block]
        # The sum of 64 random bits is normal to a kurtosis of 1/32, and much faster.
        to_weight, to_momentum = gain[0] * scale[block] / 4.0, gain[1] * scale[block] / 4.0
        low = widths[0, block] ** 2
        slope = (widths[1, block] ** 2 - low) / updates
        z, far = x / widths[0, block], np.zeros(x.size)
        for u in range(updates):
            # Several short loops, because the compiler makes each of them move several weights at a time.
            for k in range(x.size):
                bits[k] += np.uint64(0x9E3779B97F4A7C15)
                noise[k] = _ones(_mixed(bits[k])) - 32.0
            for k in range(x.size):
                width[k] = math.sqrt(low[k] + slope[k] * (u + 1))
            for k in range(x.size):
                felt = noise[k] * (abs(z[k]) <= bound)
                y[k] = matrix[0, 0] * x[k] + matrix[0, 1] * m[k] + to_weight[k] * felt
                m[k] = matrix[1, 0] * x[k] + matrix[1, 1] * m[k] + to_momentum[k] * felt
            for k in range(x.size):
                if (y[k] < 0.0) != (x[k] < 0.0):
                    flips_x[k] += 1
                    first_x[k] = done + u + 1 if first_x[k] == 0 else first_x[k]
                    last_x[k] = done + u + 1
            for k in range(x.size):
                x[k] = y[k]
                after = y[k] / width[k]
                far[k] += abs(after - z[k])
                z[k] = after
            for k in range(x.size):
                reach_x[k] = max(reach_x[k], abs(z[k]))
        path_x += far


@compiled()
def _mixed(bits: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@compiled()
def _ones(bits: np.uint64) -> np.int64:
    """Number of bits that are 1."""
    bits -= (bits >> np.uint64(1)) & np.uint64(0x5555555555555555)
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))
