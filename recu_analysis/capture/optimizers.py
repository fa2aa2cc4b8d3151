"""The optimizers of a recording: which ones can be recorded, and which of their calls are updates."""

from __future__ import annotations

import sys
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.errors import InputError, RecorderError, RecordingWarning, RecuError, listed
from recu_analysis.nn.layers import binary_modules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

    from recu_analysis.capture.adapters.layer import BinaryLayer

#: Optimizers that are currently recorded.
recorded: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()


#: Attributes in which wrappers without hooks keep the inner optimizer: accelerate, Lightning, Lookahead, SAM and more.
WRAPPED = ("optimizer", "_optimizer", "base_optimizer", "_base_optimizer", "inner_optimizer", "optim", "optimizers")


def free_optimizers(optimizer: Any) -> list[torch.optim.Optimizer]:
    """The optimizers of an optimizer or a list, which must not be recorded yet; wrappers without hooks are unwrapped.

    Raises
    ------
    InputError
        If an element is not an optimizer, the list is empty, or an optimizer is listed twice.
    RecorderError
        If an optimizer is already being recorded, or its steps call no hooks.
    """
    given = list(optimizer) if isinstance(optimizer, (list, tuple)) else [optimizer]
    found = [each for one in given for each in _telling(one)]
    if not found:
        raise InputError("recording needs at least one optimizer")
    if any(each in recorded for each in found):
        raise RecorderError("this optimizer is already being recorded; close that recording first")
    if len({id(each) for each in found}) < len(found):
        raise InputError("an optimizer is listed twice; list it once, because its updates would be counted twice")
    return found


def warn_of_left_out(layers: Sequence[BinaryLayer], optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """Warn if a learned factor alpha is in none of the optimizers, as after a `convert` that came too late."""
    given = {id(each) for optimizer in optimizers for group in optimizer.param_groups for each in group["params"]}
    factors = {f"{each.name}.alpha": ours.alpha for each in layers for ours in binary_modules(each.module)}
    trained = {name: factor for name, factor in factors.items() if factor is not None and factor.requires_grad}
    left_out = [name for name, factor in trained.items() if id(factor) not in given]
    if left_out:
        warnings.warn(
            f"no given optimizer trains {listed(left_out, 3)}; if none does, make the optimizer after ra.convert, or "
            "add these parameters to it",
            RecordingWarning,
            stacklevel=4,
        )


def _telling(optimizer: Any) -> list[torch.optim.Optimizer]:
    """The optimizer itself if its steps call hooks, otherwise the optimizers that it wraps."""
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
    """The objects with a step method that a wrapper holds in one of the attributes `WRAPPED`."""
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
        f"the steps of {kind} cannot be seen, because it does not call torch's Optimizer.__init__ and has no inner "
        f"optimizer in .{' or .'.join(WRAPPED[:3])}; pass the torch optimizer that makes its steps"
    )


class Steps:
    """Tells which calls of an optimizer's step are updates: only the outermost one, also after a step that raised.

    torch calls the hooks in every `step` method of an optimizer's classes, so twice if a step calls that of its parent.
    The pre-hook and the post-hook of a call come from the same frame. The frame of an outer call is still running when
    an inner call begins.
    """

    def __init__(self) -> None:
        self._outer: FrameType | None = None

    @property
    def running(self) -> bool:
        """Whether a call has begun and its post-hook has not run yet."""
        return self._outer is not None

    def begins(self) -> tuple[bool, bool]:
        """Whether the call that begins is the outermost one, and whether the call before it raised an error."""
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
    """The frame from which torch called the hook that called a method of `Steps`."""
    return sys._getframe(3)


def _runs(outer: FrameType, frame: FrameType | None) -> bool:
    """Whether `outer` is `frame` itself or one of its callers."""
    while frame is not None and frame is not outer:
        frame = frame.f_back
    return frame is outer


def was_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the current step of GradScaler changes nothing, because a gradient was not finite.

    GradScaler calls only fused optimizers in this case, and sets their `found_inf`. Reading it on a GPU waits for the
    step, as GradScaler itself does for every optimizer that is not fused.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def has_closure(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether the step has a closure, which computes the gradient during the step."""
    return (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
