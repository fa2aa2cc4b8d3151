"""Change chosen latent weights of a binary layer about the point where their sign changes, with their momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recu_analysis.nn.layers import BinaryConv2d, BinaryLinear

#: Factor of the distance from that point, and what is drawn anew, in standard deviations of the channel.
HOW: Final = {"negate": (-1.0, 0.0), "shrink": (0.1, 0.0), "redraw": (0.0, 1.0)}
#: State of SGD and Adam that moves a weight in the next updates.
MOMENTA: Final = ("momentum_buffer", "exp_avg")


@torch.no_grad()
def change(
    layer: BinaryConv2d | BinaryLinear,
    chosen: NDArray[np.intp],
    how: str,
    optimizer: torch.optim.Optimizer,
    rng: np.random.Generator,
) -> None:
    """Change latent weights in place.

    The sign changes at the mean of the channel if the layer centers, else at 0. The change of many weights moves that
    mean a little, so the signs of some weights near it change too. The momentum of a changed weight is multiplied by
    the same factor: negated weights then go on as in a mirror.

    Parameters
    ----------
    layer : BinaryConv2d or BinaryLinear
    chosen : ndarray of int
        Flat indices of the weights.
    how : {"negate", "shrink", "redraw"}
        negate: to the other side, as far away. shrink: to a tenth of the distance. redraw: drawn from a normal
        distribution with the standard deviation of the channel.
    optimizer : torch.optim.Optimizer
    rng : numpy.random.Generator
    """
    weight = layer.weight
    place = torch.unravel_index(torch.from_numpy(np.asarray(chosen)).to(weight.device), weight.shape)
    factor, noise = HOW[how]
    deviation = weight.flatten(1).std(dim=1)[place[0]]
    drawn = torch.from_numpy(rng.standard_normal(len(chosen))).to(weight)
    weight[place] = _moved(layer, weight, place, factor) + noise * deviation * drawn
    state: dict[str, Any] = optimizer.state.get(weight, {})
    for name in MOMENTA:
        if isinstance(momentum := state.get(name), torch.Tensor):
            momentum[place] = _moved(layer, momentum, place, factor)


def _moved(
    layer: BinaryConv2d | BinaryLinear, values: torch.Tensor, place: tuple[torch.Tensor, ...], factor: float
) -> torch.Tensor:
    """Chosen values, with their distance from the mean of the channel (from 0 without centering) times a factor."""
    middle = values.flatten(1).mean(dim=1)[place[0]] if layer.binarizer.center else 0.0
    return middle + factor * (values[place] - middle)
