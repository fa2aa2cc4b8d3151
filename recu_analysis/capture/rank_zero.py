"""Recording with several processes that hold the whole model: rank 0 records, the others only count updates."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from recu_analysis.capture.adapters.placement import is_distributed
from recu_analysis.errors import RecorderError
from recu_analysis.store.shard_writer import ShardWriter
from recu_analysis.store.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.state import LayerState


def is_first(model: torch.nn.Module) -> bool:
    """Whether this process has rank 0 in the model's process group; True without a group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    group = model.process_group if isinstance(model, DistributedDataParallel) else None
    return distributed.get_rank(group) == 0


def refuse_unknown_shards(model: torch.nn.Module) -> bool:
    """Whether `fully_shard` has sharded a model; its parameters are then put back into their shards.

    Raises
    ------
    RecorderError
        If parameters are sharded in another way: by FSDP1, tensor parallelism or stage 3 of DeepSpeed. Every process
        raises it.
    """
    sharded = is_fully_sharded(model)
    for name, module in model.named_modules():
        if _is_a("torch.distributed.fsdp", "FullyShardedDataParallel", module):
            raise _unknown(f"module {name or '(itself)'!r} is wrapped by FullyShardedDataParallel (FSDP1)")
        if _is_fully_sharded(module):
            module.reshard()  # a pass without a backward pass may have left it unsharded
    for name, parameter in model.named_parameters():
        if hasattr(parameter, "ds_id") or (is_distributed(parameter) and not sharded):
            raise _unknown(f"parameter {name!r} is a shard, but not of fully_shard")
    return sharded


def is_fully_sharded(model: torch.nn.Module) -> bool:
    """Whether `fully_shard` has sharded a part of a model."""
    return any(_is_fully_sharded(module) for module in model.modules())


def _is_fully_sharded(module: Any) -> bool:
    return _is_a("torch.distributed.fsdp", "FSDPModule", module)


def _is_a(module: str, kind: str, instance: object) -> bool:
    """Whether an object is an instance of a class, which is not imported for the check."""
    torch_class = getattr(sys.modules.get(module), kind, None)
    return torch_class is not None and isinstance(instance, torch_class)


def _unknown(what: str) -> RecorderError:
    return RecorderError(
        f"sharded weights of this kind cannot be recorded: {what}; shard the model with "
        "torch.distributed.fsdp.fully_shard (FSDP2), or train with DistributedDataParallel"
    )


class IdleWriter:
    """A writer that writes nothing, for the recorders of other ranks."""

    run_id = ""
    saved = -1
    error: Exception | None = None

    def write_window(
        self,
        states: Mapping[str, LayerState],
        *,
        first_update: int,
        last_update: int,
        partial: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> int:
        """Ignore a window."""
        return 0

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Ignore metrics."""

    def rewrite_layers(self, layers: Sequence[LayerSpec]) -> None:
        """Ignore the layers."""

    def refuse(self, reason: str) -> None:
        """Do nothing, because there is no run to refuse."""

    def abandon(self) -> None:
        """Do nothing, because there is nothing to undo."""

    def flush(self) -> None:
        """Do nothing, because nothing is queued."""

    def close(self) -> None:
        """Do nothing, because nothing is open."""


#: What a recorder writes to.
AnyWriter: TypeAlias = RunWriter | ShardWriter | IdleWriter
