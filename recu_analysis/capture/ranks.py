"""Several processes that train one model: the first one records, the others only count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import distributed
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from recu_analysis.store.state import LayerState


def is_first(model: torch.nn.Module) -> bool:
    """Whether this process has rank 0 in the model's process group, or there is no group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return True
    group = model.process_group if isinstance(model, DistributedDataParallel) else None
    return distributed.get_rank(group) == 0


class IdleWriter:
    """What a recorder in another process writes to: nothing is kept."""

    def write_window(
        self, states: Mapping[str, LayerState], *, first_update: int, last_update: int, partial: bool = False
    ) -> int:
        """Take no notice of a window."""
        return 0

    def write_metrics(self, line: Mapping[str, Any]) -> None:
        """Take no notice of metrics."""

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""
