"""Movement, flips and gradients in quantile bins of abs(z), with the sign changes expected from distance alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtr

from recu_analysis.analysis.deadness import MOVEMENT, mean, movement
from recu_analysis.analysis.distance import drift, expected_of_states
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.null import null
from recu_analysis.analysis.query import gather, per_layer, takes_levels
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import select_windows
from recu_analysis.errors import InputError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.intervals import FEWEST_CHANNELS, bca, draws, expanded, shuffled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]

#: The averages of every bin; sign_changes_by_distance is expected from distance alone, gradient is kept on request.
MEANS = (
    "abs_z",
    "mobility",
    "magnitude",
    "flip_probability",
    "flip_ratio",
    "sign_changes",
    "sign_changes_by_distance",
    "gradient",
)
#: The averages that noise alone would give, each also a column with _null.
NULLS = ("mobility", "flip_probability", "sign_changes")
#: The averages that have an interval.
BANDS = ("mobility", "flip_probability", "sign_changes", "gradient")


def by_magnitude(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    bins: int = 20,
) -> pd.DataFrame:
    """Movement and flips in quantile bins of abs(z) at the start of some windows.

    Every layer is divided into bins of equally many weights by its own abs(z). Each bin is then averaged over the
    layers, by their weights.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13); by default the final windows, see
        `recu_analysis.analysis.final_windows`.
    layers : str or sequence of str, optional
        Patterns of layer names.
    bins : int
        Number of bins, each with equally many weights of a layer.

    Returns
    -------
    DataFrame
        One row per bin, from the smallest abs(z):

        - bin, weights
        - abs_z: standard deviations
        - mobility: standard deviations per update
        - magnitude: unit of the weights per update
        - flip_probability: fraction with at least one flip in the windows
        - flip_ratio: flips per update
        - sign_changes: fraction whose sign differs between start and end
        - sign_changes_by_distance: the same, expected from distance alone, see `recu_analysis.analysis.distance.drift`
        - gradient: mean abs(loss gradient) over that of the layer; NaN where the run does not keep it
        - flips_per_path: flips per unit of zpath

        mobility, flip_probability, sign_changes and gradient also have a 95 % interval (_low, _high), which resamples
        the output channels within every layer; NaN where a layer has fewer than 8. mobility, flip_probability and
        sign_changes also have what noise alone would give (_null), see `recu_analysis.analysis.null`; NaN if the rates
        of the updates are not known.

        Of weights with more than two levels, abs_z is the distance from the nearest threshold, and sign changes are
        changes of the state.

    Raises
    ------
    InputError
        If a layer has fewer weights than there are bins, or `windows` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    """
    return of_each(runs, lambda run: by_magnitude_query(run, choose(run, windows), bins, layers))


def by_magnitude_query(
    run: Run, window: WindowSpan, bins: int = 20, layers: Sequence[str] | str | None = None
) -> Query[pd.DataFrame]:
    """The query of `by_magnitude` over given windows."""
    specs = select_layers(run, layers)
    nulls = per_layer(run, specs, _null_means, bins, window)
    weights = [spec.weights for spec in specs]
    return gather(bin_sums_query(run, specs, window, bins), nulls).then(
        lambda found: _over_layers(found[0]).assign(**_null_columns(found[1], weights))
    )


def bin_sums_query(run: Run, layers: Sequence[LayerSpec], window: WindowSpan, bins: int) -> Query[list[Values]]:
    """For each layer: counts of weights and sums of `MEANS` over them, shape (C_out, bins, 1 + means)."""
    return per_layer(run, layers, _channel_sums, bins, window)


def _over_layers(parts: Sequence[Values]) -> pd.DataFrame:
    """The table of `by_magnitude` from the sums of the layers."""
    bins = parts[0].shape[1]
    total = np.zeros((bins, len(MEANS) + 1))
    resampled = np.zeros((len(draws(FEWEST_CHANNELS)), bins, len(MEANS) + 1))
    channels = [len(sums) for sums in parts]
    for at, sums in enumerate(parts):
        total += sums.sum(axis=0)
        if len(sums) >= FEWEST_CHANNELS:
            resampled += (shuffled(len(sums), at) @ sums.reshape(len(sums), -1)).reshape(resampled.shape)
    table = means(total)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = resampled[:, :, 1:] / resampled[:, :, :1]
    table["flips_per_path"] = table["flip_ratio"] / table["mobility"]
    table.insert(0, "bin", np.arange(bins))
    table.insert(1, "weights", total[:, 0].astype(np.int64))
    for name in BANDS:
        ends = [_ends(value, spread[:, row, MEANS.index(name)], min(channels)) for row, value in enumerate(table[name])]
        table[f"{name}_low"], table[f"{name}_high"] = zip(*ends, strict=True)
    return table


@takes_levels
def _null_means(run: Run, spec: LayerSpec, bins: int, window: WindowSpan) -> Answer[Values]:
    """What noise alone would give for `NULLS` in every bin of a layer, shape (bins, nulls); NaN if unknown."""
    record = yield over(select_windows(run, window), MOVEMENT)
    found = null(run, spec, movement(spec, record))
    if found is None:
        return np.full((bins, len(NULLS)), np.nan)
    columns = (found.mobility, ~found.silent, found.changed)
    nearest_first = np.argsort(found.distance, kind="stable")
    parts = [np.array_split(column[nearest_first], bins) for column in columns]
    return np.array([[mean(part) for part in of_bins] for of_bins in parts]).T


def _null_columns(layers: Sequence[Values], weights: Sequence[int]) -> dict[str, Values]:
    """Means over the layers by their weights; NaN if one layer is unknown."""
    averaged = np.average(np.stack(layers), axis=0, weights=weights)
    return {f"{name}_null": averaged[:, at] for at, name in enumerate(NULLS)}


def means(total: Values) -> pd.DataFrame:
    """`MEANS` in every bin, from sums over channels of shape (bins, 1 + means)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.DataFrame(total[:, 1:] / total[:, :1], columns=list(MEANS))


def _ends(estimate: float, resampled: Values, channels: int) -> tuple[float, float]:
    """Bias-corrected bootstrap interval of one mean, without acceleration."""
    if channels < FEWEST_CHANNELS or not np.isfinite(estimate):
        return np.nan, np.nan
    return bca(estimate, resampled, np.zeros(2), expanded(channels))


@takes_levels
def _channel_sums(run: Run, spec: LayerSpec, bins: int, window: WindowSpan) -> Answer[Values]:
    """Counts of one layer's weights and sums of `MEANS` over them, shape (C_out, bins, 1 + means)."""
    record = yield over(select_windows(run, window), MOVEMENT | {"path", "flips", "grad"})
    moved = movement(spec, record)
    distance = moved.distance
    if distance.size < bins:
        raise InputError(f"layer {spec.name!r} has {distance.size} weights, too few for {bins} bins; use fewer bins")
    r, s = drift(moved)
    by_distance = np.zeros_like(distance)
    if s > 0:
        edges = moved.edges
        by_distance = ndtr(-r * distance / s) if edges is None else expected_of_states(moved, edges, r, s)[0]
    columns = (
        np.ones_like(distance),
        distance,
        moved.mobility,
        moved.magnitude,
        ~moved.silent,
        moved.flips / moved.updates,
        moved.changed,
        by_distance,
        _relative_gradient(record)[moved.valid],
    )
    channels = spec.shape[0]
    channel = moved.channel
    index = channel * bins + quantile_bins(distance, bins)
    sums = [np.bincount(index, column, channels * bins) for column in columns]
    return np.stack(sums, axis=1).astype(np.float64).reshape(channels, bins, len(columns))


def quantile_bins(values: Values, bins: int) -> NDArray[np.intp]:
    """The bin of each value by its rank, the same number of values in each; equal values rank in their order.

    This is faster than ranks, because only the borders of the bins are sorted.

    Parameters
    ----------
    values : ndarray of float64, flat
        Without NaN, at least as many as bins.
    bins : int
    """
    first = -(-np.arange(1, bins) * values.size // bins)  # the lowest rank of each bin but the first
    borders = np.partition(values, first)[first]
    found = np.searchsorted(borders, values, side="right")
    for border in np.unique(borders):
        tied = np.flatnonzero(values == border)
        if tied.size > 1:
            rank = np.count_nonzero(values < border) + np.arange(tied.size)
            found[tied] = rank * bins // values.size
    return found


def _relative_gradient(record: MergedRecord) -> Values:
    """Sum of abs(gradient) of every weight over the mean of its layer, flat; NaN where the run does not keep it."""
    if record.grad is None:
        return np.full(record.end.size, np.nan)
    flat: Values = record.grad.reshape(-1)
    return flat / (mean(flat[np.isfinite(flat)]) or np.nan)
