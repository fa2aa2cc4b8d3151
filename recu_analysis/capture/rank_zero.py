"""Recording with several processes: rank 0 records, the other ranks only count updates; sharded models are refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from recu_analysis.errors import RecorderError

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


def refuse_sharded(model: torch.nn.Module) -> None:
    """Raise RecorderError in every process if parameters of a model are sharded over processes.

    FSDP (both versions), tensor parallelism and stage 3 of DeepSpeed shard parameters.
    """
    for name, module in model.named_modules():
        if _is_a("torch.distributed.fsdp", "FullyShardedDataParallel", module):
            raise _sharded(f"module {name or '(itself)'!r} is wrapped by FullyShardedDataParallel")
    for name, parameter in model.named_parameters():
        if _is_a("torch.distributed.tensor", "DTensor", parameter) or hasattr(parameter, "ds_id"):
            raise _sharded(f"parameter {name!r} is a shard")


def _is_a(module: str, kind: str, instance: object) -> bool:
    """Whether an object is an instance of a class, which is not imported for the check."""
    torch_class = getattr(sys.modules.get(module), kind, None)
    return torch_class is not None and isinstance(instance, torch_class)


def _sharded(what: str) -> RecorderError:
    return RecorderError(
        f"sharded weights cannot be recorded yet: {what}, so no process has the whole weights; train with "
        "DistributedDataParallel, or record a model that is not sharded"
    )


class IdleWriter:
    """A writer that writes nothing, for the recorders of other ranks."""

    run_id = ""

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
