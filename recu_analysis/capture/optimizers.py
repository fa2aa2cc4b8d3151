"""The optimizers of a recording: which may be recorded, and what one of their steps is."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.errors import InputError, RecorderError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Those that are being recorded now.
recorded: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()


def free_optimizers(optimizer: Any) -> list[torch.optim.Optimizer]:
    """An optimizer, or a list of them, as a list.

    Raises
    ------
    InputError
        If it is none, there is none, or one is listed twice.
    RecorderError
        If one is being recorded.
    """
    listed = list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]
    if not listed:
        raise InputError("recording needs at least one optimizer")
    for each in listed:
        if not isinstance(each, torch.optim.Optimizer):
            raise InputError(f"recording needs a torch optimizer, or a list of them, not {type(each).__name__}")
    if any(each in recorded for each in listed):
        raise RecorderError("this optimizer is being recorded already; close that recording first")
    if len({id(each) for each in listed}) < len(listed):
        raise InputError("an optimizer is listed twice; its updates would be counted twice")
    return listed


def was_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the step that GradScaler makes now changes nothing, because a gradient was not finite.

    Other optimizers are not called then; fused ones are, and know it by their `found_inf`. Reading it on a GPU waits
    for the step, which GradScaler itself does for every optimizer that is not fused.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def has_closure(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether the step has a closure, which computes the gradient only then."""
    return (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
