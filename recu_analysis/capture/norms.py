"""Norms of a layer's weights and momentum at the ends of its open window, and its gradients along the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from recu_analysis.capture.accumulate import Rows, storable
from recu_analysis.theory.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.theory.inheritance import UpdateRule

    Array = np.ndarray[Any, np.dtype[Any]]

#: A number on the CPU, or a float64 tensor on the layer's device, which is not read before the window ends.
Number: TypeAlias = float | torch.Tensor


@compiled(fastmath={"reassoc", "contract"})
def _products(weight: Array, other: Array, center: bool) -> tuple[float, float]:
    """<v, other> and |v|^2 of matrices with one row per channel; v is the weight, minus its row's mean if `center`."""
    along = squares = 0.0
    for c in range(weight.shape[0]):
        w, g, wg, ww = 0.0, 0.0, 0.0, 0.0
        for j in range(weight.shape[1]):
            a, b = np.float64(weight[c, j]), np.float64(other[c, j])
            w += a
            g += b
            wg += a * b
            ww += a * a
        if center:
            wg -= w * g / weight.shape[1]
            ww -= w * w / weight.shape[1]
        along += wg
        squares += 0.0 if ww < 0.0 else ww  # rounding; NaN stays NaN
    return along, squares


def _products_on_device(weight: torch.Tensor, other: torch.Tensor, center: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_products`, without waiting for the device, in few kernels; in the dtype of the weight's `storable`."""
    rows = storable(weight)
    flat = (rows - rows.mean(dim=1, keepdim=True) if center else rows).reshape(-1)
    return torch.dot(flat, storable(other).to(flat).reshape(-1)), torch.dot(flat, flat)


def gradient_rows(gradient: torch.Tensor, weight: torch.Tensor) -> Array:
    """A gradient as `storable` has it; faster for the usual layout."""
    if gradient.dtype == torch.float32 and gradient.is_cpu and gradient.is_contiguous():
        return gradient.numpy().reshape(weight.shape[0], -1)
    return storable(gradient.cpu().reshape(weight.shape)).numpy()


def norm(weight: torch.Tensor, *, center: bool) -> Number:
    """Norm of weights, or of their momentum, shape (C_out, ...); without the means of channels if `center`."""
    if not weight.is_cpu:
        rows = storable(weight).double()
        return _products_on_device(rows, rows, center)[1].sqrt()
    values = storable(weight).numpy()
    return math.sqrt(_products(values, values, center)[1])


@dataclass(slots=True)
class Norms:
    """Norms of one layer, and the sum of lr <v, gradient> / |v|^2 over the updates of its open window.

    v is the latent weight before the update, minus the mean of its channel if `center`.

    Attributes
    ----------
    center : bool
    start : float or Tensor
        Norm of v at the start of the window.
    momentum : float or Tensor
        Norm of the momentum at the start, without the means of channels if `center`; NaN if it is not known.
    radial : float or Tensor
        The sum.
    rows : Rows
        Of the latent weights.
    """

    center: bool
    start: Number
    momentum: Number = math.nan
    radial: Number = 0.0
    rows: Rows = field(default_factory=Rows)

    def begin(self, momentum: torch.Tensor | None, shape: Sequence[int], rule: UpdateRule | None) -> None:
        """Measure the momentum at the start: 0 if the optimizer has none yet, not known for rules with scaled steps."""
        if rule is None or rule.decoupled:
            self.momentum = math.nan
        else:
            self.momentum = 0.0 if momentum is None else norm(momentum.reshape(shape), center=self.center)

    def along(
        self, weight: torch.Tensor, gradient: torch.Tensor, scale: torch.Tensor | float | None, lr: float
    ) -> Number:
        """The summand lr <v, gradient> / |v|^2 of one update; NaN if all weights are 0.

        Parameters
        ----------
        weight : Tensor, shape (C_out, ...)
            Latent weights before the update.
        gradient : Tensor, dense
            The gradient, divided by `scale` if it is given; negative lr stands for an update that maximizes.
        """
        if weight.is_cpu:
            along, squares = _products(self.rows.of(weight), gradient_rows(gradient, weight), self.center)
            factor = lr if scale is None else lr / float(scale)
            return factor * along / squares if squares else math.nan
        products, length = _products_on_device(weight, gradient.reshape(weight.shape), self.center)
        return (lr * products if scale is None else lr * products / scale) / length

    def add(self, along: Number) -> None:
        """Add the summand of an update, in float64."""
        if isinstance(along, torch.Tensor) and not isinstance(self.radial, torch.Tensor):
            self.radial = torch.tensor(self.radial, dtype=torch.float64, device=along.device)
        self.radial += along

    def tensor(self) -> torch.Tensor:
        """The open window as a tensor on the CPU, for `load`."""
        return torch.tensor([float(self.start), float(self.momentum), float(self.radial)], dtype=torch.float64)

    def load(self, tensor: torch.Tensor) -> None:
        """Restore the open window of `tensor`; raise ValueError if it does not fit."""
        self.start, self.momentum, self.radial = tensor.tolist()

    def take(self, end: torch.Tensor) -> dict[str, float]:
        """Return the values by the names of their rows, and begin a new window at the weights `end`."""
        found = {"norm_start": self.start, "momentum_norm": self.momentum, "lr_radial": self.radial}
        self.start, self.momentum, self.radial = norm(end, center=self.center), math.nan, 0.0
        numbers = {name: float(value) for name, value in (found | {"norm_end": self.start}).items()}
        return {name: value for name, value in numbers.items() if math.isfinite(value)}
