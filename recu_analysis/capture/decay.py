"""What decay and momentum alone do to a layer's weights in the open window, and the sums of its learning rates."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from recu_analysis.errors import InputError
from recu_analysis.theory.inheritance import UpdateRule

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The rows of a 2 x 2 matrix, one after the other; plain numbers are faster than an array here.
Matrix: TypeAlias = tuple[float, float, float, float]
IDENTITY: Matrix = (1.0, 0.0, 0.0, 1.0)
#: Optimizers of PyTorch that divide the gradient by its size, and weight decay with it unless it is decoupled.
ADAPTIVE = frozenset({"Adadelta", "Adagrad", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop"})
#: Entries of a parameter group that decide its rule.
_SETTINGS = ("momentum", "dampening", "nesterov", "betas", "weight_decay", "decoupled_weight_decay")


def rule_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> UpdateRule | None:
    """The update rule of a parameter group now; None if it is not defined.

    A subclass may do more than the class of PyTorch, so only the classes themselves have a rule.
    """
    if not _is_of_torch(optimizer):
        return None
    try:
        return _rule(type(optimizer).__name__, tuple(group.get(name) for name in _SETTINGS))
    except TypeError:  # a setting is a tensor or a list
        return _made_rule(type(optimizer).__name__, group)


def _is_of_torch(optimizer: torch.optim.Optimizer) -> bool:
    return type(optimizer).__module__.startswith("torch.optim.")


@functools.lru_cache(maxsize=64)
def _rule(name: str, values: tuple[Any, ...]) -> UpdateRule | None:
    given = {name: value for name, value in zip(_SETTINGS, values, strict=True) if value is not None}
    return _made_rule(name, given)


def _made_rule(name: str, settings: Mapping[str, Any]) -> UpdateRule | None:
    try:
        return UpdateRule.of(name, settings)
    except InputError:
        return None


@functools.lru_cache(maxsize=64)
def inherited_map(rule: UpdateRule, lr: float, weight_decay: float, first: bool) -> Matrix:
    """The map of an update, which the layers of a parameter group share."""
    (a, b), (c, d) = rule.inherited(lr, weight_decay, first=first).tolist()
    return a, b, c, d


def _after(later: Matrix, earlier: Matrix) -> Matrix:
    """The map of two updates."""
    (a, b, c, d), (e, f, g, h) = later, earlier
    return a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h


@dataclass(slots=True)
class Decay:
    """Sums and the linear map of decay and momentum over the open window of one layer.

    Updates without a gradient do not count, because PyTorch changes neither such a weight nor its momentum.

    Attributes
    ----------
    lr, lr_decay, time : float
        Sums of the learning rate, of learning rate times weight decay, and of the decay time.
    updates : int
        Number of updates with a gradient.
    map : tuple of float
        The map of (weight, momentum) by the updates so far; NaN if the rule of one of them is not defined.
    rule : UpdateRule or None
        The rule of the last update.
    same : bool
        Whether all updates had this rule.
    """

    lr: float = 0.0
    lr_decay: float = 0.0
    time: float = 0.0
    updates: int = 0
    map: Matrix = IDENTITY
    rule: UpdateRule | None = None
    same: bool = True

    def count(
        self, optimizer: torch.optim.Optimizer, group: Mapping[str, Any], *, gradient: bool, first: bool, begins: bool
    ) -> None:
        """Add one update.

        Parameters
        ----------
        optimizer : Optimizer
        group : mapping
            The parameter group that holds the weight.
        gradient : bool
            Whether the weight had a gradient.
        first : bool
            Whether the weight had no momentum yet.
        begins : bool
            Whether it is the first update of the window.
        """
        lr, decay = float(group.get("lr", math.nan)), float(group.get("weight_decay", 0.0))
        if "params" in group:
            rule = rule_of(optimizer, group)
            self.same = begins or (self.same and rule == self.rule)
            self.rule = rule
        if not gradient:
            return
        self.lr += lr
        self.updates += 1
        shrinks = lr * decay if decay else 0.0  # 0 also if the learning rate is not known
        self.lr_decay += shrinks
        self.time += _time(self.rule, optimizer, group, lr, decay) if shrinks else 0.0
        self.map = _after(inherited_map(self.rule, lr, decay, first), self.map) if self.rule else (math.nan,) * 4

    def tensor(self) -> torch.Tensor:
        """The open window as a tensor, for `load`."""
        rule = [math.nan] * 5 if self.rule is None else self.rule.to_list()
        numbers = [self.lr, self.lr_decay, self.time, self.updates, *self.map, *rule, self.same]
        return torch.tensor(numbers, dtype=torch.float64)

    def load(self, tensor: torch.Tensor) -> None:
        """Restore the open window of `tensor`; raise ValueError if it does not fit."""
        self.lr, self.lr_decay, self.time, updates, *rest, same = tensor.tolist()
        a, b, c, d, *rule = rest
        self.updates = int(updates)
        self.map = a, b, c, d
        self.rule, self.same = None if math.isnan(rule[0]) else UpdateRule.from_list(rule), bool(same)

    def take(self) -> tuple[tuple[float, float, float], dict[str, Any]]:
        """Return the three sums, and the other values by the names of their rows, and begin a new window."""
        sums = self.lr, self.lr_decay, self.time
        rows = [list(self.map[:2]), list(self.map[2:])]
        values: dict[str, Any] = {"gradient_updates": self.updates}
        values |= {"map": rows} if all(map(math.isfinite, self.map)) else {}
        values |= {"rule": self.rule.to_list()} if self.rule is not None and self.same else {}
        self.lr, self.lr_decay, self.time, self.updates = 0.0, 0.0, 0.0, 0
        self.map, self.same = IDENTITY, True
        return sums, values


def _time(
    rule: UpdateRule | None, optimizer: torch.optim.Optimizer, group: Mapping[str, Any], lr: float, decay: float
) -> float:
    """What one update adds to the decay time; NaN if decay is divided by the size of gradients.

    Of an optimizer that is not known, a setting named momentum is taken to be that of SGD.
    """
    if rule is not None:
        return rule.decay_time(lr, decay)
    adaptive = _is_of_torch(optimizer) and type(optimizer).__name__ in ADAPTIVE
    if adaptive and not group.get("decoupled_weight_decay"):
        return math.nan
    kept = 1.0 - float(group.get("momentum", 0.0))
    return lr * decay / kept if kept > 0.0 else math.inf
