"""A model's modules by their plain names, and their tensors, read without side effects."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names of latent weights if no adapter gives another.
WEIGHTS = ("weight", "weights")


def is_wrapper(module: nn.Module) -> bool:
    """Whether a module is only a wrapper: DataParallel, DDP, torch.compile."""
    return isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or "_orig_mod" in module._modules


def unwrapped(model: nn.Module) -> nn.Module:
    """The model without its wrappers."""
    while is_wrapper(model):
        model = next(model.children())
    return model


def plain_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every module with its name in the unwrapped model, without the wrappers."""
    wrappers = {name for name, module in model.named_modules() if is_wrapper(module)}
    for name, module in model.named_modules():
        parts = name.split(".") if name else []
        kept = [part for index, part in enumerate(parts) if ".".join(parts[:index]) not in wrappers]
        if name not in wrappers:
            yield ".".join(kept), module


def tensor_of(owner: nn.Module, leaf: str) -> torch.Tensor | None:
    """A tensor that a module stores or computes by parametrization; properties are not called."""
    if parametrize.is_parametrized(owner, leaf):
        return computed(owner, leaf)
    for place in (owner._parameters, owner._buffers, owner.__dict__):
        value = place.get(leaf)
        if isinstance(value, torch.Tensor):
            return value
    return None


def weight_of(module: nn.Module) -> tuple[str, torch.Tensor] | None:
    """Name and value of a module's weight with at least two axes; None if it has none."""
    for leaf in WEIGHTS:
        value = tensor_of(module, leaf)
        if value is not None and (nn.parameter.is_lazy(value) or value.ndim >= 2):
            return leaf, value
    return None


def latent_of(owner: nn.Module, leaf: str) -> nn.Parameter | torch.Tensor:
    """The latent parameter behind a tensor of a module.

    Raises
    ------
    InputError
        If the tensor is not a parameter, or is computed from several parameters.
    """
    if not parametrize.is_parametrized(owner, leaf):
        value = tensor_of(owner, leaf)
        if isinstance(value, nn.Parameter) or (value is not None and not value.is_floating_point()):
            return value
        if value is None:
            raise InputError(f"it has no tensor {leaf}; give the path of its weight with @adapter(..., weight=...)")
        raise InputError(f"its {leaf} is not a parameter but computed from others, so it has no latent weights")
    original = getattr(_parametrizations(owner, leaf), "original", None)
    if not isinstance(original, nn.Parameter):
        raise InputError(f"its {leaf} is computed from several parameters, so there is no single latent weight")
    return original


def computed(owner: nn.Module, leaf: str) -> torch.Tensor:
    """A parametrized tensor; its parametrizations and the random numbers stay unchanged."""
    with torch.no_grad(), undisturbed(owner):
        value: torch.Tensor = getattr(owner, leaf)
    return value.detach()


def _parametrizations(owner: nn.Module, leaf: str) -> Any:
    lists: Any = owner.parametrizations
    return lists[leaf]


@contextlib.contextmanager
def undisturbed(owner: Any) -> Iterator[None]:
    """Put parametrizations in evaluation mode, because spectral norms change in training; restore random numbers."""
    modules = owner.modules() if isinstance(owner, nn.Module) else ()
    lists = [each for each in modules if isinstance(each, parametrize.ParametrizationList)]
    if not lists:
        yield
        return
    modes = [(each, each.training) for inside in lists for each in inside.modules()]
    tensors = [tensor for inside in lists for tensor in inside.parameters()]
    devices = sorted({tensor.device.index or 0 for tensor in tensors if tensor.device.type == "cuda"})
    try:
        for each, _ in modes:
            each.training = False
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for each, mode in modes:
            each.training = mode
