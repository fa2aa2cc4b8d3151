"""A binary layer of which this process holds some rows, because its weight is sharded over processes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import torch

from recu_analysis.capture.adapters.layer import BinaryLayer
from recu_analysis.capture.adapters.placement import is_distributed, local_part
from recu_analysis.errors import RecorderError
from recu_analysis.store.channels import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec


@dataclass(frozen=True, slots=True)
class ShardedLayer(BinaryLayer):
    """The rows of a layer that this process holds; shape, weight and all numbers are of these rows.

    Attributes
    ----------
    rows : tuple of int
        The first row of dim 0, and one past the last.
    channels : int
        Number of output channels of the whole layer.
    path : str
        Name of the parameter in its module.
    """

    rows: tuple[int, int] = (0, 0)
    channels: int = 0
    path: str = "weight"

    @classmethod
    def of(cls, layer: BinaryLayer, rows: tuple[int, int]) -> Self:
        """The rows of a layer that this process holds; raise RecorderError if they cannot be recorded alone."""
        if layer.transform is None:
            raise RecorderError(
                f"layer {layer.name!r} cannot be recorded in shards: adapter {layer.adapter!r} gives its effective "
                "weight as a tensor, which may need the rows of other processes; let it return a WeightTransform, or "
                "exclude the layer with layers=[...]"
            )
        if tuple(layer.parameter.shape) != layer.shape:
            raise RecorderError(
                f"layer {layer.name!r} cannot be recorded in shards: its parameter of shape "
                f"{tuple(layer.parameter.shape)} is flat, so a shard may end within an output channel; exclude it "
                "with layers=[...]"
            )
        alpha = getattr(layer.module, "alpha", None)
        if isinstance(alpha, torch.Tensor) and is_distributed(alpha) and alpha.shape[:1] != (layer.shape[0],):
            raise RecorderError(
                f"layer {layer.name!r} cannot be recorded in shards: its learned scale of shape {tuple(alpha.shape)} "
                "is sharded in another way than its weight; exclude it with layers=[...]"
            )
        own = {each.name: getattr(layer, each.name) for each in fields(layer)}
        own["shape"] = (rows[1] - rows[0], *layer.shape[1:])
        path = next(name for name, each in layer.module.named_parameters() if each is layer.parameter)
        return cls(**own, rows=rows, channels=layer.shape[0], path=path)

    @property
    def sharded(self) -> bool:
        """Whether other processes may hold other rows."""
        return True

    @property
    def weight(self) -> torch.Tensor:
        """The latent weight of the rows, in the memory that the optimizer updates."""
        return local_part(self.parameter)

    def part(self, tensor: torch.Tensor) -> torch.Tensor:
        """The rows of a gradient, or of an entry of the optimizer's state, that this process holds."""
        return local_part(tensor)

    @property
    def used_dtype(self) -> torch.dtype:
        """The dtype of the weight that the module uses now: with mixed precision, that of the forward pass."""
        return self.module.get_parameter(self.path).dtype

    def parts_of_used(self, used: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the rows of a product's operand, along each axis that may be the output channels."""
        first = 0
        while used.ndim - first > 2 and used.shape[first] == 1 != self.channels:
            first += 1
        for axis in (first, first + 1) if used.ndim > 1 else ():
            if used.shape[axis] == self.channels:
                yield used.narrow(axis, self.rows[0], self.shape[0])

    def is_in_module(self) -> bool:
        """Whether the module still has the parameter; between passes it may have its unsharded weight instead."""
        held: Any = dict(self.module.named_parameters()).get(self.path)
        return held is self.parameter or (held is not None and not is_distributed(held))

    @contextlib.contextmanager
    def holding(self, latent: torch.Tensor) -> Iterator[None]:
        """Put other weights into the rows during the context."""
        held = self.weight
        kept = held.clone()
        try:
            held.copy_(latent.reshape(held.shape))
            yield
        finally:
            held.copy_(kept)

    @property
    def scale(self) -> NDArray[Any] | None:
        """The learned alpha of the rows; None if the layer has none."""
        alpha = getattr(self.module, "alpha", None)
        if not isinstance(alpha, torch.Tensor) or alpha.is_meta:
            return None
        values: NDArray[Any] = local_part(alpha).detach().float().cpu().numpy().reshape(-1).copy()
        return values[slice(*self.rows)] if not is_distributed(alpha) and values.size == self.channels else values

    @property
    def spec(self) -> LayerSpec:
        """The entry of the rows; that of run.json is of the whole layer."""
        rows = Sample(self.shape[0] / self.channels, 0, self.channels, tuple(range(*self.rows)))
        return replace(super(ShardedLayer, self).spec, channels=rows)
