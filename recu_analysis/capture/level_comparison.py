"""Comparison of the weight that a product used with the recorded states of a layer with more than two levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from recu_analysis.capture.adapters import BinaryLayer

#: A used weight may differ from the value of its state by this share of a step.
_ROUNDING_OF_A_STEP = 0.02


@dataclass(frozen=True, slots=True)
class LevelStates:
    """The states of a layer's weights according to the recording, one row per scale group.

    Attributes
    ----------
    states : Tensor of float64
        States less the zero point.
    ternary : bool
        Whether the negative and the positive state may have values of different size.
    """

    states: torch.Tensor
    ternary: bool

    def wrong(self, used: torch.Tensor, unit: float) -> torch.Tensor:
        """Mask of the weights of which a product used another value than their state has, in the shape of `used`.

        The values of a group must be multiples of the states. `unit` is the relative rounding of the used weights.
        """
        values = used.reshape(self.states.shape)
        if self.ternary:
            up, down = (_middle(values / self.states, self.states == state) for state in (1.0, -1.0))
            # A group may lack one of the two states; both values have the same sign.
            up, down = torch.where(up.isnan(), down, up), torch.where(down.isnan(), up, down)
            size = torch.where(self.states > 0, up, down)
            different = (up * down <= 0).expand(values.shape)
        else:
            size = _middle(values / self.states, self.states != 0)
            different = (size == 0).expand(values.shape)
        tolerance = _ROUNDING_OF_A_STEP + 4.0 * unit * self.states.abs()
        # Where all states are 0, no step is seen, and the values must be 0.
        apart = torch.where(size.isnan(), values != 0, (values / size - self.states).abs() > tolerance)
        return (apart | (different & (self.states != 0))).reshape(used.shape)


def _middle(values: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The median of the chosen values of each row, as a column; NaN where none is chosen."""
    return values.masked_fill(~chosen, torch.nan).nanmedian(dim=1, keepdim=True).values


def level_states(layer: BinaryLayer, roundings: float, unit: float) -> tuple[LevelStates, torch.Tensor]:
    """The current states of a layer, and a mask of the weights so near a threshold that rounding decides.

    Parameters
    ----------
    layer : BinaryLayer
        With more than two levels.
    roundings : float
        How many units of relative rounding are near.
    unit : float
        The relative rounding of the network's arithmetic.
    """
    quantizer, weight = layer.quantizer, layer.weight.detach()
    step, zero = (each.cpu().numpy() for each in layer.steps())
    latent = weight.cpu().double().numpy() if weight.dtype == torch.float64 else weight.cpu().float().numpy()
    groups = quantizer.groups(layer.shape)
    states = torch.from_numpy(quantizer.states(latent, step, zero).astype(float)).reshape(groups, -1)
    rows, steps = torch.from_numpy(latent).double().reshape(groups, -1), torch.from_numpy(step).double()[:, None]
    shift = torch.from_numpy(zero).double()[:, None]
    if quantizer.kind == "ternary":
        far = (rows.abs() - steps).abs()
    else:
        units = rows / steps + shift
        far = (units - (units.floor() + 0.5).clamp(quantizer.low + 0.5, quantizer.high - 0.5)).abs() * steps.abs()
    near = ~(far > roundings * unit * (rows.abs() + steps.abs()))
    found = LevelStates((states - shift).to(weight.device), quantizer.kind == "ternary")
    return found, near.reshape(layer.shape[0], -1).to(weight.device)
