"""The whole network's row of every window, from the rows of its layers in `layer_table`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Columns that are added, and those of which the layers' largest is the network's.
ADDED = ("weights", "nonfinite", "counted", "measured", "constant_channels")
LARGEST = ("updates", "partial", "lr", "lr_decay", "decay_time")
#: The state, whose means are over the weights measured.
STATE = ("b_hat", "clamped_fraction", "alpha", "qe_measured", "qe_exact", "qe_printed")
#: What a distribution has that belongs to one layer: the network has none.
OF_A_LAYER = ("quantile", "entropy", "entropy_bound", "sign_entropy", "gennorm_shape", "ks_laplace")


def network_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row a window for all the layers of a `layer_table` together, with the same columns.

    Counts are added; means are those over all weights that were counted, of the state over those measured, of tail and
    core over the weights of each, of the revived over those that could be. Updates and the sums of the learning rate
    are those of the layer that has most; tau is NaN where the layers differ in it. What belongs to the distribution of
    one layer is NaN: quantile, entropies, gennorm_shape and ks_laplace.

    Parameters
    ----------
    table : DataFrame
        Of `layer_table`, window by window.

    Returns
    -------
    DataFrame
        Its layer is "all".
    """
    rows: list[dict[str, Any]] = []
    before: pd.DataFrame | None = None
    for _, part in table.groupby("window", sort=False):
        layers = part.set_index("layer")
        rows.append(_row(layers, _weights(layers, before)))
        before = layers
    return pd.DataFrame(rows, columns=table.columns)


def _row(layers: pd.DataFrame, weights: Mapping[str, Values]) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": "all"}
    for name in layers.columns:
        values = layers[name]
        if name in ADDED:
            row[name] = values.sum(min_count=1)
        elif name in LARGEST:
            row[name] = values.max()
        elif name in OF_A_LAYER:
            row[name] = math.nan
        elif name in ("window", "epoch", "exact", "tau"):
            row[name] = values.iloc[0] if len(values.unique()) == 1 else math.nan
        else:
            row[name] = _mean(values.to_numpy(dtype=np.float64), weights.get(name, weights[_group(name)]))
    return row


def _group(name: str) -> str:
    if name in STATE:
        return "measured"
    return next((part for part in ("tail", "core") if name.endswith(f"_{part}")), "counted")


def _weights(layers: pd.DataFrame, before: pd.DataFrame | None) -> dict[str, Values]:
    """How many weights of each layer a mean is over: counted, measured, tail, core, and those that can revive."""
    found = _parts(layers)
    if before is not None:
        earlier = _parts(before.reindex(layers.index))
        dead = before["dead_fraction"].reindex(layers.index).to_numpy() * earlier["counted"]
        silent_core = before["silent_fraction_core"].reindex(layers.index).to_numpy() * earlier["core"]
        found |= {"revived_fraction": dead, "revived_fraction_core": silent_core}
    return found


def _parts(layers: pd.DataFrame) -> dict[str, Values]:
    counted, share = (layers[name].to_numpy(dtype=np.float64) for name in ("counted", "tail_fraction"))
    measured = layers["measured"].to_numpy(dtype=np.float64)
    return {"counted": counted, "measured": measured, "tail": counted * share, "core": counted * (1.0 - share)}


def _mean(values: Values, weights: Values) -> float:
    """Mean by weights, of the layers that have a value; NaN where none has."""
    known = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan
