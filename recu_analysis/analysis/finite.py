"""What tables leave out at the end of a run: weights that are NaN or infinite, and constant channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.channels import measured_channels
from recu_analysis.analysis.layer_pass import ahead
from recu_analysis.analysis.query import per_layer, takes_levels, value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run


def nonfinite_query(run: Run) -> Query[dict[str, int]]:
    """How many weights are NaN or infinite at the end of a run, by layer; layers without any are left out."""
    return _those(run, _nonfinite, run.header.layers)


def constant_query(run: Run) -> Query[dict[str, int]]:
    """How many channels are constant at the end of a run, by binary layer; layers without any are left out."""
    return _those(run, _constant, [spec for spec in run.header.layers if spec.quantizer.binary])


def _those(run: Run, task: Callable[..., Answer[int]], layers: Sequence[LayerSpec]) -> Query[dict[str, int]]:
    if not len(run.windows) or not layers:
        return value({})
    counts = per_layer(run, layers, task)
    return counts.then(lambda found: {spec.name: n for spec, n in zip(layers, found, strict=True) if n})


@takes_levels
def _nonfinite(run: Run, spec: LayerSpec) -> Answer[int]:
    del spec  # the record is of this layer
    record = yield ahead(run.windows[-1])
    return int(np.count_nonzero(~np.isfinite(record.end)))


def _constant(run: Run, spec: LayerSpec) -> Answer[int]:
    del spec
    record = yield ahead(run.windows[-1])
    return measured_channels(record.operand).constant
