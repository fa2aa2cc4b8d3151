"""One binary layer of a model: its latent parameter, and what its sign is taken of."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import torch

from recu_analysis.capture.adapters.registry import scored
from recu_analysis.store.header import LayerSpec

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
        The module's name in the model, without what DataParallel, DDP and torch.compile put before it.
    module : torch.nn.Module
    adapter : str
        What recognised it.
    transform : WeightTransform or None
        What it does to its weights before their sign; None where no transform says it.
    why : str
        The reason, for people.
    parameter : torch.nn.Parameter
        What the optimizer updates.
    shape : tuple of int
        Of the latent weight, (C_out, ...); that of the parameter but for flat ones.
    effective : callable or None
        Gives the effective weight as a tensor of `shape`, where `transform` is None.
    watched : torch.nn.Module or None
        The module in whose forward pass the weight is used; `module` where it is None.
    approximate, in_place : bool
        As the adapter says.
    one_size : bool
        Whether the used weights of a channel have one size, as signs times a scale have.
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

    @property
    def user(self) -> torch.nn.Module:
        """The module in whose forward pass the weight is used."""
        return self.module if self.watched is None else self.watched

    @property
    def weight(self) -> torch.Tensor:
        """The latent weight, shape (C_out, ...)."""
        return self.parameter if tuple(self.parameter.shape) == self.shape else self.parameter.detach().view(self.shape)

    @contextlib.contextmanager
    def holding(self, latent: torch.Tensor) -> Iterator[None]:
        """Within it the parameter holds other weights than it does now; nothing else can tell."""
        held = self.parameter.data
        try:
            self.parameter.data = latent.reshape(held.shape).to(held)
            yield
        finally:
            self.parameter.data = held

    @property
    def tau(self) -> float | None:
        """The quantile level that the layer holds now; None where it does not clamp."""
        tau = getattr(self.module, "tau", None)
        clamps = self.transform is not None and self.transform.clamp
        return float(tau) if clamps and _has_value(tau) else None

    @property
    def scale(self) -> NDArray[np.float32] | None:
        """The learned alpha, one entry a channel; None where the layer has none."""
        alpha = getattr(self.module, "alpha", None)
        return alpha.detach().float().cpu().numpy().reshape(-1).copy() if _has_value(alpha) else None

    @property
    def spec(self) -> LayerSpec:
        """What run.json says of the layer."""
        dtype = "float64" if self.parameter.dtype == torch.float64 else "float32"
        z = scored(None if self.effective is None else self.effective())
        return LayerSpec(self.name, self.shape, dtype, self.adapter, self.transform, in_place=self.in_place, z=z)


def _has_value(value: object) -> TypeGuard[torch.Tensor]:
    """Whether it is a tensor, and not on the meta device."""
    return isinstance(value, torch.Tensor) and not value.is_meta
