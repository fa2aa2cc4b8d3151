"""One layer while it is recorded: whose updates it follows, and its sums over the open window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.capture.accumulate import storable
from recu_analysis.capture.effective import layer_accumulator
from recu_analysis.capture.extras import FlipAverage, GradientSum
from recu_analysis.errors import RecorderError
from recu_analysis.store.format import LayerWindow, digest
from recu_analysis.store.writer import LayerState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from recu_analysis.capture.accumulate import Accumulator
    from recu_analysis.capture.adapters import BinaryLayer


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

    def digest(self) -> torch.Tensor:
        """A checksum of the weights, 16 bytes."""
        weight = storable(self.layer.weight).cpu().numpy()
        return torch.tensor(list(bytes.fromhex(digest(self.layer.name, weight))), dtype=torch.uint8)

    def state(self) -> dict[str, torch.Tensor]:
        """The open window as tensors on the CPU, copied; `load` takes it up again."""
        own = {"ema": self.ema, "grad": self.grad}
        return {
            "digest": self.digest(),
            "numbers": torch.tensor([self.first_update, self.updates]),
            "sums": torch.tensor([self.lr, self.lr_decay, self.decay_time], dtype=torch.float64),
            **self.accumulator.state(),
            **{name: each.value.to("cpu", copy=True) for name, each in own.items() if each is not None},
        }

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take up the open window that `state` described; KeyError, ValueError or RuntimeError if it does not fit."""
        self.first_update, self.updates = state["numbers"].tolist()
        self.lr, self.lr_decay, self.decay_time = state["sums"].tolist()
        self.accumulator.load(state)
        if self.ema is not None:
            self.ema.value.copy_(state["ema"])
        if self.grad is not None:
            self.grad.value.copy_(state["grad"])

    def take(self) -> LayerState:
        """The open window's state, handed over; a new window begins."""
        tau = self.layer.tau
        summary = LayerWindow(self.first_update, self.updates, self.lr, self.lr_decay, self.decay_time, tau)
        self.first_update += self.updates
        self.updates, self.lr, self.lr_decay, self.decay_time = 0, 0.0, 0.0, 0.0
        taken = self.accumulator.take()
        taken |= {"ema": self.ema.take() if self.ema else None, "grad": self.grad.take() if self.grad else None}
        return LayerState(**taken, scale=self.layer.scale, summary=summary)


def track_of(
    layer: BinaryLayer, optimizers: Sequence[torch.optim.Optimizer], updates: Sequence[int], quantities: Collection[str]
) -> Track:
    """The track of a layer by the optimizer that holds its weight, `updates` of which are done already.

    Raises
    ------
    RecorderError
        If none of the optimizers holds it.
    """
    for index, optimizer in enumerate(optimizers):
        for number, group in enumerate(optimizer.param_groups):
            if any(parameter is layer.parameter for parameter in group["params"]):
                track = Track(layer, index, number, layer_accumulator(layer, quantities), updates[index] + 1)
                track.ema = FlipAverage(layer.weight.detach()) if "ema" in quantities else None
                track.grad = GradientSum(layer.weight.detach()) if "grad" in quantities else None
                return track
    raise RecorderError(
        f"the optimizer does not hold the weight of binary layer {layer.name!r}; create it from the model's "
        "parameters, after the model was moved to its device, or leave the layer out with layers=[...]"
    )
