"""What a table says of the windows it was taken over: why these, and whether they are long enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recu_analysis.analysis.horizon import Stretch


def choice(stretch: Stretch | None) -> list[str]:
    """Why these windows, where the user named none."""
    if stretch is None:
        return []
    if math.isnan(stretch.memory):
        return ["the last half of the run: no channel has weights that differ and are numbers"]
    if stretch.long:
        return [f"the shortest final stretch with memory of at most 1/2 ({stretch.memory:.2f}, all layers)"]
    return [f"the last half of the run: no final stretch has memory of at most 1/2 ({stretch.memory:.2f})"]


def too_short(memories: Iterable[float]) -> list[str]:
    """In how many layers the windows are too short to tell dead from slow; nothing where in none."""
    from recu_analysis.analysis.horizon import LONG_MEMORY

    of = list(memories)
    long = sum(memory > LONG_MEMORY for memory in of)
    if not long:
        return []
    return [
        f"Memory (mem) is above {LONG_MEMORY} in {long} of {len(of)} layers: there these windows are too short",
        "to tell dead weights from slow ones.",
    ]
