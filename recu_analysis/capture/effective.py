"""Recording where no WeightTransform says the effective weight: it is asked for after every update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recu_analysis.capture.accumulate import DeviceAccumulator
from recu_analysis.store.quantities import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from recu_analysis.capture.accumulate import Array


class EffectiveAccumulator(DeviceAccumulator):
    """The open window of a layer whose flips are those of an explicit effective weight.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights before the first update; z is that of theirs, not centred.
    effective : callable
        Gives the effective weight now, a tensor of the same shape.
    quantities : collection of str
    """

    def __init__(
        self, weight: torch.Tensor, effective: Callable[[], torch.Tensor], quantities: Collection[str] = QUANTITIES
    ) -> None:
        self._ask = effective
        self._effective = weight
        super().__init__(weight, centre=False, quantities=quantities)

    def _coordinates(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Effective weights and the standard scores of the latent ones, float64."""
        _, z = super()._coordinates(weight)
        with torch.no_grad():
            asked = self._ask().to(device=weight.device, dtype=torch.float64).reshape(weight.shape)
        self._effective = asked
        return asked, z

    def take(self) -> dict[str, Array]:
        """The window's arrays, with the effective weight at its end in the dtype of the latent one."""
        last = self._effective.to(self._old.dtype).to("cpu", copy=True)
        return super().take() | {"effective": last.numpy().reshape(self._shape)}
