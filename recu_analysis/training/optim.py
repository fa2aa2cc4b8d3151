"""Construction of a network and its optimizer from a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recu_analysis.errors import InputError
from recu_analysis.nn import binary_parameters, build_network
from recu_analysis.nn.networks import NETWORKS, REAL

if TYPE_CHECKING:
    from recu_analysis.training.config import TrainingConfig


def build(config: TrainingConfig, classes: int, device: torch.device) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The network in its initial state, which is the same on every device, and its optimizer.

    The optimizer's first group has the latent binary weights, its second group all other parameters.

    Raises
    ------
    InputError
        If no network has that name, it has no binary layers, or the scaled weights leave the range of their dtype.
    """
    if config.network in {f"{name}{REAL}" for name in NETWORKS}:
        raise InputError(f"{config.network} has no binary layers to record; train it with your own loop")
    torch.manual_seed(config.seed)
    model = build_network(config.network, classes, **config.binary_options())
    _scale(model, config.initial_scale)
    model.to(device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, _optimizer(config, model)


@torch.no_grad()
def _scale(model: torch.nn.Module, factor: float) -> None:
    """Multiply the latent weights by a factor; raise InputError if their variance becomes too small or infinite."""
    for weight in binary_parameters(model):
        weight.mul_(factor)
        variance = weight.flatten(1).var(dim=1)
        if not (torch.isfinite(variance) & (variance >= torch.finfo(weight.dtype).tiny)).all():
            raise InputError(
                f"an initial scale of {factor:g} takes the variance of the latent weights out of the range of "
                f"{str(weight.dtype).removeprefix('torch.')}; choose a value closer to 1"
            )


def _optimizer(config: TrainingConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    latent = binary_parameters(model)
    chosen = {id(parameter) for parameter in latent}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    groups = [
        {"params": latent, "weight_decay": config.binary_weight_decay},
        {"params": others, "weight_decay": config.weight_decay},
    ]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
