"""Movement of weights outside the seen updates: it is counted, or refused if no update was seen at all."""

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
    """Number of weights that differ from those last seen, and the largest difference."""

    weights: int
    largest: float


NOTHING = Moved(0, 0.0)


@dataclass(slots=True)
class Outside:
    """Observed movement of a layer's weights outside updates in the open window.

    Attributes
    ----------
    times, weights : int
        How often moved weights were found, and the total number of these weights over all times.
    largest : float
        The largest step of a weight.
    counted : Moved
        The movement that was counted last, until the next update.
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
        """Whether training continues from weights that have moved, and not from a loaded state."""
        return self.counted != NOTHING and not self.loaded

    def add(self, moved: Moved) -> None:
        """Count movement, unless there is none or it is already counted."""
        if moved not in {NOTHING, self.counted}:
            self.times += 1
            self.weights += moved.weights
            self.largest = max(self.largest, moved.largest)
            self.counted = moved

    def updated(self) -> None:
        """Note an update; movement before it counts as part of its step."""
        self.counted, self.loaded = NOTHING, False

    def note_loading(self, *_: Any) -> None:
        """Hook of a module: note that a state was loaded."""
        self.loaded = True

    def tensor(self) -> torch.Tensor:
        """The current numbers as a tensor, for `load`."""
        return torch.tensor([self.times, self.weights, self.largest, *self.counted, self.loaded], dtype=torch.float64)

    def load(self, tensor: torch.Tensor) -> None:
        """Restore the numbers of `tensor`; raise ValueError if they do not fit."""
        times, weights, self.largest, count, largest, loaded = tensor.tolist()
        self.times, self.weights, self.counted = int(times), int(weights), Moved(int(count), largest)
        self.loaded = bool(loaded)

    def take(self) -> dict[str, Any]:
        """Return the numbers by the names of their rows in `store.quantities`, and begin a new window."""
        numbers = {"outside_updates": self.times, "outside_weights": self.weights, "outside_step": self.largest}
        self.times, self.weights, self.largest = 0, 0, 0.0
        return numbers


class OtherOptimizers:
    """Optimizers that update recorded weights but were not passed to the recording.

    Parameters
    ----------
    weights : iterable of Parameter
        The recorded weights.
    ours : sequence of Optimizer
        The optimizers that were passed to the recording.
    steps : sequence of Steps
        Steps of these optimizers; another optimizer may step for them within.
    """

    def __init__(
        self, weights: Iterable[torch.Tensor], ours: Sequence[torch.optim.Optimizer], steps: Sequence[Steps]
    ) -> None:
        self._weights = {id(each) for each in weights}
        self._ours = {id(each) for each in ours}
        self._steps = steps
        self.names: list[str] = []

    def note(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Hook of all optimizers: note an optimizer that has made a step."""
        kind = type(optimizer).__name__
        if id(optimizer) in self._ours or kind in self.names or any(each.running for each in self._steps):
            return
        if any(id(each) in self._weights for group in optimizer.param_groups for each in group["params"]):
            self.names.append(kind)


def warn_after_the_end(layer: str, moved: Moved) -> None:
    """Warn about weights that moved after the last seen update, for example by a clamp in a final validation."""
    warnings.warn(
        f"{moved.weights} weights of layer {layer!r} have moved by up to {moved.largest:.3g} since the last recorded "
        "update; the recording ends with that update and does not include this movement",
        RecordingWarning,
        stacklevel=4,
    )


def unseen_movement_error(
    layer: str, moved: Moved, optimizer: torch.optim.Optimizer, others: Sequence[str]
) -> RecorderError:
    """The error about weights that moved although no update was seen; it advises which optimizer to pass."""
    kind = type(optimizer).__name__
    inner = [name for name, value in vars(optimizer).items() if isinstance(value, torch.optim.Optimizer)]
    if others:
        advice = f"{others[0]} updates them: pass that optimizer to record()"
    elif inner:
        advice = f"{kind} holds another optimizer: if that one makes the steps, pass its .{inner[0]} to record()"
    else:
        advice = (
            "pass the optimizer that updates them to record(), or call step() of the one that you passed; if the "
            "network itself changes them, for example by a clamp, declare it with "
            "@ra.adapter(..., in_place=True)"
        )
    return RecorderError(
        f"{moved.weights} weights of layer {layer!r} have moved by up to {moved.largest:.3g}, but {kind}.step() has "
        f"made no update since the window began; {advice}"
    )
