"""One binary layer of a model: its latent parameter, and its transform or effective weight."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeGuard

import torch

from recu_analysis.capture.adapters.placement import held_values
from recu_analysis.capture.adapters.registry import scored
from recu_analysis.capture.steps import steps_of
from recu_analysis.store.header import LayerSpec
from recu_analysis.theory.levels import Quantizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from recu_analysis.theory.standardize import WeightTransform


@dataclass(frozen=True, slots=True)
class BinaryLayer:
    """A module whose latent weights are recorded.

    Attributes
    ----------
    name : str
        Name of the module in the model, without the prefixes of DataParallel, DDP and torch.compile.
    module : torch.nn.Module
    adapter : str
        Name of the adapter that recognized the layer.
    transform : WeightTransform or None
        Transform from latent to effective weights; None if `effective` is given.
    why : str
        Reason why the layer is binary, for tables and messages.
    parameter : torch.nn.Parameter
        Latent parameter, which the optimizer updates.
    shape : tuple of int
        Shape of the latent weight, (C_out, ...); differs from the parameter's shape only for flat parameters.
    effective : callable or None
        Returns the effective weight as a tensor of `shape`; None if `transform` is given.
    watched : torch.nn.Module or None
        The module whose forward pass uses the weight; None means `module`.
    approximate, in_place : bool
        As declared by the adapter.
    one_size : bool
        Whether the used weights of a channel have the same size, like signs times a scale.
    quantizer : Quantizer
        The function from weights to states; the sign for binary layers.
    requantize : callable or None
        Returns the quantizer with the present steps, if the layer holds them.
    """

    name: str
    module: torch.nn.Module
    adapter: str
    transform: WeightTransform | None
    why: str
    parameter: torch.nn.Parameter
    shape: tuple[int, ...]
    effective: Callable[[], torch.Tensor] | None = None
    watched: torch.nn.Module | None = None
    approximate: bool = False
    in_place: bool = False
    one_size: bool = True
    quantizer: Quantizer = field(default_factory=Quantizer)
    requantize: Callable[[], Quantizer] | None = None

    @property
    def user(self) -> torch.nn.Module:
        """The module whose forward pass uses the weight."""
        return self.module if self.watched is None else self.watched

    @property
    def weight(self) -> torch.Tensor:
        """The latent weight, shape (C_out, ...)."""
        values = held_values(self.parameter)
        return values if tuple(values.shape) == self.shape else values.detach().view(self.shape)

    @property
    def sharded(self) -> bool:
        """Whether other processes may hold other rows of the weight."""
        return False

    @property
    def used_dtype(self) -> torch.dtype:
        """The dtype of the weight that the module uses."""
        return self.parameter.dtype

    def part(self, tensor: torch.Tensor) -> torch.Tensor:
        """The part of a gradient, or of an entry of the optimizer's state, that this process holds: all of it."""
        return held_values(tensor)

    def parts_of_used(self, used: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield what of a product's operand may be the weight: all of it."""
        yield used

    def is_in_module(self) -> bool:
        """Whether the module still has the parameter."""
        return any(each is self.parameter for each in self.module.parameters())

    @contextlib.contextmanager
    def holding(self, latent: torch.Tensor) -> Iterator[None]:
        """Put other weights into the parameter during the context, without a trace for autograd."""
        held = held_values(self.parameter)
        kept = held.data
        try:
            held.data = latent.reshape(held.shape).to(held)
            yield
        finally:
            held.data = kept

    @property
    def weights(self) -> int:
        """Number of latent weights."""
        return math.prod(self.shape)

    @property
    def tau(self) -> float | None:
        """Current quantile level of the layer; None if the layer does not clamp."""
        tau = getattr(self.module, "tau", None)
        clamps = self.transform is not None and self.transform.clamp
        return float(tau) if clamps and _has_value(tau) else None

    def steps(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The present step and zero point of each scale group of a layer with more than two levels."""
        quantizer = self.quantizer if self.requantize is None else self.requantize()
        with torch.no_grad():
            return steps_of(quantizer, self.weight)

    @property
    def scale(self) -> NDArray[np.float32] | None:
        """The learned alpha, one entry per channel; None if the layer has none."""
        alpha = getattr(self.module, "alpha", None)
        return alpha.detach().float().cpu().numpy().reshape(-1).copy() if _has_value(alpha) else None

    @property
    def spec(self) -> LayerSpec:
        """The layer's entry in run.json."""
        dtype = "float64" if self.parameter.dtype == torch.float64 else "float32"
        z = scored(None if self.effective is None else self.effective())
        quantizer = replace(self.quantizer, step=None, zero=None)
        return LayerSpec(
            self.name,
            self.shape,
            dtype,
            self.adapter,
            self.transform,
            in_place=self.in_place,
            z=z,
            quantizer=quantizer,
        )


def _has_value(value: object) -> TypeGuard[torch.Tensor]:
    """Whether a value is a tensor that is not on the meta device."""
    return isinstance(value, torch.Tensor) and not value.is_meta
