"""The optimizers of a recording: which may be recorded, and what one of their steps is."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.errors import InputError, RecorderError, RecuError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

#: Those that are being recorded now.
recorded: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()


#: Where wrappers that have no hooks of their own keep what they wrap: accelerate, Lightning, Lookahead, SAM and others.
WRAPPED = ("optimizer", "_optimizer", "base_optimizer", "_base_optimizer", "inner_optimizer", "optim", "optimizers")


def free_optimizers(optimizer: Any) -> list[torch.optim.Optimizer]:
    """An optimizer, or a list of them, as a list; of a wrapper whose steps torch does not tell, what it wraps.

    Raises
    ------
    InputError
        If it is none, there is none, or one is listed twice.
    RecorderError
        If one is being recorded, or torch tells of its steps to nobody.
    """
    given = list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]
    listed = [each for one in given for each in _telling(one)]
    if not listed:
        raise InputError("recording needs at least one optimizer")
    if any(each in recorded for each in listed):
        raise RecorderError("this optimizer is being recorded already; close that recording first")
    if len({id(each) for each in listed}) < len(listed):
        raise InputError("an optimizer is listed twice; its updates would be counted twice")
    return listed


def _telling(optimizer: Any) -> list[torch.optim.Optimizer]:
    """The optimizer itself where its steps call hooks, else those that it says it wraps."""
    met: list[Any] = []
    waiting = [optimizer]
    found: list[torch.optim.Optimizer] = []
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, torch.optim.Optimizer) and hasattr(each, "_optimizer_step_post_hooks"):
            found.append(each)
            continue
        inner = _wrapped(each)
        if any(each is other for other in met) or not inner:
            raise _silent(optimizer)
        met.append(each)
        waiting += inner
    return found


def _wrapped(optimizer: Any) -> list[Any]:
    """What a wrapper says that it wraps, whatever that is."""
    for name in WRAPPED:
        value = getattr(optimizer, name, None)
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        if values and all(hasattr(each, "step") for each in values):
            return values
    return []


def _silent(optimizer: Any) -> RecuError:
    kind = type(optimizer).__name__
    if not hasattr(optimizer, "step"):
        return InputError(f"recording needs a torch optimizer, or a list of them, not {kind}")
    return RecorderError(
        f"the steps of {kind} cannot be seen: it did not run torch's Optimizer.__init__ and does not say in "
        f".{' or .'.join(WRAPPED[:3])} what it wraps; give the torch optimizer that makes its steps"
    )


class Steps:
    """Which calls of an optimizer's step are updates: the outermost one, also after a step that raised.

    torch calls the hooks of an optimizer in every `step` of its classes, so twice where one calls that of its parent.
    Both hooks of a call come from one frame; that of an outer call is still running when an inner one begins.
    """

    def __init__(self) -> None:
        self._outer: FrameType | None = None

    @property
    def running(self) -> bool:
        """Whether a call has begun that has not ended, unless by an error."""
        return self._outer is not None

    def begins(self) -> tuple[bool, bool]:
        """Of the call that begins: whether it is the outermost one, and whether the one before ended by an error."""
        frame = _caller()
        if self._outer is not None and _runs(self._outer, frame):
            return False, False
        failed, self._outer = self._outer is not None, frame
        return True, failed

    def ends(self) -> bool:
        """Whether the call that ends is the outermost one."""
        outermost = self._outer is None or self._outer is _caller()
        if outermost:
            self._outer = None
        return outermost


def _caller() -> FrameType | None:
    """The frame from which torch called a hook: two above that of the method of `Steps` that the hook calls."""
    return sys._getframe(3)


def _runs(outer: FrameType, frame: FrameType | None) -> bool:
    """Whether a frame is above another one."""
    while frame is not None and frame is not outer:
        frame = frame.f_back
    return frame is outer


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
