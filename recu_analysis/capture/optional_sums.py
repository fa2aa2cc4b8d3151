"""Quantities that are kept beside movement and flips, an accumulator each: `ACCUMULATORS` lists them by name."""

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

    Its row in `store.quantities` says how windows merge, and so what a new window begins with: where the last value
    counts, with that, rounded to what the shard keeps, so that a run that is resumed there has the same numbers; else
    with 0.

    Parameters
    ----------
    weight : Tensor, shape of the layer
        State before the first update.
    """

    name: ClassVar[str]

    def __init__(self, weight: torch.Tensor) -> None:
        self.value = torch.zeros_like(weight, dtype=torch.float64)

    def begin(self, weight: torch.Tensor) -> None:
        """Take these weights for those before the next update: a run is resumed, and they moved since the last one."""

    def before(self, gradient: torch.Tensor, scale: torch.Tensor | float | None) -> None:
        """Account for a gradient as an update gets it; `scale` is what GradScaler leaves to a fused optimizer."""

    def after(self, weight: torch.Tensor, update: int, movement: Accumulator) -> None:
        """Account for the update of that number, which left `weight`; `movement` knows which weights flipped."""

    def take(self) -> Array:
        """The window's values in the dtype of the shard; a new window begins."""
        ended = self.value.to(getattr(torch, TABLE[self.name].dtype))
        if TABLE[self.name].merge == "last":
            self.value.copy_(ended)
        else:
            self.value.zero_()
        return ended.to("cpu", copy=True).numpy()

    def resume(self, ended: Array) -> None:
        """Begin with what a window ended with, in a recording that goes on from there."""
        if TABLE[self.name].merge == "last":
            self.value.copy_(torch.from_numpy(ended.copy()))


class FlipAverage(OptionalSum):
    """OvSW's exponential moving average of each weight's flips, 0 before the first update."""

    name = "ema"

    def after(self, weight: torch.Tensor, update: int, movement: Accumulator) -> None:
        """Account for the flips of an update."""
        flipped = movement.flipped_at(update).view(self.value.shape)
        self.value.mul_(EMA_MOMENTUM).add_(flipped, alpha=1.0 - EMA_MOMENTUM)


class GradientSum(OptionalSum):
    """Sum of abs(gradient of the loss) over the window's updates, each gradient as the optimizer gets it."""

    name = "grad"

    def begin(self, weight: torch.Tensor) -> None:
        """Take these weights for those before the next update: a run is resumed, and they moved since the last one."""

    def before(self, gradient: torch.Tensor, scale: torch.Tensor | float | None) -> None:
        """Account for a gradient."""
        dense = gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
        size = dense.to(device=self.value.device, dtype=torch.float64).abs().reshape(self.value.shape)
        self.value += size if scale is None else size / scale


#: Every one by the name of its quantity.
ACCUMULATORS: dict[str, type[OptionalSum]] = {each.name: each for each in (FlipAverage, GradientSum)}


def optional_sums(weight: torch.Tensor, quantities: Collection[str]) -> list[OptionalSum]:
    """The accumulators of a layer in a recording that keeps these quantities."""
    return [kind(weight) for name, kind in ACCUMULATORS.items() if TABLE[name].request in quantities]


def need_gradients(quantities: Collection[str]) -> bool:
    """Whether one of the quantities is made of gradients."""
    kinds = (kind for name, kind in ACCUMULATORS.items() if TABLE[name].request in quantities)
    return any(kind.before is not OptionalSum.before for kind in kinds)
