"""One forward pass of an example through a model, which is then as it was: weights, buffers, modes, random numbers."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.capture.adapters.modules import unwrapped
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def show(model: torch.nn.Module, example: Any) -> None:
    """Pass an example through a model in evaluation mode, without gradients; a wrapper's own model is called.

    Parameters
    ----------
    model : torch.nn.Module
    example : Tensor, or tuple, list or mapping of arguments
        What the model is called with.

    Raises
    ------
    InputError
        If the model cannot be called with it.
    """
    plain = unwrapped(model)
    arguments: Any = () if isinstance(example, dict) else example if isinstance(example, (tuple, list)) else (example,)
    named = example if isinstance(example, dict) else {}
    with unchanged(plain):
        try:
            plain(*arguments, **named)
        except Exception as error:
            raise InputError(
                f"the model cannot be called with the example ({type(error).__name__}: {str(error)!r:.200}); give "
                "example= what the training passes to the model: a tensor, a tuple of arguments, or a dict"
            ) from error


@contextlib.contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Within it the model is in evaluation mode without gradients; after it model and random numbers are as before."""
    tensors = [*model.parameters(), *model.buffers()]
    devices = sorted({each.device.index or 0 for each in tensors if each.device.type == "cuda"})
    kept = [(each, each.data, each.detach().clone(), dict(vars(each))) for each in tensors if not each.is_meta]
    modules = [(each, _attributes(each)) for each in model.modules()]
    state = random.getstate()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            model.eval()
            yield
    finally:
        random.setstate(state)
        for module, attributes in modules:
            _restore(module, attributes)
        for tensor, data, values, attributes in kept:
            tensor.data = data
            if not torch.equal(tensor.data, values):
                tensor.data.copy_(values)
            vars(tensor).clear()
            vars(tensor).update(attributes)


def _attributes(module: torch.nn.Module) -> Mapping[str, Any]:
    """What a module holds, and copies of the dictionaries in which it holds tensors and modules."""
    return {name: dict(value) if type(value) is dict else value for name, value in vars(module).items()}


def _restore(module: torch.nn.Module, attributes: Mapping[str, Any]) -> None:
    own = vars(module)
    for name in own.keys() - attributes.keys():
        del own[name]
    for name, value in attributes.items():
        if type(value) is dict and type(own.get(name)) is dict:
            own[name].clear()
            own[name].update(value)
        else:
            own[name] = value
