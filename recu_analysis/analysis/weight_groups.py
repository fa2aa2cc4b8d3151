"""Groups of weights: where they stood at the start of some windows, and whether they changed their sign in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import select_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.deadness import Mask, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

#: Every weight with a finite record is in one of these.
WEIGHT_GROUPS: Final[tuple[str, ...]] = ("tail-silent", "core-silent", "tail-flipped", "core-flipped")


def weight_groups_query(
    run: Run,
    window: WindowSpan,
    specs: Sequence[LayerSpec],
    tail_tau: TailTau = TAIL_TAU,
) -> Query[dict[str, dict[str, Mask]]]:
    """The query of the weights in each group: layer -> group -> mask of all weights of the layer, flat.

    Tail and core are those at the start of the windows. Silent weights did not flip in them, flipped ones did. Weights
    without a finite record are in no group.
    """
    names = [spec.name for spec in specs]
    return per_layer(run, specs, _masks, tail_tau, window).then(lambda found: dict(zip(names, found, strict=True)))


def _masks(run: Run, spec: LayerSpec, tail_tau: TailTau, window: WindowSpan) -> Answer[dict[str, Mask]]:
    record = yield over(select_windows(run, window), MOVEMENT)
    moved = movement(spec, record, tail_tau)
    parts = {"tail": moved.tail, "core": ~moved.tail, "silent": moved.silent, "flipped": ~moved.silent}
    masks = {}
    for name in WEIGHT_GROUPS:
        where, what = name.split("-")
        masks[name] = np.zeros(moved.valid.size, dtype=np.bool_)
        masks[name][moved.valid] = parts[where] & parts[what]
    return masks
