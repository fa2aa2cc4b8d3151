"""One forward pass of an example that leaves the model's weights, buffers, modes and random numbers unchanged."""

from __future__ import annotations

import contextlib
import copy
import random
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from recu_analysis.capture.adapters.modules import unwrapped
from recu_analysis.capture.adapters.placement import local_part
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Types of collections in which a module may hold tensors, modules and hooks.
COLLECTIONS = (dict, list, set, deque)


def show(model: torch.nn.Module, example: Any) -> None:
    """Pass an example through a model in evaluation mode, without gradients and without wrappers such as DDP.

    Parameters
    ----------
    model : torch.nn.Module
    example : Tensor, or tuple, list or dict of arguments
        Input of the model.

    Raises
    ------
    InputError
        If the model cannot be called with the example.
    """
    plain = unwrapped(model)
    if any(torch.nn.parameter.is_lazy(each) for each in (*plain.parameters(), *plain.buffers())):
        raise InputError("the model has lazy weights without a shape; pass one batch through the model first")
    with unchanged(plain):
        call_with(plain, example, "example=")


def call_with(model: torch.nn.Module, example: Any, what: str) -> None:
    """Call a model with a tensor, a tuple or list of arguments, or a dict; InputError, which names `what`, if it fails.

    The output is dropped.
    """
    arguments: Any = () if isinstance(example, dict) else example if isinstance(example, (tuple, list)) else (example,)
    named = example if isinstance(example, dict) else {}
    try:
        model(*arguments, **named)
    except Exception as error:
        raise InputError(
            f"the model cannot be called with {what} ({type(error).__name__}: {str(error)!r:.200}); pass the "
            "input that the training passes to the model: a tensor, a tuple of arguments, or a dict"
        ) from error


@contextlib.contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode without gradients, and restore it and the random numbers at the end."""
    tensors = [each for each in (*model.parameters(), *model.buffers()) if not each.is_meta]
    devices = sorted({each.device.index or 0 for each in tensors if each.device.type == "cuda"})
    kept = [_Kept.of(each) for each in tensors]
    modules = [(each, _attributes(each)) for each in model.modules()]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - a model may draw from it
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            model.eval()
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for module, attributes in modules:
            _restore(vars(module), attributes)
        for each in kept:
            each.restore()


class _Kept(NamedTuple):
    """A tensor of a model, with copies of its values, its gradient and its attributes."""

    tensor: torch.Tensor
    data: torch.Tensor
    values: torch.Tensor
    gradient: torch.Tensor | None
    slope: torch.Tensor | None
    attributes: dict[str, Any]
    requires_grad: bool

    @classmethod
    def of(cls, tensor: torch.Tensor) -> _Kept:
        gradient = tensor.grad if tensor.is_leaf else None
        slope = None if gradient is None else gradient.detach().clone()
        values, attributes = tensor.detach().clone(), dict(vars(tensor))
        return cls(tensor, tensor.data, values, gradient, slope, attributes, tensor.requires_grad)

    def restore(self) -> None:
        self.tensor.data = self.data
        if not _same(local_part(self.data), local_part(self.values)):
            self.data.copy_(self.values)
        if self.tensor.is_leaf:
            self.tensor.requires_grad_(self.requires_grad)
            self.tensor.grad = self.gradient
            if self.gradient is not None and self.slope is not None:
                self.gradient.detach().copy_(self.slope)
        vars(self.tensor).clear()
        vars(self.tensor).update(self.attributes)


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors are equal; NaN equals NaN."""
    unlike = first != second
    return not bool((unlike & ~((first != first) & (second != second))).any())


def _attributes(module: torch.nn.Module) -> dict[str, Any]:
    """The attributes of a module, with its collections copied."""
    return {name: copy.copy(value) if isinstance(value, COLLECTIONS) else value for name, value in vars(module).items()}


def _restore(own: dict[str, Any], attributes: dict[str, Any]) -> None:
    for name in own.keys() - attributes.keys():
        del own[name]
    for name, value in attributes.items():
        held: Any = own.get(name)
        if not isinstance(value, COLLECTIONS) or type(held) is not type(value):
            own[name] = value
        elif isinstance(held, (list, deque)):
            held.clear()
            held.extend(value)
        else:
            held.clear()
            held.update(value)
