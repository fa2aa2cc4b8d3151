"""What decay and momentum alone make of a weight: the linear map of an update, and of a window."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

#: Optimizers of PyTorch with decoupled weight decay, whose momentum is beta1.
DECOUPLED = ("AdamW",)


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """How an optimizer adds a gradient g to a weight w and its momentum m, at learning rate lr and weight decay wd.

    With u = g + wd w, or u = g if the decay is decoupled::

        m' = momentum m + intake u
        w' = w - lr (direct u + through m')         (decoupled: w is first multiplied by 1 - lr wd)

    Attributes
    ----------
    momentum : float
        The part of m that one update keeps: momentum of SGD, beta1 of AdamW.
    intake : float
        The part of a gradient that is added to m: 1 - dampening of SGD, 1 - beta1 of AdamW.
    direct, through : float
        The part of a gradient that moves the weight at once, and the factor of the momentum: 0 and 1; with Nesterov's
        momentum 1 and `momentum`.
    decoupled : bool
        Whether weight decay multiplies the weight and does not enter the momentum, as in AdamW.
    """

    momentum: float = 0.0
    intake: float = 1.0
    direct: float = 0.0
    through: float = 1.0
    decoupled: bool = False

    @classmethod
    def of(cls, optimizer: str, settings: Mapping[str, Any]) -> Self:
        """The rule of a PyTorch optimizer with the settings of one parameter group.

        Parameters
        ----------
        optimizer : str
            Name of the class, such as SGD; names of modules before it are skipped.
        settings : mapping
            Entries of the parameter group: momentum, dampening and nesterov; or betas, weight_decay and
            decoupled_weight_decay.

        Raises
        ------
        InputError
            If the update of this optimizer is not linear in the weight, or is not known.
        """
        name = optimizer.rpartition(".")[2]
        if name == "SGD":
            mu = float(settings.get("momentum", 0.0))
            intake = 1.0 - float(settings.get("dampening", 0.0)) if mu else 1.0  # PyTorch dampens only momentum
            return cls(mu, intake, 1.0, mu) if settings.get("nesterov") else cls(mu, intake)
        decays = settings.get("weight_decay", 0.0) and not settings.get("decoupled_weight_decay")
        if name in DECOUPLED or (name == "Adam" and not decays):
            beta = float(settings.get("betas", (0.9, 0.999))[0])
            return cls(beta, 1.0 - beta, decoupled=True)
        why = "Adam with weight decay divides the decay, too, by the size of the gradients; use AdamW"
        known = f"what decay and momentum alone do is known for SGD and {DECOUPLED[0]}, not for {name or optimizer!r}"
        raise InputError(f"{known}: {why}" if name == "Adam" else known)

    @property
    def response(self) -> float:
        """R, the sum over all later updates of what a unit of gradient moves the weight by, at learning rate 1.

        Infinite if the momentum never fades.
        """
        return self.direct + (self.through * self.intake / (1.0 - self.momentum) if self.momentum < 1.0 else math.inf)

    @property
    def square_response(self) -> float:
        """S, the sum over all later updates of the square of what a unit of gradient moves the weight by."""
        if self.momentum >= 1.0:
            return math.inf
        later = self.through * self.intake
        return (self.direct + later) ** 2 + (later * self.momentum) ** 2 / (1.0 - self.momentum**2)

    @property
    def at_first(self) -> Self:
        """The rule of a gradient in the optimizer's first update, in which SGD sets m' = g + wd w."""
        return self if self.decoupled else replace(self, intake=1.0)

    def decay_time(self, lr: float, weight_decay: float) -> float:
        """What one update adds to the decay time T: lr wd R, and lr wd if the decay is decoupled."""
        if lr * weight_decay == 0.0:
            return 0.0
        return lr * weight_decay * (1.0 if self.decoupled else self.response)

    def matrix(self, lr: float, weight_decay: float, *, first: bool = False) -> Matrix:
        """The map of (w, m) by one update without gradient.

        Parameters
        ----------
        lr, weight_decay : float
        first : bool
            Whether it is the first update of the optimizer, for which SGD sets m' = g + wd w.

        Returns
        -------
        ndarray of float64, shape (2, 2)
            The row of w comes first.
        """
        intake, momentum = (1.0, 0.0) if first and not self.decoupled else (self.intake, self.momentum)
        coupled = 0.0 if self.decoupled else weight_decay
        kept = np.array([intake * coupled, momentum])
        weight = np.array([1.0 - lr * (weight_decay if self.decoupled else self.direct * coupled), 0.0])
        return np.stack([weight - lr * self.through * kept, kept])

    def gain(self, lr: float) -> Matrix:
        """What a unit of gradient adds to (w, m) in the same update, shape (2,)."""
        return np.array([-lr * (self.direct + self.through * self.intake), self.intake])

    def inherited(self, lr: float, weight_decay: float, *, first: bool = False) -> Matrix:
        """The map of one update by which a window's inheritance is defined: `matrix`, but for decoupled decay.

        Under AdamW the momentum is a mean of scaled gradients. The steps that it still holds at a window's start count
        as made by gradients, so the weight inherits only its decay.
        """
        if not self.decoupled:
            return self.matrix(lr, weight_decay, first=first)
        return np.diag([1.0 - lr * weight_decay, 1.0])

    def to_list(self) -> list[float]:
        """The five numbers, in the order of the attributes."""
        return [float(value) for value in astuple(self)]

    @classmethod
    def from_list(cls, numbers: Sequence[float]) -> Self:
        """The rule with the numbers of `to_list`; InputError if they are none."""
        if len(numbers) != 5 or not all(isinstance(each, (int, float)) and math.isfinite(each) for each in numbers):
            raise InputError(f"an update rule is five numbers, not {numbers!r:.60}")
        momentum, intake, direct, through, decoupled = numbers
        return cls(momentum, intake, direct, through, bool(decoupled))


def product(matrices: Sequence[Matrix]) -> Matrix:
    """The map of consecutive spans of updates, from the map of each, in order."""
    total = np.eye(2)
    for each in matrices:
        total = each @ total
    return total


def over_updates(matrix: Matrix, updates: int) -> Matrix:
    """The map of some equal updates, shape (2, 2)."""
    return np.linalg.matrix_power(matrix, updates)
