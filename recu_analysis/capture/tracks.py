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


def was_skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the step that GradScaler makes now changes nothing, because a gradient was not finite.

    Other optimizers are not called then; fused ones are, and know it by their `found_inf`. Reading it on a GPU waits
    for the step, which GradScaler itself does for every optimizer that is not fused.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


@dataclass(slots=True)
class Track:
    """A layer while it is recorded: whose updates it follows, and its sums over the open window."""

    layer: BinaryLayer
    optimizer: int
    group: int
    accumulator: Accumulator
    first_update: int
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

    def take(self) -> LayerState:
        """The open window's state, handed over; a new window begins."""
        tau = self.layer.tau
        summary = LayerWindow(self.first_update, self.updates, self.lr, self.lr_decay, self.decay_time, tau)
        self.first_update += self.updates
        self.updates, self.lr, self.lr_decay, self.decay_time = 0, 0.0, 0.0, 0.0
        return LayerState(**self.accumulator.take(), scale=self.layer.scale, summary=summary)
