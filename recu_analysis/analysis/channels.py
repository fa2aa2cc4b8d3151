"""The channels that b_hat, measured errors, entropies and fits use: finite and not constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.theory.blocks import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Channels:
    """The output channels of a layer that are measured, and how many are left out.

    Attributes
    ----------
    rows : ndarray, shape (channels measured, weights a channel)
        One row per channel, in the dtype of the weights; a view if no channel is left out.
    nonfinite : int
        Channels left out because they hold NaN or infinity.
    constant : int
        Channels left out because all their weights are equal; a channel of one weight is constant too. Such weights
        have no standard score. A z of 0 in its place would put a spike into every distribution.
    """

    rows: Array
    nonfinite: int
    constant: int

    @property
    def omissions(self) -> str:
        """What was left out, for a note; empty if nothing was."""
        total = len(self.rows) + self.nonfinite + self.constant
        kinds = ((self.nonfinite, "hold NaN or infinity"), (self.constant, "are constant"))
        return "; ".join(f"{count} of {total} channels {what}, left out" for count, what in kinds if count)


def measured_channels(weight: Array) -> Channels:
    """Select the channels for b_hat, measured quantization errors, entropies, shapes and distances.

    Parameters
    ----------
    weight : ndarray, shape (C_out, ...)
        The latent or effective weights on which the layer's transform acts.

    Returns
    -------
    Channels
    """
    rows = weight.reshape(len(weight), -1)
    finite = np.isfinite(rows).all(axis=1)
    constant = finite & _constant(rows)
    keep = finite & ~constant
    return Channels(rows if keep.all() else rows[keep], int((~finite).sum()), int(constant.sum()))


def _constant(rows: Array) -> NDArray[np.bool_]:
    """Which channels hold one value; their first and last weights rule out most channels."""
    constant: NDArray[np.bool_] = rows[:, 0] == rows[:, -1]
    suspects = np.flatnonzero(constant)
    constant[suspects] = [(rows[at] == rows[at, 0]).all() for at in suspects]
    return constant


def by_blocks(rows: Array, function: Callable[[Array], Array]) -> Array:
    """Apply a function of channels, such as standardization, block by block, in the dtype of the weights."""
    result = np.empty_like(rows)
    for start, block in blocks(rows):
        result[start : start + len(block)] = function(block)
    return result
