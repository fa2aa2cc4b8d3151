"""Weights that are no numbers: how many a run holds at its end, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.engine import Asked, ahead, ask

if TYPE_CHECKING:
    from recu_analysis.analysis.engine import Answer
    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run


def nonfinite(run: Run) -> dict[str, int]:
    """Weights that are NaN or infinite at the end of a run, by layer, of those layers that have some."""
    if not len(run.windows):
        return {}
    return {layer: count for layer, count in zip(run.layer_names, ask(asked_nonfinite(run)), strict=True) if count}


def asked_nonfinite(run: Run) -> Asked[int]:
    """What `nonfinite` asks: a count a layer."""
    return Asked(run, run.header.layers, _count)


def _count(run: Run, spec: LayerSpec) -> Answer[int]:
    del spec  # the record is that of the layer
    record = yield ahead(run.windows[-1])
    return int(np.count_nonzero(~np.isfinite(record.end)))
