"""The kernel that adds one gradient of a layer to its statistics on a CPU, in one pass, channel by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from recu_analysis.theory.compiled import compiled

Array = np.ndarray[Any, np.dtype[Any]]


@compiled()
def lower_median(values: Array, chosen: Array) -> float:
    """The median of abs(value) of the chosen values, the lower one of two; NaN if one is NaN, as torch has it."""
    sizes = np.empty(chosen.size)
    for k in range(chosen.size):
        sizes[k] = abs(np.float64(values[chosen[k]]))
        if np.isnan(sizes[k]):
            return np.nan
    middle = (chosen.size - 1) // 2
    return float(np.partition(sizes, middle)[middle])


@compiled(fastmath={"reassoc", "contract"})
def add_gradient(
    gradient: Array,
    moves: Array,
    divisor: float,
    whole: Array,
    small: float,
    left: float,
    factor: float,
    sample: Array,
    start: Array,
    mean: Array,
    grad: Array,
    signed_grad: Array,
    noise: Array,
    small_grads: Array,
) -> float:
    """Add a gradient to the sums, and return <gradient, start minus the mean of each row>.

    All matrices have one row per channel. The update uses `gradient` divided by `divisor`. Sizes up to `small` times
    the median of a sample are small; `sample` has the numbers of its weights in `whole`, all gradients of the layer.
    An update leaves the part `left` of earlier noise, and moves a weight by `factor` times `moves`.
    """
    limit = small * lower_median(whole, sample) / abs(divisor)
    along = 0.0
    for c in range(gradient.shape[0]):
        products = total = 0.0
        for j in range(gradient.shape[1]):
            g = np.float64(gradient[c, j]) / divisor
            grad[c, j] += abs(g)
            signed_grad[c, j] += g
            products += g * np.float64(start[c, j])
            total += g
            small_grads[c, j] += abs(g) <= limit
        for j in range(gradient.shape[1]):
            step = factor * np.float64(moves[c, j])
            noise[c, j] = left * np.float64(noise[c, j]) + step * step
        along += products - mean[c] * total
    return along
