"""The channels of a layer that b_hat, measured errors, entropies and fits are of: finite, and not constant."""

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
        One row a channel, in the dtype of the weights; a view where none is left out.
    nonfinite : int
        Channels left out because they hold NaN or infinity.
    constant : int
        Channels left out because their weights are all equal, as that of a channel of one weight is: they have no
        standard score, and at the 0 that stands for it they would be a spike in any distribution.
    """

    rows: Array
    nonfinite: int
    constant: int

    @property
    def omissions(self) -> str:
        """What was left out, for a note; nothing where nothing was."""
        total = len(self.rows) + self.nonfinite + self.constant
        kinds = ((self.nonfinite, "hold NaN or infinity"), (self.constant, "are constant"))
        return "; ".join(f"{count} of {total} channels {what}, left out" for count, what in kinds if count)


def measured_channels(weight: Array) -> Channels:
    """The one choice of channels behind b_hat, measured quantisation errors and entropies, shapes and distances.

    Parameters
    ----------
    weight : ndarray, shape (C_out, ...)
        What the layer's transform acts on: its latent weights, or effective ones.

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
    """Which channels have the same weight throughout; few need more than a look at their ends."""
    constant: NDArray[np.bool_] = rows[:, 0] == rows[:, -1]
    suspects = np.flatnonzero(constant)
    constant[suspects] = [(rows[at] == rows[at, 0]).all() for at in suspects]
    return constant


def by_blocks(rows: Array, function: Callable[[Array], Array]) -> Array:
    """A function of channels, such as standardisation, in the dtype of the weights and block by block."""
    result = np.empty_like(rows)
    for start, block in blocks(rows):
        result[start : start + len(block)] = function(block)
    return result
