"""The silence that noise alone would leave in the pictures: by layer and window, and of the dead weights of a layer."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.null import MOST_BY_WINDOW, NULL_SILENCE, null_silence
from recu_analysis.analysis.query import gather, per_layer
from recu_analysis.analysis.selection import select_windows
from recu_analysis.store.chain import start_known
from recu_analysis.store.layer_selection import select_layer, select_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Row = dict[str, Any]


def with_null_silence(
    run: Run,
    table: Query[pd.DataFrame],
    tail_tau: TailTau = TAIL_TAU,
    *,
    numbers: Sequence[int] | None = None,
    layers: Sequence[str] | str | None = None,
) -> Query[pd.DataFrame]:
    """The query of a `layer_table` with the columns of `null_silence`; NaN where a window has no known movement.

    Parameters
    ----------
    run : Run
    table : Query
        Of `layer_table_query` with the same level, windows and layers.
    tail_tau : float or "window"
        Level of the tail.
    numbers : sequence of int, optional
        Numbers of the windows; all by default.
    layers : str or sequence of str, optional
        Patterns of layer names.
    """
    chosen = tuple(each.number for each in run.windows) if numbers is None else tuple(numbers)
    rows = per_layer(run, select_layers(run, layers), _rows, tail_tau, chosen)
    return gather(table, rows).then(lambda found: _joined(*found))


def null_dead_query(run: Run, layer: str, window: WindowSpan) -> Query[float]:
    """The query of the share of a layer's weights that noise alone would leave in the tail and silent; NaN if unknown.

    The layer is a name, or a pattern that only its name matches.
    """
    return per_layer(run, [select_layer(run, layer)], _dead, window).then(itemgetter(0))


def _dead(run: Run, spec: LayerSpec, window: WindowSpan) -> Answer[float]:
    moved = movement(spec, (yield over(select_windows(run, window), MOVEMENT)))
    return null_silence(run, spec, moved)["tail_silent_fraction_null"]


def _joined(table: pd.DataFrame, parts: Sequence[list[Row]]) -> pd.DataFrame:
    nulls = pd.DataFrame([row for rows in parts for row in rows], columns=["window", "layer", *NULL_SILENCE])
    return table.merge(nulls, on=["window", "layer"], how="left")


def _rows(run: Run, spec: LayerSpec, tail_tau: TailTau, chosen: tuple[int, ...]) -> Answer[list[Row]]:
    rows = []
    for number in chosen:
        window = run.window(number)
        if window.updates and start_known(window):
            moved = movement(spec, (yield over([window], MOVEMENT)), tail_tau)
            rows.append({"window": number, "layer": spec.name, **null_silence(run, spec, moved, MOST_BY_WINDOW)})
    return rows
