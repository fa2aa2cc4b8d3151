"""The steps and zero points of a quantizer, computed in PyTorch as the networks compute them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import torch

from recu_analysis.capture.accumulate import storable
from recu_analysis.errors import InputError
from recu_analysis.theory.levels import check_steps

if TYPE_CHECKING:
    from recu_analysis.theory.levels import Quantizer


#: The memory of `_sizes`, by dtype.
_KEPT = threading.local()


def steps_of(quantizer: Quantizer, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The step and the zero point of each scale group of a weight.

    The sum behind a mean has the order that PyTorch gives it, so that a state at a threshold is the network's own.

    Parameters
    ----------
    quantizer : Quantizer
        With `step` and `zero` if its rule is given.
    weight : Tensor, shape (C_out, ...)

    Returns
    -------
    tuple of Tensor, each of shape (groups,)
        In the dtype of `storable` of the weight, on its device.

    Raises
    ------
    InputError
        If the groups do not divide the weights, or given steps do not fit the groups.
    """
    groups = quantizer.groups(tuple(weight.shape))
    values = storable(weight)
    rows = values.reshape(groups, -1)
    zero = torch.zeros(groups, dtype=rows.dtype, device=rows.device)
    if quantizer.rule == "given":
        return _given(quantizer.step, groups, zero, "step"), _given(quantizer.zero, groups, zero, "zero point")
    if quantizer.rule == "minmax":
        least = rows.amin(dim=1).clamp(max=0)
        span = (rows.amax(dim=1).clamp(min=0) - least).clamp(min=quantizer.least)
        step = span / (quantizer.high - quantizer.low)
        return step, (quantizer.low - (least / step).round()).clamp(quantizer.low, quantizer.high).nan_to_num(nan=0.0)
    size = _sizes(rows)
    if quantizer.rule == "maxabs":
        return size.amax(dim=1).clamp(min=quantizer.least) / quantizer.high, zero
    # The mean of all weights and that of one row of all weights are summed in different orders.
    mean = size.mean().reshape(1) if groups == 1 else size.mean(dim=1)
    return mean.clamp(min=quantizer.least) * quantizer.factor, zero


def _sizes(rows: torch.Tensor) -> torch.Tensor:
    """abs(w), on a CPU in memory that each thread keeps: new memory would take as long as the rest."""
    if not rows.is_cpu:
        return rows.abs()
    kept = getattr(_KEPT, str(rows.dtype), None)
    if kept is None or kept.numel() < rows.numel():
        kept = torch.empty(rows.numel(), dtype=rows.dtype)
        setattr(_KEPT, str(rows.dtype), kept)
    size = kept[: rows.numel()].view(rows.shape)
    with torch.no_grad():
        return torch.abs(rows, out=size)


def check_first(step: torch.Tensor, zero: torch.Tensor) -> None:
    """Raise InputError unless steps with which a recording begins are positive, and zero points are whole numbers."""
    check_steps(step.double().cpu().numpy())
    if not torch.equal(zero, zero.round()):
        raise InputError("the zero points of a quantizer must be whole numbers")


def _given(value: object, groups: int, like: torch.Tensor, what: str) -> torch.Tensor:
    """A given step or zero point for each scale group; zeros for a zero point that is not given."""
    if value is None and what == "zero point":
        return like
    if value is None:
        raise InputError(f"a quantizer with given steps has none; give step= for its {groups} scale groups")
    found = torch.as_tensor(value).detach().reshape(-1).to(like)
    if found.numel() not in {1, groups}:
        raise InputError(f"a quantizer has {found.numel()} {what}s for {groups} scale groups; give one a group")
    return found.expand(groups)
