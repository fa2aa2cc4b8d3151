"""Differences between experiments, by layer and of the network, with intervals; and curves of runs over the epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import Arm, arms, pairs
from recu_analysis.analysis.compare import check_same_layers
from recu_analysis.analysis.deadness import TAIL_TAU, dead_weights_query, totals
from recu_analysis.analysis.distance import RATIOS, channel_sums_query, mean_of
from recu_analysis.analysis.final_windows import equal_windows
from recu_analysis.analysis.paired import over_pairs
from recu_analysis.analysis.query import gather, gathered
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.selection import WindowSpan, moving_windows, select_windows, span_of
from recu_analysis.errors import InputError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.intervals import (
    Interval,
    difference,
    over_channels,
    over_layers,
    over_network,
    standard_error,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]
    #: The interval of every statistic of every row of a run, by the kind of row and the layer.
    Rows = dict[tuple[str, str], dict[str, Interval]]


#: The kind of row and the layer of the rows for all layers together.
TOTAL = ("total", "all")
#: The statistics that are compared, each a function of the sums over a layer's channels.
STATISTICS: dict[str, Callable[[Values], Values]] = {
    "silent_fraction_tail": lambda totals: 1.0 - mean_of("flipped", "tail")(totals),
    "silent_fraction_core": lambda totals: 1.0 - mean_of("flipped", "core")(totals),
    "mobility_tail": mean_of("mobility", "tail"),
    "mobility_core": mean_of("mobility", "core"),
    "mobility_ratio": RATIOS["mobility_ratio"],
    "distance_ratio_tail": RATIOS["distance_ratio_tail"],
}


def layer_differences(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Differences of statistics between the first experiment and each of the others, by layer and of all layers.

    The windows hold the same number of updates in every run. Seeds of one experiment form one group, see
    `recu_analysis.analysis.arms.arms`. If two groups share two or more seeds, the difference is the mean over these
    seeds. From three seeds on it has Student's interval, which is never narrower than the noise between the channels of
    each run allows. Otherwise the difference is between two runs: those of the one shared seed, or else the first runs
    of the groups. Its interval then resamples the output channels of both.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Two or more runs of one network.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run, with the same number of updates. By default the final windows,
        with the same number of updates in all runs.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        One row per group (without the first), layer and statistic. Of several layers, also one per group and statistic
        for all of them together:

        - run, reference: the labels of the group and of the first group
        - row: layer or total
        - layer; all in a total, which is the mean over weights, or of a ratio the median over layers
        - statistic: silent_fraction_tail, silent_fraction_core, mobility_tail, mobility_core, mobility_ratio or
          distance_ratio_tail
        - value, reference_value
        - difference, low, high: value minus reference_value, with its 95 % interval; NaN for two pairs of seeds
        - interval_over: seeds or channels
        - pairs: how many

    Raises
    ------
    InputError
        If the runs have different layers, have different numbers of updates in `windows` or no final windows with the
        same number of updates, or are all one group, or if a run or a seed of an experiment is given twice.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches nothing, a run has none of the windows, or they hold no updates.
    """
    return layer_differences_query(as_runs(runs), windows, layers, tail_tau).run()


def layer_differences_query(
    runs: Mapping[str, Run],
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> Query[pd.DataFrame]:
    """The query of `layer_differences`; it raises the same errors."""
    check_same_layers(runs)
    reference, *others = arms(runs)
    if not others:
        raise InputError("these runs differ only in their seed, so there is nothing to compare; add another arm")
    spans = equal_windows(runs, windows)
    statistics = {run.id: statistics_query(run, spans[label], tail_tau, layers) for label, run in runs.items()}
    return gathered(statistics).then(lambda found: _differences(found, reference, others))


def _differences(found: Mapping[str, Rows], reference: Arm, others: Sequence[Arm]) -> pd.DataFrame:
    """The rows of every group except the first, from the statistics of every run by its id."""
    rows = []
    for arm in others:
        matched = [(found[ours.id], found[theirs.id]) for ours, theirs in _matched(arm, reference)]
        names = {"run": arm.label, "reference": reference.label}
        for kind, layer in next(iter(found.values())):
            for statistic in STATISTICS:
                values = [(ours[kind, layer][statistic], theirs[kind, layer][statistic]) for ours, theirs in matched]
                rows.append({**names, "row": kind, "layer": layer, "statistic": statistic, **_difference(values)})
    return pd.DataFrame(rows)


def statistics_query(
    run: Run, window: WindowSpan, tail_tau: TailTau, layers: Sequence[str] | str | None
) -> Query[Rows]:
    """`STATISTICS` of every layer of a run and of all together, with their intervals over channels."""
    names = [spec.name for spec in select_layers(run, layers)]

    def rows(found: Sequence[Values]) -> Rows:
        parts = {
            ("layer", name): {each: over_channels(sums, statistic) for each, statistic in STATISTICS.items()}
            for name, sums in zip(names, found, strict=True)
        }
        return parts | ({TOTAL: {each: _whole(each, found) for each in STATISTICS}} if found[1:] else {})

    return channel_sums_query(run, window, tail_tau, layers).then(rows)


def _whole(name: str, layers: Sequence[Values]) -> Interval:
    """A statistic of all layers: of a ratio the median over layers, as everywhere; else over all their weights."""
    if name in RATIOS:
        return over_layers(layers, lambda _, totals: RATIOS[name](totals))
    return over_network(layers, STATISTICS[name])


def _matched(arm: Arm, reference: Arm) -> list[tuple[Run, Run]]:
    """Pairs of runs with the same seed; the first runs of both arms if they share no seed."""
    return pairs(arm.runs.values(), reference.runs.values()) or [(arm.first, reference.first)]


def _difference(values: Sequence[tuple[Interval, Interval]]) -> dict[str, float | str | int]:
    ours, theirs = ([pair[side].estimate for pair in values] for side in (0, 1))
    each = [difference(*pair) for pair in values]
    found = over_pairs([one.estimate for one in each], list(map(standard_error, each))) if len(each) > 1 else each[0]
    return {
        "value": math.fsum(ours) / len(ours),
        "reference_value": math.fsum(theirs) / len(theirs),
        "difference": found.estimate,
        "low": found.low,
        "high": found.high,
        "interval_over": "seeds" if len(values) > 1 else "channels",
        "pairs": len(values),
    }


def curves(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Logged metrics and movement of the whole network, or of some layers, window by window.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Column `run` has the labels of a mapping, else the names of the folders.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers; all by default.
    layers : str or sequence of str, optional
        Patterns of layer names; all layers by default.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        One row per run and window with updates:

        - run, window, epoch and every other metric that was logged with the window's mark
        - silent_fraction_tail, silent_fraction_core, mobility_tail, mobility_core, autocorrelation,
          autocorrelation_null: of all these layers in the window

    Raises
    ------
    InputError
        If `windows` or `layers` is not valid.
    LayerNotFoundError
        If a pattern matches no layer of a run.
    WindowNotFoundError
        If a run has none of the windows, or they hold no updates.
    """
    return curves_query(as_runs(runs), windows, layers, tail_tau).run()


def curves_query(
    runs: Mapping[str, Run],
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> Query[pd.DataFrame]:
    """The query of `curves`; it raises the same errors."""
    rows = [_curve_query(label, run, windows, layers, tail_tau) for label, run in runs.items()]
    return gather(*rows).then(lambda found: pd.DataFrame([row for part in found for row in part]))


def _curve_query(
    label: str, run: Run, windows: Windows | None, layers: Sequence[str] | str | None, tail_tau: TailTau
) -> Query[list[dict[str, Any]]]:
    """The rows of one run."""
    moving = ("silent_fraction_tail", "silent_fraction_core", "mobility_tail", "mobility_core")
    names = (*moving, "autocorrelation", "autocorrelation_null")
    logged = {mark["window"]: mark for mark in run.marks() if isinstance(mark.get("window"), int)}
    shown = moving_windows(run) if windows is None else select_windows(run, span_of(run, windows))
    numbers = [window.number for window in shown]

    def rows(tables: Sequence[pd.DataFrame]) -> list[dict[str, Any]]:
        whole = dict(zip(numbers, map(totals, tables), strict=True))
        return [
            {**logged.get(at, {}), "run": label, "window": at, **{name: total[name] for name in names}}
            for at, total in whole.items()
        ]

    each = (dead_weights_query(run, WindowSpan(at, at + 1), tail_tau=tail_tau, layers=layers) for at in numbers)
    return gather(*each).then(rows)
