"""The kernel that records one update on a CPU: one pass over a layer, channel by channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from recu_analysis.theory.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]

# Sums may be reordered and multiplications fused; NaN, infinity and -0 keep their meaning.
_FAST = {"reassoc", "contract"}

#: A float32 sum of n numbers has a relative error of at most n 2^-24. Between two folds this is 9e-7, below 1e-6.
FOLD_EVERY = 15
#: Larger than the relative rounding error of a mean in float64.
_ROUNDING = 1e-12


@compiled()
def constant(row: Array) -> bool:
    """Whether the weights of one channel are all equal."""
    j = 0
    while j < row.size and row[j] == row[0]:
        j += 1
    return j == row.size


@compiled(fastmath=_FAST)
def moments(row: Array) -> tuple[float, float]:
    """Mean of one channel, and 1 / its standard deviation (ddof 1); 0 for a constant channel."""
    count = row.size
    total = 0.0
    for j in range(count):
        total += np.float64(row[j])
    mean, first = total / count, np.float64(row[0])
    # The mean of equal numbers may differ from them by rounding.
    if abs(first - mean) <= _ROUNDING * abs(mean) and constant(row):
        return first, 0.0
    squares = 0.0
    for j in range(count):
        difference = np.float64(row[j]) - mean
        squares += difference * difference
    # Not `squares > 0`, because NaN must stay NaN.
    return mean, 0.0 if squares == 0.0 or count == 1 else 1.0 / math.sqrt(squares / (count - 1))


@compiled(fastmath=_FAST)
def all_moments(weight: Array, mean: Array, inverse: Array) -> None:
    """Fill `mean` and `inverse`, one entry per channel, from a matrix with one row per channel."""
    for c in range(weight.shape[0]):
        mean[c], inverse[c] = moments(weight[c])


@compiled()
def unchanged(new: Array, old: Array) -> bool:
    """Whether a channel is unchanged; in a trained channel the first weight already differs."""
    j = 0
    while j < new.size and new[j] == old[j]:
        j += 1
    return j == new.size


@compiled()
def fold(total: Array, rest: Array) -> None:
    """Move the remainders `rest` into the float32 sums `total`; exact except for the last digit of `rest`.

    Each sum is two float32 numbers, 48 bits together. An update changes only one of them.
    """
    for j in range(total.size):
        exact = np.float64(total[j]) + np.float64(rest[j])
        total[j] = exact
        left = exact - np.float64(total[j])
        rest[j] = left if abs(left) < np.inf else 0.0


@compiled(fastmath=_FAST)
def move(
    new: Array,
    old: Array,
    shift: float,
    scale: float,
    old_shift: float,
    old_scale: float,
    path: Array,
    zpath: Array,
    changed: Array,
) -> None:
    """Add one channel's movement to `path` and `zpath`, mark sign changes in `changed`, and copy `new` to `old`."""
    for j in range(new.size):
        after, before = np.float64(new[j]) - shift, np.float64(old[j]) - old_shift
        path[j] += abs(np.float64(new[j]) - np.float64(old[j]))
        zpath[j] += abs(after * scale - before * old_scale)
        changed[j] = (after < 0.0) != (before < 0.0)
        old[j] = new[j]


@compiled()
def positions(words: Array, index: Array) -> int:
    """Write the positions of a channel's sign changes to `index` and return their number.

    `words` has one byte per weight and is read eight bytes at a time.
    """
    changed = words.view(np.uint8)
    count = np.uint64(0)  # a signed index would need a check for negative values at every use
    for k in range(np.uint64(words.size)):
        if words[k] != 0:  # flips are rare
            for j in range(np.uint64(8) * k, np.uint64(8) * k + np.uint64(8)):
                index[count] = j
                count += np.uint64(changed[j])
    return int(count)


@compiled()
def count_flips(index: Array, update: int, flips: Array, first_flip: Array, last_flip: Array) -> None:
    """Count the flips of one channel's weights at `index`; without branches, so that cache misses overlap."""
    for j in index:
        first_flip[j] = update if flips[j] == 0 else first_flip[j]
        flips[j] += 1
        last_flip[j] = update


@compiled(fastmath=_FAST)
def advance(
    new: Array,
    old: Array,
    mean: Array,
    inverse: Array,
    center: bool,
    update: int,
    before: int,
    path: Array,
    path_rest: Array,
    zpath: Array,
    zpath_rest: Array,
    flips: Array,
    first_flip: Array,
    last_flip: Array,
    numbers: Array,
) -> None:
    """Add one update of a layer, a matrix with one row per channel, and copy `new` to `old`.

    `before` is the number of earlier updates in the window. The first update sets the sums to 0, because this is
    cheaper in the cache than zeroing memory in advance. Channels are folded at different updates, so all updates cost
    the same. A channel's number in the layer, in `numbers`, decides when: so its sums do not depend on which other
    channels are recorded. A channel stays in the cache during the loops, so each array is read and written once. Sums
    and flip times that are not kept have one row, which all channels overwrite.
    """
    words = np.zeros((new.shape[1] + 7) // 8, np.uint64)
    index = np.empty(8 * words.size + 1, np.uint64)
    changed = words.view(np.uint8)
    for c in range(new.shape[0]):
        total, row = path[c % path.shape[0]], path_rest[c % path.shape[0]]
        ztotal, zrow = zpath[c % zpath.shape[0]], zpath_rest[c % zpath.shape[0]]
        if before == 0:
            total[:], row[:], ztotal[:], zrow[:] = 0.0, 0.0, 0.0, 0.0
        elif (before + numbers[c]) % FOLD_EVERY == 0:
            fold(total, row)
            fold(ztotal, zrow)
        if unchanged(new[c], old[c]):  # otherwise z would seem to move by rounding
            old[c, :] = new[c]  # 0 equals -0, but their bytes differ in the file
            continue
        m, scale = moments(new[c])
        shift = m if center else 0.0
        old_shift = mean[c] if center else 0.0
        move(new[c], old[c], shift, scale, old_shift, inverse[c], row, zrow, changed)
        first, last = first_flip[c % first_flip.shape[0]], last_flip[c % last_flip.shape[0]]
        count_flips(index[: positions(words, index)], update, flips[c], first, last)
        mean[c], inverse[c] = m, scale


@compiled()
def take_flips(flips: Array, first_flip: Array, last_flip: Array, times: bool) -> tuple[Array, Array, Array, Array]:
    """Index, flips, first and last flip of the weights that flipped, all uint32; `flips` is reset to 0.

    Without `times`, the last two arrays are empty.
    """
    count = 0
    for j in range(flips.size):
        count += flips[j] != 0
    index, counts = np.empty(count, np.uint32), np.empty(count, np.uint32)
    timed = count if times else 0
    first, last = np.empty(timed, np.uint32), np.empty(timed, np.uint32)
    k = 0
    for j in range(flips.size):
        if flips[j] != 0:
            index[k], counts[k] = j, flips[j]
            if times:
                first[k], last[k] = first_flip[j], last_flip[j]
            flips[j] = 0
            k += 1
    return index, counts, first, last
