"""Construction of a network and its optimizer from a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recu_analysis.errors import InputError
from recu_analysis.nn import build_network
from recu_analysis.nn.networks import REAL
from recu_analysis.nn.quantized import latent_parameters, reset_steps

if TYPE_CHECKING:
    from recu_analysis.training.config import TrainingConfig


def build(config: TrainingConfig, classes: int, device: torch.device) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """The network in its initial state, which is the same on every device, and its optimizer.

    The optimizer's first group has the latent weights, or their counterparts in a real-valued twin; its second group
    has all other parameters.

    Raises
    ------
    InputError
        If no network has that name, or the scaled weights leave the range of their dtype.
    """
    counterparts = _latent_names(config.network.removesuffix(REAL), classes) if config.real else []
    torch.manual_seed(config.seed)
    model = build_network(config.network, classes, **config.binary_options())
    latent = [model.get_parameter(name) for name in counterparts] or latent_parameters(model)
    _scale(latent, config.initial_scale)
    reset_steps(model)
    model.to(device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, _optimizer(config, model, latent)


def _latent_names(network: str, classes: int) -> list[str]:
    """Names of the latent weights of a network, which takes no memory and draws no random number here."""
    with torch.device("meta"):
        model = build_network(network, classes)
    latent = {id(weight) for weight in latent_parameters(model)}
    return [name for name, parameter in model.named_parameters() if id(parameter) in latent]


@torch.no_grad()
def _scale(latent: list[torch.nn.Parameter], factor: float) -> None:
    """Multiply the latent weights by a factor; raise InputError if their variance becomes too small or infinite."""
    for weight in latent:
        weight.mul_(factor)
        variance = weight.flatten(1).var(dim=1)
        if not (torch.isfinite(variance) & (variance >= torch.finfo(weight.dtype).tiny)).all():
            raise InputError(
                f"an initial scale of {factor:g} takes the variance of the latent weights out of the range of "
                f"{str(weight.dtype).removeprefix('torch.')}; choose a value closer to 1"
            )


def _optimizer(
    config: TrainingConfig, model: torch.nn.Module, latent: list[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    chosen = {id(parameter) for parameter in latent}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    groups = [
        {"params": latent, "weight_decay": config.binary_weight_decay},
        {"params": others, "weight_decay": config.weight_decay},
    ]
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.lr)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.lr)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
