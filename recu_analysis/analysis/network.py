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

#: Columns whose sum over layers is the network's, and columns whose largest value is.
ADDED = ("weights", "nonfinite", "counted", "measured", "constant_channels")
LARGEST = ("updates", "partial", "lr", "lr_decay", "decay_time")
#: Columns of the state; their means are over the weights measured.
STATE = ("b_hat", "clamped_fraction", "alpha", "qe_measured", "qe_exact", "qe_printed")
#: Columns of the distribution of one layer; the network has none.
OF_A_LAYER = ("quantile", "entropy", "entropy_bound", "sign_entropy", "gennorm_shape", "ks_laplace")


def network_table(table: pd.DataFrame) -> pd.DataFrame:
    """Combine all layers of a `layer_table` into one row per window, with the same columns.

    Counts are summed. Means are over the weights counted; means of the state are over the weights measured, those of
    tail and core over the weights of each, and revived fractions over the weights that could revive. Updates, and sums
    of the learning rate, are the largest of any layer. tau is NaN if the layers differ in it. Columns of the
    distribution of one layer are NaN: quantile, entropies, gennorm_shape and ks_laplace.

    Parameters
    ----------
    table : DataFrame
        The result of `layer_table`, window by window.

    Returns
    -------
    DataFrame
        Column layer holds "all".
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
    """The number of weights of each layer behind a mean: counted, measured, tail, core, and those that can revive."""
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
    """Weighted mean over the layers that have a value; NaN if none has."""
    known = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan
