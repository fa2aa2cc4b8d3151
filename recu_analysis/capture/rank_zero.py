"""Several processes that train one model: the first one records, the others only count; shards are refused."""

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
    """Whether this process has rank 0 in the model's process group, or there is no group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    group = model.process_group if isinstance(model, DistributedDataParallel) else None
    return distributed.get_rank(group) == 0


def refuse_sharded(model: torch.nn.Module) -> None:
    """RecorderError, in every process alike, where parameters of a model are shards, of which one process has a part.

    Those of FSDP (both versions), of tensor parallelism and of DeepSpeed's third stage are.
    """
    for name, module in model.named_modules():
        if _is_a("torch.distributed.fsdp", "FullyShardedDataParallel", module):
            raise _sharded(f"module {name or '(itself)'!r} is wrapped by FullyShardedDataParallel")
    for name, parameter in model.named_parameters():
        if _is_a("torch.distributed.tensor", "DTensor", parameter) or hasattr(parameter, "ds_id"):
            raise _sharded(f"parameter {name!r} is a shard")


def _is_a(module: str, kind: str, instance: object) -> bool:
    """Whether something is of a class of torch; where nothing has imported the class, nothing is of it."""
    torch_class = getattr(sys.modules.get(module), kind, None)
    return torch_class is not None and isinstance(instance, torch_class)


def _sharded(what: str) -> RecorderError:
    return RecorderError(
        f"sharded weights cannot be recorded yet: {what}, so that no process has whole weights; train with "
        "DistributedDataParallel, or record a model that is not sharded"
    )


class IdleWriter:
    """What a recorder in another process writes to: nothing is kept."""

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
        """Take no notice of a window."""
        return 0

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Take no notice of metrics."""

    def rewrite_layers(self, layers: Sequence[LayerSpec]) -> None:
        """Take no notice of what is known of layers."""

    def refuse(self, reason: str) -> None:
        """There is nothing to refuse."""

    def abandon(self) -> None:
        """There is nothing to undo."""

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""
