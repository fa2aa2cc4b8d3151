"""One layer while it is recorded: whose updates it follows, and its sums over the open window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.store.format import LayerWindow
from recu_analysis.store.writer import LayerState

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from recu_analysis.capture.accumulate import Accumulator
    from recu_analysis.capture.adapters import BinaryLayer
    from recu_analysis.capture.extras import FlipAverage, GradientSum


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


@dataclass(slots=True)
class Track:
    """A layer while it is recorded: whose updates it follows, and its sums over the open window."""

    layer: BinaryLayer
    optimizer: int
    group: int
    accumulator: Accumulator
    first_update: int
    ema: FlipAverage | None = None
    grad: GradientSum | None = None
    updates: int = 0
    lr: float = 0.0
    lr_decay: float = 0.0
    decay_time: float = 0.0

    def count(self, group: Mapping[str, Any]) -> None:
        """Add one update of a parameter group to the sums."""
        lr, decay = float(group["lr"]), float(group.get("weight_decay", 0.0))
        self.updates += 1
        self.lr += lr
        self.lr_decay += lr * decay
        kept = 1.0 - float(group.get("momentum", 0.0))
        self.decay_time += lr * decay / kept if kept > 0.0 else float("inf")

    def advance(self, update: int) -> None:
        """Account for the update of that number, which the weight has just gone through."""
        self.accumulator.advance(self.layer.weight, update)
        if self.ema is not None:
            self.ema.add(self.accumulator.flipped_at(update))

    def take(self) -> LayerState:
        """The open window's state, handed over; a new window begins."""
        tau = self.layer.tau
        summary = LayerWindow(self.first_update, self.updates, self.lr, self.lr_decay, self.decay_time, tau)
        self.first_update += self.updates
        self.updates, self.lr, self.lr_decay, self.decay_time = 0, 0.0, 0.0, 0.0
        taken = self.accumulator.take()
        taken |= {"ema": self.ema.take() if self.ema else None, "grad": self.grad.take() if self.grad else None}
        return LayerState(**taken, scale=self.layer.scale, summary=summary)
