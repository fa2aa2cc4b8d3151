"""What moves weights outside the updates that are seen: counted, and refused where no update was seen at all."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from recu_analysis.errors import RecorderError, RecordingWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recu_analysis.capture.optimizers import Steps


class Moved(NamedTuple):
    """How many weights are not those that were seen last, and the largest step."""

    weights: int
    largest: float


NOTHING = Moved(0, 0.0)


@dataclass(slots=True)
class Outside:
    """What moved the weights of a layer outside updates in the open window, as far as it was found.

    Attributes
    ----------
    times, weights : int
        How often weights were found moved, and how many, one by one each time.
    largest : float
        The largest step of a weight.
    counted : Moved
        What was counted last: it stays until the next update.
    loaded : bool
        Whether a state was loaded into the layer since its last update.
    """

    times: int = 0
    weights: int = 0
    largest: float = 0.0
    counted: Moved = NOTHING
    loaded: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether training goes on from weights that have moved; not from a state that was loaded, which is another."""
        return self.counted != NOTHING and not self.loaded

    def add(self, moved: Moved) -> None:
        """Count what was found; nothing where that is nothing, or is counted already."""
        if moved not in {NOTHING, self.counted}:
            self.times += 1
            self.weights += moved.weights
            self.largest = max(self.largest, moved.largest)
            self.counted = moved

    def updated(self) -> None:
        """An update was seen: what moved the weights before it is part of its step."""
        self.counted, self.loaded = NOTHING, False

    def note_loading(self, *_: Any) -> None:
        """A hook of modules: a state was loaded."""
        self.loaded = True

    def tensor(self) -> torch.Tensor:
        """The numbers so far; `load` takes them up again."""
        return torch.tensor([self.times, self.weights, self.largest, *self.counted, self.loaded], dtype=torch.float64)

    def load(self, tensor: torch.Tensor) -> None:
        """Take up what `tensor` described; ValueError if it is something else."""
        times, weights, self.largest, count, largest, loaded = tensor.tolist()
        self.times, self.weights, self.counted = int(times), int(weights), Moved(int(count), largest)
        self.loaded = bool(loaded)

    def take(self) -> dict[str, Any]:
        """The numbers by the names of their rows in `store.quantities`; a new window begins."""
        numbers = {"outside_updates": self.times, "outside_weights": self.weights, "outside_step": self.largest}
        self.times, self.weights, self.largest = 0, 0, 0.0
        return numbers


class OtherOptimizers:
    """Optimizers that step recorded weights and were not given to the recording.

    Parameters
    ----------
    weights : iterable of Parameter
        Those that are recorded.
    ours : sequence of Optimizer
        Those that were given.
    steps : sequence of Steps
        Their steps, within which others may step for them.
    """

    def __init__(
        self, weights: Iterable[torch.Tensor], ours: Sequence[torch.optim.Optimizer], steps: Sequence[Steps]
    ) -> None:
        self._weights = {id(each) for each in weights}
        self._ours = {id(each) for each in ours}
        self._steps = steps
        self.names: list[str] = []

    def note(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """A hook of all optimizers: one has made a step."""
        kind = type(optimizer).__name__
        if id(optimizer) in self._ours or kind in self.names or any(each.running for each in self._steps):
            return
        if any(id(each) in self._weights for group in optimizer.param_groups for each in group["params"]):
            self.names.append(kind)


def warn_after_the_end(layer: str, moved: Moved) -> None:
    """Say that weights moved after what a recording has seen, as by a clamp in a validation that came last."""
    warnings.warn(
        f"{moved.weights} weights of layer {layer!r} have moved, by {moved.largest:.3g} at most, since the last update "
        "that was seen; the recording ends with that update",
        RecordingWarning,
        stacklevel=4,
    )


def unseen_movement_error(
    layer: str, moved: Moved, optimizer: torch.optim.Optimizer, others: Sequence[str]
) -> RecorderError:
    """The error about weights that moved although no update was seen: which optimizer to give."""
    kind = type(optimizer).__name__
    inner = [name for name, value in vars(optimizer).items() if isinstance(value, torch.optim.Optimizer)]
    if others:
        advice = f"{others[0]} steps them: give that optimizer to record()"
    elif inner:
        advice = f"{kind} holds another optimizer: if that one makes the steps, give its .{inner[0]} to record()"
    else:
        advice = (
            "give record() the optimizer whose step() moves them, or call step() of the one that was given; if the "
            "network itself changes them, as by a clamp, say so with @recu_analysis.adapter(..., in_place=True)"
        )
    return RecorderError(
        f"{moved.weights} weights of layer {layer!r} have moved, by {moved.largest:.3g} at most, though {kind}.step() "
        f"has made no update since the window began; {advice}"
    )
