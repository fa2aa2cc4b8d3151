"""Accumulators of quantities beside movement and flips, one each; `ACCUMULATORS` lists them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from recu_analysis.store.quantities import TABLE

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np

    from recu_analysis.capture.accumulate import Accumulator

    Array = np.ndarray[Any, np.dtype[Any]]

#: OvSW (ECCV 2024): e <- m e + (1 - m) [flip].
EMA_MOMENTUM = 0.999


class OptionalSum:
    """A quantity of every weight, over the open window of a layer.

    The merge rule of its row in `store.quantities` decides how a new window begins. With the rule "last" it begins with
    the last value, rounded to the dtype of the shard, so that a run resumed there has the same numbers. With other
    rules it begins with 0.

    Parameters
    ----------
    weight : Tensor, shape of the layer
        Latent weights before the first update.
    """

    name: ClassVar[str]

    def __init__(self, weight: torch.Tensor) -> None:
        self.value = torch.zeros_like(weight, dtype=torch.float64)

    def begin(self, weight: torch.Tensor) -> None:
        """Set the weights before the next update, if they moved outside updates before a run is resumed."""

    def after(self, weight: torch.Tensor, update: int, movement: Accumulator) -> None:
        """Add the update with this number, which resulted in `weight`; `movement` tells which weights flipped."""

    def take(self) -> Array:
        """Return the window's values in the dtype of the shard, and begin a new window."""
        ended = self.value.to(getattr(torch, TABLE[self.name].dtype))
        if TABLE[self.name].merge == "last":
            self.value.copy_(ended)
        else:
            self.value.zero_()
        return ended.to("cpu", copy=True).numpy()

    def resume(self, ended: Array) -> None:
        """Begin with the final values of a window, in a recording that continues from there."""
        if TABLE[self.name].merge == "last":
            self.value.copy_(torch.from_numpy(ended.copy()))


class FlipAverage(OptionalSum):
    """OvSW's exponential moving average of each weight's flips, 0 before the first update."""

    name = "ema"

    def after(self, weight: torch.Tensor, update: int, movement: Accumulator) -> None:
        """Add the flips of an update."""
        flipped = movement.flipped_at(update).view(self.value.shape)
        self.value.mul_(EMA_MOMENTUM).add_(flipped, alpha=1.0 - EMA_MOMENTUM)


#: Accumulators by the name of their quantity.
ACCUMULATORS: dict[str, type[OptionalSum]] = {each.name: each for each in (FlipAverage,)}


def optional_sums(weight: torch.Tensor, quantities: Collection[str]) -> list[OptionalSum]:
    """The accumulators of a layer in a recording that keeps these quantities."""
    return [kind(weight) for name, kind in ACCUMULATORS.items() if TABLE[name].request in quantities]
