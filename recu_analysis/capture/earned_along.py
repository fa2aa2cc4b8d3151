"""How far the gradients of the open window moved a layer along its start, and the variance of that under noise."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import torch

from recu_analysis.capture.decay import inherited_map

if TYPE_CHECKING:
    from recu_analysis.capture.decay import Matrix
    from recu_analysis.capture.norms import Number
    from recu_analysis.theory.inheritance import UpdateRule

#: The map of an update, what a unit of gradient adds to (w, momentum) in it, and <gradient, start>.
Step: TypeAlias = "tuple[Matrix, tuple[float, float], Number]"
#: Updates after which products that lie on a device are read. Reading waits for the device.
MOST_WAITING = 256


@dataclass(slots=True)
class EarnedAlong:
    """Sums of c_u p_u and of (c_u p_u)^2 over the updates u of the open window of one layer.

    p_u is <gradient, start>, and c_u is how far a unit of the gradient of update u has moved a weight by now. All c_u
    change in every update. But the sums over u of c_u p_u, of its counterpart for the momentum, and of their squares
    and products go from one update to the next by the update's map alone. So no p_u has to be kept.

    NaN for rules with scaled steps: they still make steps at the window's end and start that other gradients decide.

    Attributes
    ----------
    mean : tuple of float
        The sums for (w, momentum).
    square : tuple of float
        The sums of products: w w, w m, m m.
    """

    mean: tuple[float, float] = (math.nan, math.nan)
    square: tuple[float, float, float] = (math.nan, math.nan, math.nan)
    _waiting: list[Step] = field(default_factory=list)

    def begin(self, rule: UpdateRule | None) -> None:
        """Begin a window at 0, or at NaN if the sums are not defined."""
        nothing = math.nan if rule is None or rule.decoupled else 0.0
        self.mean, self.square, self._waiting = (nothing, nothing), (nothing, nothing, nothing), []

    def add(self, along: Number, rule: UpdateRule | None, lr: float, weight_decay: float, *, first: bool) -> None:
        """Add an update with <gradient, start> = `along`; `first` if the weight had no momentum."""
        if rule is None or rule.decoupled:
            self.begin(None)
        elif not math.isnan(self.mean[0]):
            gain = _gain(rule.at_first if first else rule, lr)
            self._waiting.append((inherited_map(rule, lr, weight_decay, first), gain, along))
            if len(self._waiting) >= MOST_WAITING:
                self._settle()

    def _settle(self) -> None:
        for (map_, (gain, intake), _), p in zip(self._waiting, _read([step[2] for step in self._waiting]), strict=True):
            (a, b, c, d), (w, m), (ww, wm, mm) = map_, self.mean, self.square
            g, h = gain * p, intake * p
            self.mean = a * w + b * m + g, c * w + d * m + h
            self.square = (
                a * a * ww + 2.0 * a * b * wm + b * b * mm + g * g,
                a * c * ww + (a * d + b * c) * wm + b * d * mm + g * h,
                c * c * ww + 2.0 * c * d * wm + d * d * mm + h * h,
            )
        self._waiting = []

    def numbers(self) -> list[float]:
        """The five sums, for `load`."""
        self._settle()
        return [*self.mean, *self.square]

    def load(self, numbers: list[float]) -> None:
        """Restore the sums; raise ValueError if there are not five."""
        w, m, ww, wm, mm = numbers
        self.mean, self.square, self._waiting = (w, m), (ww, wm, mm), []

    def take(self) -> dict[str, float]:
        """Return the sums by the names of their rows, and begin a new window."""
        self._settle()
        values = {"earned_along": self.mean[0], "earned_variance": self.square[0]}
        self.begin(None)
        return {name: value for name, value in values.items() if math.isfinite(value)}


@functools.lru_cache(maxsize=64)
def _gain(rule: UpdateRule, lr: float) -> tuple[float, float]:
    weight, momentum = rule.gain(lr).tolist()
    return weight, momentum


def _read(numbers: list[Number]) -> list[float]:
    """The values of numbers that are all on the CPU or all on one device."""
    tensors = [each for each in numbers if isinstance(each, torch.Tensor)]
    values: list[float] = torch.stack(tensors).tolist() if tensors else [float(each) for each in numbers]
    return values
