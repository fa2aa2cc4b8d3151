"""The numbers of the charts against time: how the weights of each layer moved in every window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, mean, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.null import MOST_BY_WINDOW, null_autocorrelation, null_silence
from recu_analysis.analysis.query import per_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.deadness import Movement
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

Row = dict[str, Any]


def movement_query(run: Run, numbers: Sequence[int]) -> Query[pd.DataFrame]:
    """The query for one row per window and layer, with columns of `layer_table` that need no fit to the weights.

    Parameters
    ----------
    run : Run
    numbers : sequence of int
        Numbers of windows, ascending. Windows without updates have no row.
    """
    chosen = tuple(number for number in numbers if run.window(number).updates)
    rows = per_layer(run, run.header.layers, _rows, chosen)
    return rows.then(lambda parts: pd.DataFrame([row for at in zip(*parts, strict=True) for row in at]))


def _rows(run: Run, spec: LayerSpec, numbers: tuple[int, ...]) -> Answer[list[Row]]:
    rows = []
    for number in numbers:
        record = yield over([run.window(number)], MOVEMENT | {"flips"})
        moved = movement(spec, record, TAIL_TAU)
        flips = moved.flips / moved.updates
        rows.append(
            {
                "window": number,
                "layer": spec.name,
                "weights": spec.weights,
                "counted": moved.z.size,
                "nonfinite": moved.nonfinite,
                "dead": int(moved.dead("tail-silent").sum()),
                "dead_fraction": moved.fraction("tail-silent"),
                "tail_fraction": mean(moved.tail),
                "silent_fraction_tail": mean(moved.silent, moved.tail),
                "silent_fraction_core": mean(moved.silent, ~moved.tail),
                "mobility_tail": mean(moved.mobility, moved.tail),
                "mobility_core": mean(moved.mobility, ~moved.tail),
                "flip_ratio_tail": mean(flips, moved.tail),
                "flip_ratio_core": mean(flips, ~moved.tail),
                "autocorrelation": moved.autocorrelation,
                "autocorrelation_null": null_autocorrelation(run, spec, record),
            }
            | _silence(run, spec, moved)
        )
    return rows


def _silence(run: Run, spec: LayerSpec, moved: Movement) -> Row:
    """The shares of silent and of dead weights that noise alone would leave."""
    found = null_silence(run, spec, moved, MOST_BY_WINDOW)
    return found | {"dead_fraction_null": found["tail_silent_fraction_null"]}
