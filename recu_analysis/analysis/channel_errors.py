"""Standard errors of silence and mobility in one run, from the variation between the output channels of its layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.selection import select_windows
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.intervals import FEWEST_CHANNELS, over_layers, standard_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: Columns of the sums: weights, silent weights and mobility, each of the tail and of the core.
WEIGHTS, SILENT, MOBILITY = (slice(0, 2), slice(2, 4), slice(4, 6))


def channel_errors_query(
    run: Run, window: WindowSpan, tail_tau: TailTau = TAIL_TAU, layers: Sequence[str] | str | None = None
) -> Query[list[Values]]:
    """The sums of every layer that `standard_errors` needs, each of shape (C_out, 6)."""
    return per_layer(run, select_layers(run, layers), _sums, tail_tau, window)


@takes_levels
def _sums(run: Run, spec: LayerSpec, tail_tau: TailTau, window: WindowSpan) -> Answer[Values]:
    record = yield over(select_windows(run, window), MOVEMENT)
    moved = movement(spec, record, tail_tau)
    channels = spec.shape[0]
    group = 2 * moved.channel + ~moved.tail
    parts = (np.ones_like(moved.z), moved.silent, moved.mobility)
    sums = [np.bincount(group, part, 2 * channels).reshape(channels, 2) for part in parts]
    return np.concatenate(sums, axis=1).astype(np.float64)


def standard_errors(layers: Sequence[Values], criterion: str = "tail-silent") -> dict[str, float]:
    """Standard errors of one layer's row of `dead_weights`, or of the total of several layers.

    The channels of a layer are taken as independent, and the size of its tail as fixed. The errors of shares and means
    are those of the linearised ratio of sums; that of the mobility ratio is from the interval of the median over layers
    (`over_layers`).

    Parameters
    ----------
    layers : sequence of ndarray of float64, shape (C_out, 6)
        The sums of `channel_errors_query`.
    criterion : str
        What `dead_fraction` counts.

    Returns
    -------
    dict of str to float
        Of silent_fraction_tail, silent_fraction_core, silent_fraction, tail_silent_fraction, mobility_tail,
        mobility_core, mobility_ratio (the median over layers), mobility_ratio_of_totals (the ratio of the two totals),
        and of dead_fraction if it counts silent weights. Empty if a layer has fewer than `FEWEST_CHANNELS` channels, or
        there is no tail or no core; NaN where a layer has no tail, no core or no mobility.
    """
    if min(map(len, layers)) < FEWEST_CHANNELS:
        return {}
    weights = np.sum([sums[:, WEIGHTS].sum(axis=0) for sums in layers], axis=0)
    if not weights.all():
        return {}
    share = weights / weights.sum()
    silent, mobility = ([_influence(sums, part, layers) for sums in layers] for part in (SILENT, MOBILITY))
    tail_silent = share[0] * _error([each[:, 0] for each in silent])
    totals = np.sum([sums.sum(axis=0) for sums in layers], axis=0)[np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        means = totals[0, MOBILITY] / weights
        relative = [each / means for each in mobility]
    every = _error([each @ share for each in silent])
    found = {
        "silent_fraction_tail": _error([each[:, 0] for each in silent]),
        "silent_fraction_core": _error([each[:, 1] for each in silent]),
        "silent_fraction": every,
        "tail_silent_fraction": tail_silent,
        "mobility_tail": _error([each[:, 0] for each in mobility]),
        "mobility_core": _error([each[:, 1] for each in mobility]),
        "mobility_ratio_of_totals": float(_mobility_ratio(totals)[0])
        * _error([each[:, 0] - each[:, 1] for each in relative]),
        "mobility_ratio": standard_error(over_layers(layers, lambda _, totals: _mobility_ratio(totals))),
    }
    of_dead = {"tail-silent": tail_silent, "silent": every}
    return found | ({"dead_fraction": of_dead[criterion]} if criterion in of_dead else {})


def _influence(sums: Values, part: slice, layers: Sequence[Values]) -> Values:
    """How far each channel of a layer moves the means of tail and core over all layers, shape (C_out, 2)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.sum([each[:, WEIGHTS].sum(axis=0) for each in layers], axis=0)
        mean = sums[:, part].sum(axis=0) / sums[:, WEIGHTS].sum(axis=0)
        result: Values = (sums[:, part] - mean * sums[:, WEIGHTS]) / weights
    return result


def _error(influences: Sequence[Values]) -> float:
    """The standard error of a sum over independent channels, from the influence of each channel by layer."""
    return math.sqrt(sum(len(each) / (len(each) - 1) * float((each**2).sum()) for each in influences))


def _mobility_ratio(totals: Values) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        tail, core = (totals[:, 4 + at] / totals[:, at] for at in (0, 1))
        result: Values = tail / core
    return result
