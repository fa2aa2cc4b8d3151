"""The kernel that records one update of weights with more than two levels on a CPU, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recu_analysis.capture.kernel import FOLD_EVERY, count_flips, fold, moments, positions, unchanged
from recu_analysis.theory.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]

# As in `capture.kernel`: no flag that could change a state. Divisions stay divisions.
_FAST = {"reassoc", "contract"}


@compiled()
def group_moments(weight: Array, mean: Array, inverse: Array) -> None:
    """Fill `inverse`, one entry per scale group, with 1 / the standard deviation of the group (0 for equal weights).

    The rows of `weight` are spread evenly over the groups. `mean` has one entry per row, which is overwritten.
    """
    share = weight.shape[0] // inverse.size
    for g in range(inverse.size):
        if share == 1:
            mean[g], inverse[g] = moments(weight[g])
            continue
        # Of each row while it is in the cache; then as of one row of all weights.
        freedom, total, within, equal = weight.shape[1] - 1, 0.0, 0.0, True
        for c in range(g * share, g * share + share):
            mean[c], scale = moments(weight[c])
            total += mean[c]
            within += 0.0 if scale == 0.0 else freedom / (scale * scale)  # NaN stays NaN
            equal = equal and scale == 0.0 and weight[c, 0] == weight[g * share, 0]
        middle = total / share
        for c in range(g * share, g * share + share):
            within += weight.shape[1] * (mean[c] - middle) * (mean[c] - middle)
        inverse[g] = 0.0 if equal else 1.0 / math.sqrt(within / (share * weight.shape[1] - 1))


@compiled()
def rounded(units: float, zero: float, low: float, high: float) -> float:
    """The state of a weight with uniform steps, in the dtype of the weight; `high` for NaN."""
    state = np.rint(units) + zero
    state = state if state < high else high
    return state if state > low else low


@compiled()
def _by_product(new: Array, old: Array, now: Array, before: Array, low: float, high: float, changed: Array) -> None:
    """Mark the weights whose state changes by the weight or by the step, where the network multiplies by 1 / s."""
    step, zero, old_step, old_zero = now[0], now[1], before[0], before[1]
    for j in range(new.size):
        a = rounded(old[j] * old_step, old_zero, low, high)
        b = rounded(new[j] * old_step, old_zero, low, high)
        c = rounded(new[j] * step, zero, low, high)
        changed[j] = (a != b) | (b != c)


@compiled(error_model="numpy")
def _by_division(new: Array, old: Array, now: Array, before: Array, low: float, high: float, changed: Array) -> None:
    """As `_by_product`, where the network divides by s; a step of 0 gives infinity or NaN, as in the network."""
    step, zero, old_step, old_zero = now[0], now[1], before[0], before[1]
    for j in range(new.size):
        a = rounded(old[j] / old_step, old_zero, low, high)
        b = rounded(new[j] / old_step, old_zero, low, high)
        c = rounded(new[j] / step, zero, low, high)
        changed[j] = (a != b) | (b != c)


@compiled()
def _by_threshold(new: Array, old: Array, now: Array, before: Array, low: float, high: float, changed: Array) -> None:
    """As `_by_product`, where the states are ternary and s is their threshold."""
    step, old_step = now[0], before[0]
    for j in range(new.size):
        above = ((old[j] > old_step) != (new[j] > old_step)) | ((new[j] > old_step) != (new[j] > step))
        below = ((old[j] < -old_step) != (new[j] < -old_step)) | ((new[j] < -old_step) != (new[j] < -step))
        changed[j] = above | below


@compiled(error_model="numpy")
def state_of(weight: float, group: Array, low: float, high: float, way: int) -> int:
    """The state of one weight; `way` is one of `WAYS`, and `group` has the step, or its inverse, and the zero point."""
    if way == 2:
        return int(weight > group[0]) - int(weight < -group[0])
    return int(rounded(weight * group[0] if way == 0 else weight / group[0], group[1], low, high))


#: How a state is computed: by a product with 1 / s, a division by s, or a comparison with s.
WAYS = {"product": 0, "division": 1, "threshold": 2}


@compiled(fastmath=_FAST)
def _move(new: Array, old: Array, scale: float, old_scale: float, path: Array, zpath: Array) -> None:
    """Add one row's movement to `path` and `zpath`, and copy `new` to `old`."""
    for j in range(new.size):
        after, before = np.float64(new[j]), np.float64(old[j])
        path[j] += abs(after - before)
        zpath[j] += abs(after * scale - before * old_scale)
        old[j] = new[j]


@compiled()
def _flipped(
    new: Array,
    old: Array,
    now: Array,
    before: Array,
    bounds: Array,
    way: int,
    index: Array,
    turns: Array,
    moves: Array,
    by: Array,
) -> int:
    """Keep of `index` the weights of one row that flipped, with the direction in `turns`; return their number.

    `moves` counts flips from state to state, and `by` the changes by weights and by thresholds.
    """
    low, high = bounds[0], bounds[1]
    count = 0
    for j in index:
        a = state_of(old[j], before, low, high, way)
        b = state_of(new[j], before, low, high, way)
        c = state_of(new[j], now, low, high, way)
        by[0] += a != b
        by[1] += b != c
        if a != c:
            moves[a - int(low), c - int(low)] += 1
            index[count], turns[count] = j, 1 if c > a else -1
            count += 1
    return count


@compiled()
def _count_reversals(index: Array, turns: Array, reversals: Array, direction: Array) -> None:
    """Count the flips of one row's weights at `index` against their flips before; without branches."""
    for k in range(index.size):
        j = index[k]
        reversals[j] += direction[j] == -turns[k]
        direction[j] = turns[k]


@compiled()
def advance_levels(
    new: Array,
    old: Array,
    mean: Array,
    inverse: Array,
    old_inverse: Array,
    groups: Array,
    old_groups: Array,
    bounds: Array,
    way: int,
    update: int,
    before: int,
    path: Array,
    path_rest: Array,
    zpath: Array,
    zpath_rest: Array,
    flips: Array,
    first_flip: Array,
    last_flip: Array,
    reversals: Array,
    direction: Array,
    moves: Array,
    by: Array,
    numbers: Array,
) -> None:
    """Add one update of a layer, a matrix whose rows are spread evenly over the scale groups; copy `new` to `old`.

    `inverse` has 1 / the standard deviations by `group_moments`, unless each row is a group: then it is filled here.
    `groups` has the step (or its inverse) and the zero point of each scale group, in the dtype of the weights, and
    `bounds` the first and the last state. The rest is as in `recu_analysis.capture.kernel.advance`.
    """
    words = np.zeros((new.shape[1] + 7) // 8, np.uint64)
    index = np.empty(8 * words.size + 1, np.uint64)
    changed, turns = words.view(np.uint8), np.empty(index.size, np.int8)
    share = new.shape[0] // inverse.size
    for c in range(new.shape[0]):
        g = c // share
        total, row = path[c % path.shape[0]], path_rest[c % path.shape[0]]
        ztotal, zrow = zpath[c % zpath.shape[0]], zpath_rest[c % zpath.shape[0]]
        if before == 0:
            total[:], row[:], ztotal[:], zrow[:] = 0.0, 0.0, 0.0, 0.0
        elif (before + numbers[c]) % FOLD_EVERY == 0:
            fold(total, row)
            fold(ztotal, zrow)
        if share == 1:  # while the row is in the cache
            mean[c], inverse[c] = moments(new[c])
        now, then = groups[g], old_groups[g]
        still = unchanged(new[c], old[c])
        if not still or now[0] != then[0] or now[1] != then[1]:
            if way == 0:
                _by_product(new[c], old[c], now, then, bounds[0], bounds[1], changed)
            elif way == 1:
                _by_division(new[c], old[c], now, then, bounds[0], bounds[1], changed)
            else:
                _by_threshold(new[c], old[c], now, then, bounds[0], bounds[1], changed)
            found = index[: positions(words, index)]
            found = found[: _flipped(new[c], old[c], now, then, bounds, way, found, turns, moves, by)]
            first, last = first_flip[c % first_flip.shape[0]], last_flip[c % last_flip.shape[0]]
            count_flips(found, update, flips[c], first, last)
            _count_reversals(found, turns, reversals[c], direction[c])
        if not still or inverse[g] != old_inverse[g]:  # otherwise z would seem to move by rounding
            _move(new[c], old[c], inverse[g], old_inverse[g], row, zrow)
        else:
            old[c, :] = new[c]  # 0 equals -0, but their bytes differ in the file
