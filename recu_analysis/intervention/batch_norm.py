"""Batch normalization with statistics re-estimated for a changed network, for the time of a context."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from recu_analysis.capture.example import call_with
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def batch_norms(model: torch.nn.Module) -> list[_BatchNorm]:
    """The batch normalizations of a model that keep running statistics.

    Raises
    ------
    InputError
        If there is none.
    """
    found = [each for each in model.modules() if isinstance(each, _BatchNorm) and each.running_mean is not None]
    if not found:
        raise InputError(
            f"{type(model).__name__} has no batch normalization with running statistics to re-estimate; leave out "
            "reestimate="
        )
    return found


@contextlib.contextmanager
def reestimated(model: torch.nn.Module, inputs: Sequence[Any]) -> Iterator[None]:
    """Replace the running statistics by their means over some inputs; restore the old ones at the end.

    All other modules stay in evaluation mode. Each input counts the same, whatever its number of images.
    """
    norms = batch_norms(model)
    kept = [(norm, norm.momentum, {name: each.clone() for name, each in norm.named_buffers()}) for norm in norms]
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative mean
            norm.train()
        with torch.no_grad():
            for each in inputs:
                call_with(model, each, "reestimate=")
        for norm in norms:
            norm.eval()
        yield
    finally:
        with torch.no_grad():
            for norm, momentum, buffers in kept:
                norm.eval()
                norm.momentum = momentum
                for name, buffer in norm.named_buffers():
                    buffer.copy_(buffers[name])
