"""What tables leave out: weights that are no numbers, and constant channels, at a run's end, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.channels import measured_channels
from recu_analysis.analysis.engine import Asked, ahead, ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from recu_analysis.analysis.engine import Answer
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run


def nonfinite(run: Run) -> dict[str, int]:
    """Weights that are NaN or infinite at the end of a run, by layer, of those layers that have some."""
    return _those(run, asked_nonfinite)


def constant(run: Run) -> dict[str, int]:
    """Channels that are constant at the end of a run, by layer, of those layers that have some."""
    return _those(run, asked_constant)


def _those(run: Run, asked: Callable[[Run], Asked[int]]) -> dict[str, int]:
    if not len(run.windows):
        return {}
    return {layer: count for layer, count in zip(run.layer_names, ask(asked(run)), strict=True) if count}


def asked_nonfinite(run: Run) -> Asked[int]:
    """What `nonfinite` asks: a count a layer."""
    return Asked(run, run.header.layers, _nonfinite)


def asked_constant(run: Run) -> Asked[int]:
    """What `constant` asks: a count a layer."""
    return Asked(run, run.header.layers, _constant)


def _nonfinite(run: Run, spec: LayerSpec) -> Answer[int]:
    del spec  # the record is that of the layer
    record = yield ahead(run.windows[-1])
    return int(np.count_nonzero(~np.isfinite(record.end)))


def _constant(run: Run, spec: LayerSpec) -> Answer[int]:
    del spec
    record = yield ahead(run.windows[-1])
    return measured_channels(record.operand).constant
