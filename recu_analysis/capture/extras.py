"""Quantities that are recorded when asked for: OvSW's moving average of the flips, the sum of abs(gradient)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

#: OvSW (ECCV 2024): e <- m e + (1 - m) [flip].
EMA_MOMENTUM = 0.999


class FlipAverage:
    """OvSW's exponential moving average of each weight's flips, 0 before the first update.

    It goes on over the windows' ends, where it is rounded to what the shard keeps, so that a run that is resumed there
    has the same numbers.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self.value = torch.zeros_like(weight, dtype=torch.float64)

    def add(self, flipped: torch.Tensor) -> None:
        """Account for an update by which weights flipped, bool, one row a channel."""
        self.value.mul_(EMA_MOMENTUM).add_(flipped.view(self.value.shape), alpha=1.0 - EMA_MOMENTUM)

    def take(self) -> Array:
        """The average at the window's end, float32."""
        ended = self.value.float()
        self.value.copy_(ended)
        return ended.to("cpu", copy=True).numpy()


class GradientSum:
    """Sum of abs(gradient of the loss) over the window's updates, each gradient as the optimizer gets it."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.value = torch.zeros_like(weight, dtype=torch.float64)

    def add(self, gradient: torch.Tensor | None, scale: torch.Tensor | float | None) -> None:
        """Account for a gradient, divided by the scale that GradScaler leaves to a fused optimizer."""
        if gradient is None:
            return
        dense = gradient.detach().to_dense() if gradient.is_sparse else gradient.detach()
        size = dense.to(device=self.value.device, dtype=torch.float64).abs().reshape(self.value.shape)
        self.value += size if scale is None else size / scale

    def take(self) -> Array:
        """The window's sum, float32; a new window begins."""
        total = self.value.float().to("cpu", copy=True).numpy()
        self.value.zero_()
        return total
