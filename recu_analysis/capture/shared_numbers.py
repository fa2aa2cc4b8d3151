"""Numbers of a sharded layer that need all its rows: each process keeps its part, and they merge when a window ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recu_analysis.capture.norms import Norms, Number, _products, _products_on_device, gradient_rows, norm
from recu_analysis.capture.outside import Moved, Outside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Products of so many updates are put into one tensor.
KEPT_APART = 64


@dataclass(slots=True)
class SharedNorms(Norms):
    """The squares of the norms of the rows of one process, and the products of every update, for `merged_norms`."""

    products: list[torch.Tensor] = field(default_factory=list)
    taken: dict[str, Any] = field(default_factory=dict)

    def along(
        self, weight: torch.Tensor, gradient: torch.Tensor, scale: torch.Tensor | float | None, lr: float
    ) -> Number:
        """Lr <v, gradient> and |v|^2 of the rows for one update, as a tensor of two numbers."""
        if weight.is_cpu:
            along, squares = _products(self.rows.of(weight), gradient_rows(gradient, weight), self.center)
            return torch.tensor([(lr if scale is None else lr / float(scale)) * along, squares], dtype=torch.float64)
        products, length = _products_on_device(weight, gradient.reshape(weight.shape), self.center)
        return torch.stack([lr * products if scale is None else lr * products / scale, length]).double()

    def add(self, along: Number) -> None:
        """Keep the products of an update, in few tensors: each takes much more memory than two numbers."""
        self.products.append(torch.as_tensor(along).reshape(1, 2))
        if len(self.products) == KEPT_APART:
            self.products = [torch.cat(self.products)]

    def take(self, end: torch.Tensor) -> dict[str, float]:
        """Keep the parts of the window in `taken`, and begin a new window; the numbers follow from all processes."""
        products = torch.cat([torch.empty(0, 2, dtype=torch.float64, device=end.device), *self.products])
        squares = {"norm_start": self.start, "momentum_norm": self.momentum}
        self.start, self.momentum, self.products = norm(end, center=self.center), math.nan, []
        squares["norm_end"] = self.start
        self.taken = {name: float(value) ** 2 for name, value in squares.items()}
        self.taken["products"] = products.cpu().numpy()
        return {}


@dataclass(slots=True)
class SharedOutside(Outside):
    """Movement of the rows of one process outside updates, with the checks that found it, for `merged_outside`."""

    checks: int = 0
    found: list[int] = field(default_factory=list)
    taken: tuple[list[int], int, float] = field(default=([], 0, 0.0))

    def add(self, moved: Moved) -> None:
        """Count movement; every process makes the same checks."""
        before = self.times
        super(SharedOutside, self).add(moved)
        if self.times > before:
            self.found.append(self.checks)
        self.checks += 1

    def take(self) -> dict[str, Any]:
        """Keep the numbers of the window in `taken`, and begin a new window."""
        self.taken = (self.found, self.weights, self.largest)
        self.checks, self.found = 0, []
        super(SharedOutside, self).take()
        return {}


def merged_norms(parts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The numbers of `Norms.take` of a layer from the parts of all processes, in the order of their rows.

    They are exact to the rounding of float64: sums of squares, and for each update the quotient of two sums.
    """
    numbers = {
        name: math.sqrt(sum(each[name] for each in parts)) for name in ("norm_start", "momentum_norm", "norm_end")
    }
    products = np.sum([each["products"] for each in parts], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        numbers["lr_radial"] = float(np.sum(products[:, 0] / products[:, 1]))
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def merged_outside(parts: Sequence[tuple[Sequence[int], int, float]]) -> dict[str, Any]:
    """The numbers of `Outside.take` of a layer from those of all processes."""
    return {
        "outside_updates": len({check for found, _, _ in parts for check in found}),
        "outside_weights": sum(weights for _, weights, _ in parts),
        "outside_step": max(largest for _, _, largest in parts),
    }
