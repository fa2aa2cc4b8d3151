"""A model's modules by their plain names, and the tensors they hold, read without side effects."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What latent weights are called where no adapter says it.
WEIGHTS = ("weight", "weights")


def is_wrapper(module: nn.Module) -> bool:
    """Whether a module only wraps the one that was written: DataParallel, DDP, torch.compile."""
    return isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)) or "_orig_mod" in module._modules


def unwrapped(model: nn.Module) -> nn.Module:
    """The model that was written, without what wraps it."""
    while is_wrapper(model):
        model = next(model.children())
    return model


def plain_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module with its name as if nothing had been wrapped; the wrappers themselves left out."""
    wrappers = {name for name, module in model.named_modules() if is_wrapper(module)}
    for name, module in model.named_modules():
        parts = name.split(".") if name else []
        kept = [part for index, part in enumerate(parts) if ".".join(parts[:index]) not in wrappers]
        if name not in wrappers:
            yield ".".join(kept), module


def tensor_of(owner: nn.Module, leaf: str) -> torch.Tensor | None:
    """A tensor that a module holds or computes by parametrization; properties are not called."""
    if parametrize.is_parametrized(owner, leaf):
        return computed(owner, leaf)
    for place in (owner._parameters, owner._buffers, owner.__dict__):
        value = place.get(leaf)
        if isinstance(value, torch.Tensor):
            return value
    return None


def weight_of(module: nn.Module) -> tuple[str, torch.Tensor] | None:
    """Name and value of a module's weight of at least two axes; None where it has none."""
    for leaf in WEIGHTS:
        value = tensor_of(module, leaf)
        if value is not None and (nn.parameter.is_lazy(value) or value.ndim >= 2):
            return leaf, value
    return None


def latent_of(owner: nn.Module, leaf: str) -> nn.Parameter | torch.Tensor:
    """What the optimizer updates behind a tensor of a module.

    Raises
    ------
    InputError
        If it is no parameter, or is computed from several.
    """
    if not parametrize.is_parametrized(owner, leaf):
        value = tensor_of(owner, leaf)
        if isinstance(value, nn.Parameter) or (value is not None and not value.is_floating_point()):
            return value
        if value is None:
            raise InputError(f"it has no tensor called {leaf}; say with @adapter(..., weight=...) where its weight is")
        raise InputError(
            f"its {leaf} is no parameter: it is computed from others, and has no latent weights of its own"
        )
    original = getattr(_parametrizations(owner, leaf), "original", None)
    if not isinstance(original, nn.Parameter):
        raise InputError(f"its {leaf} is computed from several parameters, so that no single one is latent")
    return original


def computed(owner: nn.Module, leaf: str) -> torch.Tensor:
    """A parametrized tensor, its parametrizations and the random numbers left as they were."""
    with torch.no_grad(), undisturbed(owner):
        value: torch.Tensor = getattr(owner, leaf)
    return value.detach()


def _parametrizations(owner: nn.Module, leaf: str) -> Any:
    lists: Any = owner.parametrizations
    return lists[leaf]


@contextlib.contextmanager
def undisturbed(owner: Any) -> Iterator[None]:
    """Parametrizations in evaluation mode, as spectral norms step on in training, and random numbers put back."""
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
