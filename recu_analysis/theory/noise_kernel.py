"""The compiled loops of `recu_analysis.theory.noise`: weights moved by decay, momentum and noise, update by update."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.theory.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Weights that are moved together; their numbers fit into the fastest cache of a core.
BLOCK = 64
#: How states follow from z: from its sign; from a comparison with -D and D; or by rounding.
SIGN, TERNARY, UNIFORM = 0, 1, 2


def of_signs(windows: int) -> tuple[Any, Any, Values]:
    """The rule of signs for `advance`, which needs no states and steps."""
    nothing = np.zeros(0, np.int64)
    states = np.zeros(0, np.int16), np.zeros(0, np.int8), nothing, nothing
    return (SIGN, -1, 1), states, np.zeros((windows + 1, 0))


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
    rule: tuple[int, int, int],
    states: tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]],
    steps: Values,
) -> None:
    """Move every weight by some updates, in place; only weights within the bound of z get noise.

    `rule` has one of `SIGN`, `TERNARY` and `UNIFORM`, and the first and the last state. Unless it is `SIGN`, `states`
    has for each weight its state, the direction of its last flip, how many flips were opposite to the flip before, and
    its zero point; and `steps` has its step before and after the updates, in standard deviations.
    """
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
            if rule[0] == SIGN:
                _count_signs(x, y, done + u + 1, flips_x, first_x, last_x)
            for k in range(x.size):
                x[k] = y[k]
                after = y[k] / width[k]
                far[k] += abs(after - z[k])
                z[k] = after
            for k in range(x.size):
                reach_x[k] = max(reach_x[k], abs(z[k]))
            if rule[0] != SIGN:
                part = (u + 1) / updates
                step = steps[0, block] + part * (steps[1, block] - steps[0, block])
                _count_states(z, step, start, done + u + 1, rule, states, flips_x, first_x, last_x)
        path_x += far


@compiled()
def _count_signs(
    x: Values, y: Values, update: int, flips: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]
) -> None:
    """Count the weights whose sign an update changes from that of x to that of y."""
    for k in range(x.size):
        if (y[k] < 0.0) != (x[k] < 0.0):
            flips[k] += 1
            first[k] = update if first[k] == 0 else first[k]
            last[k] = update


@compiled()
def _count_states(
    z: Values,
    step: Values,
    start: int,
    update: int,
    rule: tuple[int, int, int],
    states: tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]],
    flips: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> None:
    """Count the weights whose state an update changes; `start` is the place of the first of them in `states`."""
    for k in range(z.size):
        if _turned(z[k], step[k], start + k, rule, states):
            flips[k] += 1
            first[k] = update if first[k] == 0 else first[k]
            last[k] = update


@compiled()
def _turned(
    z: float,
    step: float,
    at: int,
    rule: tuple[int, int, int],
    states: tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.int64], NDArray[np.int64]],
) -> bool:
    """Note the present state of the weight at a place; whether it is another one than before."""
    state, direction, reversals, zero = states
    if rule[0] == TERNARY:
        now = int(z > step) - int(z < -step)
    else:
        now = min(max(int(np.rint(z / step)) + zero[at], rule[1]), rule[2])
    if now == state[at]:
        return False
    turn = 1 if now > state[at] else -1
    reversals[at] += direction[at] == -turn
    state[at], direction[at] = now, turn
    return True


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
