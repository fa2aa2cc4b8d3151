"""Where the values of a parameter are: in it, in a tensor that it wraps, or in the rows of its shard (DTensor)."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from recu_analysis.errors import InputError, RecorderError


class Placement(NamedTuple):
    """The part of a parameter that this process holds, and the processes that hold the others.

    Attributes
    ----------
    rows : tuple of int
        Its first row of dim 0, and one past its last.
    shard : tuple of int
        Index of this shard, and the number of shards.
    replica : bool
        Whether another process holds the same rows and records them.
    """

    rows: tuple[int, int]
    shard: tuple[int, int]
    replica: bool


def is_distributed(tensor: object) -> bool:
    """Whether it is a DTensor; the class is not imported for the check."""
    kind = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    return kind is not None and isinstance(tensor, kind)


def local_part(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a tensor that this process holds: those of its shard, without communication, or all."""
    if not is_distributed(tensor):
        return tensor
    shard: Any = tensor
    with torch.no_grad():
        local: torch.Tensor = shard.to_local()
    return local.detach()


def held_values(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a tensor, or those that a tensor subclass wraps, in the memory that the optimizer updates.

    Raises
    ------
    InputError
        If a tensor subclass holds its values in another form, such as packed.
    """
    if is_distributed(tensor) or not torch._C._dispatch_keys(tensor).has(torch._C.DispatchKey.Python):
        return tensor
    wrapper: Any = tensor
    names = wrapper.__tensor_flatten__()[0] if is_traceable_wrapper_subclass(wrapper) else []
    inside = [getattr(wrapper, name) for name in names]
    found = [each for each in inside if each.shape == tensor.shape and each.is_floating_point()]
    if len(found) != 1:
        raise InputError(f"its weight is a {type(tensor).__name__}, whose values are not those of one plain tensor")
    held: torch.Tensor = found[0]
    return held_values(held.detach())


def placement_of(parameter: Any, layer: str) -> Placement:
    """The rows of a DTensor parameter in this process.

    Raises
    ------
    RecorderError
        If it is placed in another way than by `fully_shard`: rows of dim 0 over one axis of the mesh.
    """
    mesh, placements = parameter.device_mesh, parameter.placements
    split = [axis for axis, each in enumerate(placements) if not each.is_replicate()]
    plain = all(type(placements[axis]).__name__ == "Shard" and placements[axis].dim == 0 for axis in split)
    if not plain or len(split) > 1 or mesh.get_coordinate() is None:
        raise RecorderError(
            f"layer {layer!r} cannot be recorded: its weight is placed as {placements}, but only rows of dim 0 over "
            "one axis of the mesh are known, as fully_shard makes them; exclude it with layers=[...]"
        )
    world = torch.distributed.get_world_size()
    if mesh.size() != world:
        raise RecorderError(
            f"layer {layer!r} cannot be recorded: its mesh has {mesh.size()} of the {world} processes; give all "
            "processes to fully_shard"
        )
    coordinate = mesh.get_coordinate()
    index, count = (coordinate[split[0]], mesh.size(split[0])) if split else (0, 1)
    channels = parameter.shape[0]
    step = -(-channels // count)  # as torch.chunk
    rows = min(index * step, channels), min((index + 1) * step, channels)
    if local_part(parameter).shape[0] != rows[1] - rows[0]:
        raise RecorderError(
            f"layer {layer!r} cannot be recorded: this process holds {local_part(parameter).shape[0]} rows of its "
            f"weight, not the rows {rows[0]} to {rows[1]} that fully_shard gives it; exclude it with layers=[...]"
        )
    return Placement(rows, (index, count), any(at for axis, at in enumerate(coordinate) if axis not in split))
